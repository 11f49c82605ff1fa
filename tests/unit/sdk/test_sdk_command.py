"""`python -m crossdock_sdk.simulator`: finding the plug-in, its one line, its end, its restart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from acme_wire import call

LIMIT_S = 20


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment in which Acme is installed as a plug-in, by its entry point alone."""
    info = tmp_path / "site" / "crossdock_acme-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crossdock-acme\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[crossdock.carriers]\nacme = acme\n")
    paths = [str(info.parent), str(Path(__file__).parent)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def running(environment: dict[str, str], *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A simulator process and its line; killed at the end whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "crossdock_sdk.simulator", "acme", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate(timeout=LIMIT_S)


def ask(url: str, operation: str, **fields: str) -> Any:
    """A signed call over HTTP."""
    method, target, body, headers = call(operation, **fields)
    sent = Request(url + target, body, {k.replace("_", "-"): v for k, v in headers.items()})
    sent.method = method
    with urlopen(sent, timeout=LIMIT_S) as answer:
        return json.load(answer)


def test_process_serves_says_where_and_stops_on_sigterm(installed: dict[str, str], tmp_path: Path) -> None:
    """One line tells the URLs and the pid; SIGTERM ends it with code 0."""
    with running(installed, "--ledger", str(tmp_path / "ledger")) as (process, line):
        booked = ask(line["url"], "book", reference="R1", to="x")
        process.send_signal(signal.SIGTERM)
        code = process.wait(LIMIT_S)

    assert set(line) == {"code", "url", "control_url", "pid"}
    assert (line["code"], line["pid"], booked["code"], code) == ("acme", process.pid, "OK", 0)


def test_killed_process_remembers_every_answered_booking(installed: dict[str, str], tmp_path: Path) -> None:
    """After SIGKILL a new process on the same ledger still finds what was answered."""
    arguments = ("--ledger", str(tmp_path / "ledger"))
    with running(installed, *arguments) as (process, line):
        first = ask(line["url"], "book", reference="R1", to="x")
        process.kill()
        process.wait(LIMIT_S)
    with running(installed, *arguments) as (_, line):
        found = ask(line["url"], "find", reference="R1")
        second = ask(line["url"], "book", reference="R2", to="x")

    assert found["number"] == first["number"]
    assert second["number"] != first["number"]


def test_process_ends_with_its_parent(installed: dict[str, str], tmp_path: Path) -> None:
    """With --exit-with-parent it stops when standard input closes."""
    ledger = str(tmp_path / "ledger")
    with running(installed, "--ledger", ledger, "--exit-with-parent") as (process, _):
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None

        assert process.wait(LIMIT_S) == 0


def test_faults_are_taken_from_the_command_line(installed: dict[str, str], tmp_path: Path) -> None:
    """--faults is in force from the first call."""
    faults = ("--faults", '{"error_share": 1.0}')
    with running(installed, "--ledger", str(tmp_path / "ledger"), *faults) as (_, line):
        answer = ask(line["url"], "book", reference="R1", to="x")

    assert answer["code"] == "SYSTEM"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "no carrier 'nobody' is installed; installed are: acme"),
        (["acme", "--faults", '{"eror": 1}'], "eror"),
        (["acme", "--ledger", "/nonexistent/ledger"], "/nonexistent/ledger"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    arguments: list[str], said: str, installed: dict[str, str], tmp_path: Path
) -> None:
    """A wrong code, fault or ledger ends with code 2 and one line that names it."""
    command = [sys.executable, "-m", "crossdock_sdk.simulator", "--ledger", str(tmp_path / "l")]

    ended = subprocess.run([*command, *arguments], env=installed, capture_output=True, text=True, timeout=LIMIT_S)

    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
