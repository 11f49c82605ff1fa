"""The command line: exit codes, output, and wrong use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli.ship import ship
from tests.unit.cli.ship.engine_twin import RunningTwin
from tests.unit.cli.ship.support import order_row, write_orders


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """A file with one clean and one wrong row."""
    rows = [order_row("SO1"), order_row("SO2", **{"重量(kg)": "0"})]
    return write_orders(tmp_path / "orders.csv", rows)


def run(*arguments: str | Path, **environment: str) -> Result:
    """The command as a shell would run it."""
    return CliRunner().invoke(ship, [str(argument) for argument in arguments], env=environment)


def test_json_output_and_api_key(orders: Path, tmp_path: Path, engine: RunningTwin) -> None:
    """One JSON object on standard output; the key comes from the environment; refused rows end with 1."""
    engine.twin.api_key = "sesame"
    done = run(orders, "--server", engine.server, "--out", tmp_path, "--json", CROSSDOCK_API_KEY="sesame")

    assert done.exit_code == 1
    summary = json.loads(done.stdout)
    assert (summary["rows"], summary["shipped"], summary["label_count"]) == (2, 1, 1)
    assert summary["problems"][0]["column"] == "重量(kg)"


def test_summary_for_people(orders: Path, tmp_path: Path, engine: RunningTwin) -> None:
    """The table has the counts, the column that is wrong and where the files lie."""
    done = run(orders, "--server", engine.server, "--out", tmp_path, "--label-format", "zpl")

    assert all(word in done.stdout for word in ("BOOKED", "refused", "重量(kg)", "results.csv", "labels.zpl"))


def test_results_of_another_engine_are_not_overwritten(orders: Path, tmp_path: Path, engine: RunningTwin) -> None:
    """A run against another address is wrong use and writes nothing: results.csv would lose its waybill numbers."""
    run(orders, "--server", engine.server, "--out", tmp_path / "out")
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    elsewhere = run(orders, "--server", "127.0.0.1:9", "--out", tmp_path / "out")
    sandbox = run(orders, "--sandbox", "--out", tmp_path / "out")

    assert (elsewhere.exit_code, sandbox.exit_code) == (2, 2)
    assert f"holds results of {engine.server}; use another --out, or --server {engine.server}" in elsewhere.stderr
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.csv"], "nowhere.csv: No such file"),
        (["FILE", "--server", "somewhere"], "is no HOST:PORT"),
        (["FILE", "--sandbox", "--server", "127.0.0.1:1"], "exclude each other"),
        (["FILE", "--encoding", "klingon"], "--encoding klingon: is unknown"),
        (["FILE", "--map", "nowhere.toml"], "--map nowhere.toml"),
        (["FILE", "--tls-ca", "nowhere.pem", "--server", "127.0.0.1:1"], "--tls-ca nowhere.pem"),
    ],
)
def test_wrong_use(orders: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    """Wrong use ends with 2 and one line that names the option and the remedy."""
    done = run(*[orders if word == "FILE" else word for word in arguments], "--out", tmp_path / "out")

    assert done.exit_code == 2
    assert message in done.stderr


def test_key_with_a_break_is_not_shown(orders: Path, tmp_path: Path) -> None:
    """A key that cannot be one is refused without being printed."""
    done = run(orders, "--out", tmp_path, CROSSDOCK_API_KEY="secret\nkey")

    assert done.exit_code == 2
    assert "CROSSDOCK_API_KEY" in done.stderr
    assert "secret" not in done.output
