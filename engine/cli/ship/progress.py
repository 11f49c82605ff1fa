"""What earlier runs in this folder know: one line per answer, appended as answers come, so that a kill loses nothing.

The file is no source of truth about orders, the engine is: every run sends every row again and the engine replays. It
keeps what only the client knows (the request id of a retry) and stands in for answers when the engine cannot be asked.
Entries name the engine they came from: results of one engine are never overwritten by a run against another.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from engine.cli.ship.problems import ShipError
from engine.cli.ship.results import Result

PROGRESS_NAME = ".progress.jsonl"
LOCK_NAME = ".lock"
SANDBOX_OWNER = "sandbox"
"""The server's name in entries of runs with --sandbox, whose port is another one each time."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row's last known result. Only `key`, `server` and `request_id` are set when it was about to be sent."""

    key: str
    server: str
    request_id: str = ""
    order_id: str = ""
    state: str = ""
    carrier: str = ""
    waybill_number: str = ""
    column: str = ""
    error: str = ""
    remedy: str = ""

    @property
    def is_answer(self) -> bool:
        """Whether the engine has answered this row before."""
        return bool(self.state or self.error)

    def result(self, line: int, reference: str) -> Result:
        """The row as it was last known."""
        return Result(
            line,
            reference,
            self.order_id,
            self.state,
            self.carrier,
            self.waybill_number,
            self.column,
            self.error,
            self.remedy,
        )


class Progress:
    """The progress file of one folder, open for one run. Close it."""

    def __init__(self, file: BinaryIO, server: str, known: dict[str, Entry]) -> None:
        self._file = file
        self._server = server
        self._known = known
        self._encode = msgspec.json.Encoder().encode

    @classmethod
    def open(cls, folder: Path, server: str) -> Progress:
        """Read what earlier runs wrote, rewrite it with one line per row, and append from there.

        Raises ShipError, with nothing written, when the folder holds orders of another engine and none of this one:
        results.csv would lose their waybill numbers.
        """
        path = folder / PROGRESS_NAME
        entries = {(entry.server, entry.key): entry for entry in _entries(path)}
        owners = dict.fromkeys(entry.server for entry in entries.values() if entry.order_id)
        if owners and server not in owners:
            raise ShipError(_belongs_to(folder, list(owners)[-1]))
        draft = path.with_name(f"{PROGRESS_NAME}.part")
        encode = msgspec.json.Encoder().encode
        with draft.open("wb") as out:
            out.writelines(encode(entry) + b"\n" for entry in entries.values())
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)
        known = {key: entry for (owner, key), entry in entries.items() if owner == server}
        # Unbuffered: once written, a line outlives a kill of this process.
        return cls(path.open("ab", buffering=0), server, known)

    def known(self, key: str) -> Entry | None:
        """What is known of a row, by its key."""
        return self._known.get(key)

    def sending(self, key: str, request_id: str) -> None:
        """Remember a request id before it is used; without it a later run would ask for the wrong order."""
        self._append(Entry(key, self._server, request_id))
        self.sync()

    def answered(self, key: str, request_id: str, result: Result) -> None:
        """Remember an answer."""
        self._append(
            Entry(
                key,
                self._server,
                request_id if request_id != key else "",
                result.order_id,
                result.state,
                result.carrier,
                result.waybill_number,
                result.column,
                result.error,
                result.remedy,
            )
        )

    def sync(self) -> None:
        """Make what was written outlive a power cut as well."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        self._file.close()

    def _append(self, entry: Entry) -> None:
        self._known[entry.key] = entry
        self._file.write(self._encode(entry) + b"\n")


def _belongs_to(folder: Path, owner: str) -> str:
    whose, how = (owner, f"--server {owner}") if owner != SANDBOX_OWNER else ("a run with --sandbox", "--sandbox")
    return f"--out {folder}: this folder holds results of {whose}; use another --out, or {how}"


def _entries(path: Path) -> Iterator[Entry]:
    """The entries of a file; a line cut off by a kill is left out (its answer will come again)."""
    if not path.exists():
        return
    decode = msgspec.json.Decoder(Entry).decode
    with path.open("rb") as file:
        for line in file:
            try:
                yield decode(line)
            except msgspec.DecodeError:
                continue


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for one run. Raises ShipError when another run holds it."""
    with (folder / LOCK_NAME).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ShipError(
                f"--out {folder}: another run writes here; wait for it to end, or name another folder"
            ) from error
        yield
