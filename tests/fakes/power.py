"""A disk that forgets: an SQLite VFS whose files lie in memory twice, as written and as synced.

    disk = Disk(Random(7))
    with disk.mounted(folder):
        store = await SqliteStore.open(folder / "store.db", fatal=disk.stop)
        disk.fail_at(40, Failure.CUT)
        ...
    disk.unload(folder)  # what the machine finds when power is back

Rules of this file
- An operation is whatever changes a file: write, truncate, sync, delete. They are counted from 1.
- What was not synced at a cut is lost, or kept in any part and in any order of its sectors: a drive writes as it likes.
- A failed sync drops what it should have written, as Linux does: a second, successful one does not bring it back.
- Python's VFS files have no shared memory: every connection made while mounted locks its file for itself, and only
  the writing one may touch it.
"""

from __future__ import annotations

import enum
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import TracebackType
from typing import NamedTuple

import apsw

SECTOR_BYTES = 512


class Failure(enum.Enum):
    """What an operation may come to."""

    CUT = "the power goes"
    FULL = "no space is left"
    BROKEN = "the device reports an error"


class _Change(NamedTuple):
    """One write, or with `data` None a truncation to `offset`."""

    offset: int
    data: bytes | None


class _Image:
    """One file: as processes see it, as the platter holds it, and what lies between."""

    def __init__(self, content: bytes = b"") -> None:
        self.now = bytearray(content)
        self.synced = bytearray(content)
        self.pending: list[_Change] = []

    def change(self, change: _Change) -> None:
        """Take a change into the cache."""
        _apply(self.now, change)
        self.pending.append(change)

    def sync(self) -> None:
        """The cache is written out."""
        for change in self.pending:
            _apply(self.synced, change)
        self.pending.clear()

    def lose(self, random: Random) -> None:
        """The power goes: of what was not synced nothing, everything or any part is kept."""
        share = random.choice((0.0, 0.0, 0.5, 0.9, 1.0))
        for change in self.pending:
            for part in _sectors(change):
                if random.random() < share:
                    _apply(self.synced, part)
        self.now = bytearray(self.synced)
        self.pending.clear()


class Disk:
    """Files of one machine. Operations may come from any thread.

    operations: how many so far. failed: those that were made to fail, as "sync of store.db-wal".
    """

    def __init__(self, random: Random) -> None:
        self.operations = 0
        self.failed: list[str] = []
        self.stopped = False
        self._random = random
        self._images: dict[str, _Image] = {}
        self._deleted: dict[str, _Image] = {}
        self._failure: tuple[int, Failure, str] | None = None
        self._counts: Counter[str] = Counter()
        self._lock = threading.RLock()

    def fail_at(self, operation: int, failure: Failure, kind: str = "") -> None:
        """Make the operation of that number fail, counting from now. kind: count only those, as "sync" or
        "write of store.db".

        Without space, all later writes fail too, until `fail_at`.
        """
        self._counts.clear()
        self._failure = (operation, failure, kind)

    def stop(self, _cause: str = "") -> None:
        """The process ends here: nothing reaches the disk any more. Serves as a store's `fatal`."""
        self.stopped = True

    def lose_power(self) -> None:
        """What was not synced goes the way it goes."""
        with self._lock:
            self.stopped = True
            for name, image in self._deleted.items():
                if self._random.random() < 0.5:
                    self._images.setdefault(name, image)
            self._deleted.clear()
            for image in self._images.values():
                image.lose(self._random)

    def load(self, folder: Path) -> None:
        """Begin with the files of a folder, all of them synced. The machine runs again."""
        self._images = {str(path): _Image(path.read_bytes()) for path in folder.iterdir() if path.suffix != ".lock"}
        self._deleted.clear()
        self._failure = None
        self.stopped = False

    def unload(self, folder: Path) -> None:
        """Write the files into the folder, as a process started now would find them."""
        for path in folder.iterdir():
            if path.suffix != ".lock":
                path.unlink()
        for name, image in self._images.items():
            Path(name).write_bytes(image.now)

    @contextmanager
    def mounted(self, folder: Path) -> Iterator[None]:
        """Every SQLite file in `folder` that is opened inside the block lies on this disk."""
        vfs = _Vfs(self, str(folder))
        apsw.connection_hooks.append(_lock_for_itself)
        try:
            yield
        finally:
            apsw.connection_hooks.remove(_lock_for_itself)
            vfs.unregister()
            apsw.set_default_vfs("unix")

    # --- for the VFS ------------------------------------------------------------------------

    def image(self, name: str) -> _Image:
        """The file of that name, made when there is none."""
        return self._images.setdefault(name, _Image())

    def exists(self, name: str) -> bool:
        """Whether there is one."""
        return name in self._images

    def delete(self, name: str) -> None:
        """Remove a file; the directory learns of it for good with the next sync."""
        with self._lock:
            self._operation("delete", name, lambda: None)
            if name in self._images:
                self._deleted[name] = self._images.pop(name)

    def change(self, name: str, image: _Image, change: _Change) -> None:
        """Write or truncate."""
        with self._lock:
            torn = _half(change)
            self._operation(
                "truncate" if change.data is None else "write", name, lambda: image.change(torn) if torn else None
            )
            image.change(change)

    def sync(self, name: str, image: _Image) -> None:
        """Make a file durable, and with it the directory."""
        with self._lock:
            self._operation("sync", name, image.pending.clear)
            image.sync()
            self._deleted.clear()

    def _operation(self, what: str, name: str, partly: Callable[[], None]) -> None:
        """Count it; when it is to fail, do it partly and raise."""
        if self.stopped:
            raise _error(what, Failure.BROKEN)
        self.operations += 1
        where = f"{what} of {Path(name).name}"
        self._counts.update((what, where))
        number, failure, kind = self._failure or (0, Failure.CUT, "")
        count = self._counts[kind] if kind else self._counts.total() // 2
        due = count == number if failure is not Failure.FULL else 0 < number <= count and what == "write"
        if not due or kind not in ("", what, where):
            return
        self.failed.append(where)
        partly()
        if failure is Failure.CUT:
            self.lose_power()
        raise _error(what, failure)


class _Vfs(apsw.VFS):
    """Files of one folder on a `Disk`; all others where they are."""

    def __init__(self, disk: Disk, folder: str) -> None:
        super().__init__("forgetful", "unix", makedefault=True)
        self._disk = disk
        self._folder = folder

    def excepthook(
        self, etype: type[BaseException] | None, evalue: BaseException | None, etraceback: TracebackType | None
    ) -> bool:
        """A failure that was ordered while SQLite was busy with another: it has the code, nobody else needs it."""
        return True

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None or not path.startswith(self._folder):
            return super().xOpen(name, flags)
        flags[1] = flags[0]
        # Duck-typed by SQLite's wrapper: only the methods below are ever called.
        return _File(self._disk, path)  # type: ignore[return-value]

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if filename.startswith(self._folder):
            self._disk.delete(filename)
        else:
            super().xDelete(filename, syncdir)

    def xAccess(self, pathname: str, flags: int) -> bool:
        if pathname.startswith(self._folder):
            return self._disk.exists(pathname)
        return super().xAccess(pathname, flags)


class _File:
    """An open file of a `Disk`."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name
        self._image = disk.image(name)

    def excepthook(self, kind: type[BaseException], error: BaseException, trace: object) -> None:
        """See `_Vfs.excepthook`."""

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._image.now[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.change(self._name, self._image, _Change(offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        self._disk.change(self._name, self._image, _Change(newsize, None))

    def xSync(self, flags: int) -> None:
        self._disk.sync(self._name, self._image)

    def xFileSize(self) -> int:
        return len(self._image.now)

    def xSectorSize(self) -> int:
        return 4096

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE  # as the system's own VFS says

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False

    def xLock(self, level: int) -> None:
        """One process, one writer: nothing to keep out."""

    def xUnlock(self, level: int) -> None:
        """See xLock."""

    def xCheckReservedLock(self) -> bool:
        return False

    def xClose(self) -> None:
        """The image stays."""


def _lock_for_itself(connection: apsw.Connection) -> None:
    connection.pragma("locking_mode", "exclusive")


def _apply(content: bytearray, change: _Change) -> None:
    offset, data = change
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _sectors(change: _Change) -> Iterator[_Change]:
    offset, data = change
    if data is None:
        yield change
        return
    for start in range(0, len(data), SECTOR_BYTES):
        yield _Change(offset + start, data[start : start + SECTOR_BYTES])


def _half(change: _Change) -> _Change | None:
    """What of a failing change got through."""
    return None if change.data is None else _Change(change.offset, change.data[: len(change.data) // 2])


def _error(what: str, failure: Failure) -> Exception:
    if failure is Failure.FULL:
        return apsw.exception_for(apsw.SQLITE_FULL)
    code = {
        "write": apsw.SQLITE_IOERR_WRITE,
        "truncate": apsw.SQLITE_IOERR_TRUNCATE,
        "sync": apsw.SQLITE_IOERR_FSYNC,
        "delete": apsw.SQLITE_IOERR_DELETE,
    }[what]
    return apsw.exception_for(code)
