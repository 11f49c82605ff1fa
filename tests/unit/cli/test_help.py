"""What `--help` says: whole sentences, every word an option takes, where the key comes from."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from engine.cli import STOPPED, main
from engine.cli.connect import told_cursor


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group, with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


def help_of(*path: str) -> str:
    """What the command prints, its lines joined."""
    return " ".join(CliRunner().invoke(main, [*path, "--help"]).output.split())


def test_lists_of_commands_cut_no_sentence() -> None:
    """Click ends what it cuts with three dots."""
    groups = [(), *(path for path, command in commands(main) if isinstance(command, click.Group))]

    assert [path for path in groups if "..." in help_of(*path).partition("Commands:")[2]] == []


def test_commands_that_call_an_engine_say_how() -> None:
    """Address and key come from the environment."""
    calling = [path for path, c in commands(main) if any(option.name == "server" for option in c.params)]
    texts = {path: help_of(*path) for path in [(), *calling]}

    assert len(calling) > 10
    assert [p for p, text in texts.items() if "CROSSDOCK_SERVER" not in text or "CROSSDOCK_API_KEY" not in text] == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("return", "create"), "One of changed-mind, wrong-size, damaged"),
        (("return", "list"), "One of UNDER_REVIEW"),
        (("watch",), "One of PRE_TRANSIT, PICKED_UP"),
        (("order", "list"), "One of ACCEPTED, BOOKING"),
    ],
)
def test_words_of_the_contract_are_listed(path: tuple[str, ...], words: str) -> None:
    """Nobody has to be refused first."""
    assert words in help_of(*path)


def test_ctrl_c_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that does not take it itself ends with the shells' code for it."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.core.registry.load_carriers", interrupt)

    ended = CliRunner().invoke(main, ["plugins"])

    assert (ended.exit_code, ended.stderr) == (STOPPED, "stopped\n")


@pytest.mark.parametrize(("reached", "told"), [("", "7"), ("9", "9")])
def test_a_watch_that_is_interrupted_says_where_to_go_on(
    reached: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also before anything came, from where it was to begin."""

    def watch() -> None:
        with told_cursor("7") as cursor:
            cursor.reached = reached
            raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        watch()

    assert (ended.value.code, capsys.readouterr().err) == (0, f"go on with --cursor {told}\n")
