"""`crossdock pushes`: carriers' pushes that could not be applied, to look at and to try again.

They belong to no tenant, so they are not in the contract: the engine's ingress shows them to its own machine only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import click
import msgspec

from engine.cli.common import (
    BAD_USAGE,
    FAILED,
    UNREACHABLE,
    json_option,
    output,
    print_json,
    print_table,
    stop_with,
)
from engine.cli.wording import local

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

TIMEOUT_S = 60.0
UNKNOWN = "there is no such letter; see `crossdock pushes list`"

ingress_option = click.option(
    "--ingress",
    default="http://127.0.0.1:8080",
    show_default=True,
    metavar="URL",
    help="The engine's HTTP side (ingress.listen), as seen from its own machine.",
)


class Letter(msgspec.Struct, frozen=True):
    """A push that was set aside. body_bytes: its size; what it says is personal data and stays in the engine."""

    letter_id: str
    account_id: str
    received_time: datetime
    cause: str
    attempts: int
    body_bytes: int = msgspec.field(name="bytes")


class Replayed(msgspec.Struct, frozen=True):
    """How one went: problem is empty when it is applied and gone."""

    letter_id: str
    problem: str


class IngressError(Exception):
    """The ingress could not be asked; `code` is the exit code."""

    def __init__(self, problem: str, code: int) -> None:
        super().__init__(problem)
        self.code = code


@click.group()
def pushes() -> None:
    """List and replay carriers' pushes that could not be applied."""


@pushes.command("list")
@ingress_option
@json_option
def list_letters(ingress: str, as_json: bool) -> None:
    """List the pushes that were set aside, oldest first."""
    letters = with_ingress(ingress, lambda http: list(_letters(http)))
    if as_json:
        print_json(letters)
    elif letters:
        rows = [
            (
                each.letter_id,
                each.account_id,
                local(each.received_time),
                each.cause,
                str(each.attempts),
                str(each.body_bytes),
            )
            for each in letters
        ]
        print_table("Pushes set aside", ("letter_id", "account", "received", "cause", "attempts", "bytes"), rows)
    else:
        output.print("No push is set aside.")


@pushes.command()
@click.argument("letter_ids", nargs=-1, metavar="[LETTER_ID]...")
@click.option("--all", "every", is_flag=True, help="All that are set aside.")
@ingress_option
@json_option
def replay(letter_ids: Sequence[str], every: bool, ingress: str, as_json: bool) -> None:
    """Try these pushes again. Exit code 1 when one could not be applied; it stays set aside."""
    if bool(letter_ids) == every:
        raise click.UsageError("give LETTER_IDs (see `crossdock pushes list`), or --all")
    done: list[Replayed] = []

    def use(http: httpx.Client) -> None:
        # All of them first: what fails stays listed, and must not be tried twice.
        wanted = [each.letter_id for each in _letters(http)] if every else dict.fromkeys(letter_ids)
        for letter_id in wanted:
            done.append(_replay(http, letter_id))
            if not as_json:
                output.print(letter_id, done[-1].problem or "applied", soft_wrap=True, markup=False)

    try:
        with_ingress(ingress, use)
    except SystemExit:
        if as_json and done:  # the engine went away in the middle
            print_json(done)
        raise
    if as_json:
        print_json(done)
    if not (done or as_json):
        output.print("No push is set aside.")
    left = sum(bool(each.problem) for each in done)
    if left:
        stop_with([f"{left} of {len(done)} could not be applied; the engine's log says more"], FAILED)


def with_ingress(url: str, use: Callable[[httpx.Client], T]) -> T:
    """Run `use` with an HTTP client of the ingress; ends the process with a plain message when that fails."""
    import httpx

    try:
        base = httpx.URL(url)
    except httpx.InvalidURL:
        base = httpx.URL()
    if base.scheme not in ("http", "https") or not base.host:
        stop_with([f"--ingress: {url} is no address; write it as http://127.0.0.1:8080"], BAD_USAGE)
    try:
        # Loopback is never reached through a proxy of the environment.
        with httpx.Client(base_url=base, timeout=TIMEOUT_S, trust_env=False) as http:
            return use(http)
    except httpx.ProtocolError:
        stop_with([f"what listens at {url} does not speak HTTP; name the engine's ingress with --ingress"], FAILED)
    except httpx.HTTPError as error:
        text = f"no ingress answers at {url} ({str(error) or type(error).__name__}); "
        stop_with([text + "start one with `crossdock serve`, or name another with --ingress"], UNREACHABLE)
    except IngressError as error:
        stop_with([str(error)], error.code)


def _letters(http: httpx.Client) -> Iterator[Letter]:
    """All of them, page after page."""
    after = ""
    while True:
        page = _read(http, http.get("/dead-letters", params={"after": after}), list[Letter])
        yield from page
        if not page or page[-1].letter_id <= after:
            return
        after = page[-1].letter_id


def _replay(http: httpx.Client, letter_id: str) -> Replayed:
    answer = http.post(f"/dead-letters/{quote(letter_id, safe='')}/replay")
    if answer.status_code == 404:
        # Only an ingress that has letters can say that it does not have this one.
        _read(http, http.get("/dead-letters"), list[Letter])
        return Replayed(letter_id, UNKNOWN)
    return _read(http, answer, Replayed)


def _read(http: httpx.Client, answer: httpx.Response, kind: type[T]) -> T:
    """The answer's JSON. Raises IngressError."""
    url = str(http.base_url).rstrip("/")
    if answer.status_code == 403:
        raise IngressError(f"{url} shows set-aside pushes to its own machine only; run this command there", FAILED)
    try:
        if answer.status_code == 200:
            return msgspec.json.decode(answer.content, type=kind)
    except msgspec.MsgspecError:
        pass
    found = f"it answers {answer.status_code}"
    remedy = "name the engine's ingress (ingress.listen) with --ingress; if it is that, see its log"
    raise IngressError(f"{url} does not answer as an ingress of this version ({found}); {remedy}", FAILED)
