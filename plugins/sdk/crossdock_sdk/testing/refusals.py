"""Refusals: a carrier's troubles and a wrong account become the right kind of CarrierError."""

from __future__ import annotations

from crossdock_sdk.errors import CarrierError, ErrorClass, SideEffect
from crossdock_sdk.flow import HttpResponse
from crossdock_sdk.simulator.faults import Faults
from crossdock_sdk.testing.bench import Bench, describe, with_secret
from crossdock_sdk.testing.builders import booking
from crossdock_sdk.testing.flows import requests_of


def check_refusals(bench: Bench) -> None:
    """Run them all; findings go to the bench."""
    if bench.has("book"):
        _troubles(bench)
        _capacity(bench)
    _wrong_secrets(bench)


def _troubles(bench: Bench) -> None:
    """What the carrier says when it is busy or fails."""
    busy = _refused(bench, bench.simulator.busy(), "busy")
    if busy is not None:
        bench.expect(
            busy.error_class is ErrorClass.RATE_LIMITED and busy.side_effect is SideEffect.NONE,
            'the "too many calls" answer is RATE_LIMITED with nothing done',
            f"book answered busy() gave {describe(busy)}",
            "map the code to ErrorClass.RATE_LIMITED",
        )
    failing = _refused(bench, bench.simulator.failing(), "failing")
    if failing is not None:
        bench.expect(
            failing.error_class is ErrorClass.TEMPORARY,
            'the "system error" answer is TEMPORARY',
            f"book answered failing() gave {describe(failing)}",
            "map the code to ErrorClass.TEMPORARY, or leave it out of the table",
        )


def _capacity(bench: Bench) -> None:
    """A business refusal leaves nothing behind."""
    before = len(bench.simulator.ledger.entries)
    bench.simulator.faults = Faults(refuse_bookings=True)
    full = bench.call_one("book", bench.next_booking(), where="book refused for capacity")
    bench.simulator.faults = Faults()
    bench.expect(
        full is None
        or (
            isinstance(full, CarrierError)
            and full.side_effect is SideEffect.NONE
            and len(bench.simulator.ledger.entries) == before
        ),
        "a business refusal is a CarrierError with nothing done",
        f"book with refuse_bookings gave {describe(full)}",
        "honour faults.refuse_bookings in the simulator and map its code to CAPACITY or BALANCE",
    )


def _refused(bench: Bench, response: HttpResponse, name: str) -> CarrierError | None:
    where = f"book answered {name}()"
    outcome = bench.call_one("book", booking(), answer=lambda request: response, where=where)
    if isinstance(outcome, CarrierError) or outcome is None:
        return outcome
    remedy = "test for success before anything else in the answer"
    bench.expect(False, "a refusal is a CarrierError", f"{where} gave {describe(outcome)}", remedy)
    return None


def _wrong_secrets(bench: Bench) -> None:
    if not (bench.has("book") or bench.has("sign_in")):
        return
    for key in _call_secrets(bench):
        wrong = f"wrong-{key}-Zq81"
        account = with_secret(bench.account, key, wrong)
        before = len(bench.simulator.ledger.entries)
        operation, item = ("book", bench.next_booking()) if not bench.has("sign_in") else ("sign_in", None)
        where = f"{operation} with a wrong {key}"
        if item is None:
            outcome = bench.call(operation, None, account=account, where=where)
        else:
            outcome = bench.call_one(operation, item, account=account, where=where)
        if outcome is None:
            continue
        refused = isinstance(outcome, CarrierError) and outcome.error_class is ErrorClass.AUTH
        bench.expect(
            refused and len(bench.simulator.ledger.entries) == before,
            "a wrong secret is refused as AUTH",
            f"{where} gave {describe(outcome)}",
            "verify it in the simulator and map the carrier's code to ErrorClass.AUTH",
        )
        bench.expect(
            wrong not in str(outcome) and bench.account.secret(key) not in str(outcome),
            "no secret in an error's text",
            where,
            "leave request parts out of CarrierError messages",
        )


def _call_secrets(bench: Bench) -> list[str]:
    """The secrets that calls are made with; others prove pushes only, and `check_pushes` tries those."""
    keys = list(bench.account.secrets)
    if not bench.has("push"):
        return keys
    used = [key for key in keys if _is_used(bench, key)]
    return used or keys


def _is_used(bench: Bench, key: str) -> bool:
    """Whether the first request of a call is another one with another secret."""
    operation, *items = ("sign_in",) if bench.has("sign_in") else ("book", [booking(service=_service(bench))])
    accounts = (bench.account, with_secret(bench.account, key, "another-secret"))
    method = getattr(bench.carrier, str(operation))
    try:
        ours, other = (requests_of(method(bench.context(account), *items)) for account in accounts)
    except Exception:  # a finding of the round trips
        return True
    return ours != other


def _service(bench: Bench) -> str:
    return bench.manifest.service[0].code if bench.manifest.service else ""
