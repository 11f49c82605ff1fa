"""Processes that begin at once: one process loads the code of all, and each of them is forked from it.

Loading an engine takes seconds of processor, a fork some milliseconds; a sandbox starts several processes and, where
they are killed on purpose, thousands. The nursery opens no file, no socket and no event loop of its own, and has one
thread, so that a child begins as if it had been executed. It ends when the process that asked for it does.

    python -m engine.cli.nursery FD        serves requests that come through that socket
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOADED = ("engine.app", "engine.cli.serve", "crossdock_sdk.simulator.__main__")
"""What most children need."""
REQUEST_BYTES = 200_000
UNKNOWN_END = 255
"""Exit code of a child whose nursery was killed before it could tell."""


class Child:
    """One forked process, watched in the event loop that made this.

    Its standard input stays open until it has ended or we have, which tells it to end too. Its standard output is read
    to the end, and that end is how its own is noticed: nothing it starts may keep it open.
    """

    def __init__(self, nursery: Nursery, pid: int, stdin: int, stdout: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery
        self._stdin, self._stdout = stdin, stdout
        self._said = bytearray()
        self._line_ended, self._over = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(stdout, self._listen)

    def kill(self) -> None:
        """SIGKILL; nothing when it has ended."""
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM; nothing when it has ended."""
        self._send(signal.SIGTERM)

    async def wait(self) -> int:
        """Wait for its end; the exit code, minus the signal's number when one ended it."""
        await self._over.wait()
        assert self.returncode is not None
        return self.returncode

    async def first_line(self) -> bytes:
        """What it printed up to the first line's end; without one when it ended before."""
        await self._line_ended.wait()
        line, ends, _ = bytes(self._said).partition(b"\n")
        return line + ends

    def close(self) -> None:
        """Close its standard input now."""
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    def _send(self, number: signal.Signals) -> None:
        # Until it is reaped, which is ours to ask for, nobody else can have its process id.
        if self.returncode is None:
            os.kill(self.pid, number)

    def _listen(self) -> None:
        read = os.read(self._stdout, 4096)
        if not self._line_ended.is_set():
            self._said += read
            if b"\n" in read:
                self._line_ended.set()
        if read:
            return
        self._loop.remove_reader(self._stdout)
        os.close(self._stdout)
        self.close()
        try:
            self.returncode = self._nursery.reap(self.pid)
        except OSError:
            self.returncode = UNKNOWN_END
        self._line_ended.set()
        self._over.set()


class Nursery:
    """The process that children are forked from; any thread may use it."""

    def __init__(self) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(its.fileno())],
                pass_fds=(its.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us; children are stopped in order
            )
        self._socket = ours
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def lives(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def close(self) -> None:
        """Let it end; its children live on."""
        self._socket.close()
        self._process.wait()

    def fork(
        self, entry: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> tuple[int, int, int]:
        """Begin a child, see `spawn`: its process id, and our ends of its standard input and output."""
        request = {
            "entry": entry,
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": str(Path.cwd()),
        }
        stdin_theirs, stdin = os.pipe()
        stdout, stdout_theirs = os.pipe()
        try:
            with open(log, "ab", opener=_private) as stderr:
                pid = self._ask(request, (stdin_theirs, stdout_theirs, stderr.fileno()))["pid"]
        except BaseException:
            os.close(stdin)
            os.close(stdout)
            raise
        finally:
            os.close(stdin_theirs)
            os.close(stdout_theirs)
        return pid, stdin, stdout

    def reap(self, pid: int) -> int:
        """The exit code of a child that is ending."""
        code: int = self._ask({"reap": pid})["code"]
        return code

    def _ask(self, request: Mapping[str, Any], files: Sequence[int] = ()) -> dict[str, Any]:
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(request).encode()], files)
            answer = self._socket.recv(REQUEST_BYTES)
        if not answer:
            raise OSError("the process that forks this sandbox's others has ended; stop the sandbox and start it again")
        found: dict[str, Any] = json.loads(answer)
        return found


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


_nursery: Nursery | None = None
_making = threading.Lock()


def nursery() -> Nursery:
    """This process's, loaded at the first call."""
    global _nursery  # it lives as long as the process, whatever event loops come and go
    with _making:
        if _nursery is not None and not _nursery.lives:
            _nursery.close()
            _nursery = None
        if _nursery is None:
            _nursery = Nursery()
        return _nursery


async def spawn(entry: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
    """Run `entry` ("module:function", given `arguments`, answering an exit code) in a process of its own.

    Its standard error is appended to `log`. The first one waits until the nursery has loaded. Raises OSError.
    """
    kept = await asyncio.to_thread(nursery)
    pid, stdin, stdout = await asyncio.to_thread(kept.fork, entry, arguments, environment, log)
    return Child(kept, pid, stdin, stdout)


def _serve(asked: socket.socket) -> int:
    """Answer requests until whoever sends them is gone; in a child: the exit code of its entry."""
    while True:
        data, files, _, _ = socket.recv_fds(asked, REQUEST_BYTES, 3)
        if not data:
            return 0
        request = json.loads(data)
        if "reap" in request:
            _, status = os.waitpid(request["reap"], 0)
            answer = {"code": os.waitstatus_to_exitcode(status)}
        else:
            pid = os.fork()
            if not pid:
                asked.close()
                return _live(request, files)
            for file in files:
                os.close(file)
            answer = {"pid": pid}
        asked.send(json.dumps(answer).encode())


def _live(request: Mapping[str, Any], files: Sequence[int]) -> int:
    """Be the child: nothing of the nursery's is left but the code it has loaded."""
    os.setsid()
    for target, file in enumerate(files):
        os.dup2(file, target)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [request["entry"], *request["arguments"]]
    module, _, function = request["entry"].partition(":")
    code: int = getattr(importlib.import_module(module), function)(request["arguments"])
    return code


def main() -> int:
    """Load, then serve."""
    asked = socket.socket(fileno=int(sys.argv[1]))
    for module in LOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # children share these pages as long as no collection writes to them
    return _serve(asked)


if __name__ == "__main__":
    raise SystemExit(main())
