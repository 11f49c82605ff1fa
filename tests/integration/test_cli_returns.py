"""`crossdock return` as a person types it: asked for, decided, received; every mistake answered with its remedy."""

from __future__ import annotations

from typing import Any

import pytest

from crossdock.v1 import core_pb2
from tests.integration.kit import booked
from tests.integration.terminal import Ran, crossdock
from tests.integration.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
TWO = [
    core_pb2.Parcel(
        weight_g=450,
        items=[core_pb2.Item(title="杯子 大", quantity=2, sku="CUP"), core_pb2.Item(title="碟子", quantity=1)],
    )
]


async def asked(world: World, reference: str, *options: str) -> Ran:
    """Ask for a return of a new order of two cups and a plate."""
    await booked(world.caller(), reference, parcels=TWO)
    return await crossdock(world, "return", "create", reference, "--reason", "wrong-size", *options)


async def test_a_return_is_asked_for_approved_received_and_listed(world: World) -> None:
    """By reference, in the shop's words; without rules a person decides."""
    made = await asked(world, "CR-1", "--item", "CUP=1", "--item", "碟子=1", "--json")
    return_id = made.json()["return_id"]
    approved = await crossdock(world, "return", "approve", return_id, "--explanation", "loyal")
    received = await crossdock(world, "return", "receive", return_id, "--remark", "as new", "--json")
    listed = await crossdock(world, "return", "list", "--order", "CR-1", "--state", "received")

    assert (made.code, made.json()["state"]) == (0, "STATE_UNDER_REVIEW")
    assert [(i["title"], i["quantity"]) for i in made.json()["items"]] == [("杯子 大", 1), ("碟子", 1)]
    assert approved.code == 0
    for told in (
        "BOOKED",
        "1 x 杯子 大, 1 x 碟子",
        "WRONG_SIZE",
        "APPROVE (no rule) loyal",
        "the buyer hands it over until",
    ):
        assert told in approved.out
    assert (received.json()["state"], received.json()["remark"]) == ("STATE_RECEIVED", "as new")
    assert return_id in listed.out


async def test_a_return_is_rejected_and_cancelled(world: World) -> None:
    """What is over is shown as such."""
    first = (await asked(world, "CR-2", "--item", "CUP=1", "--json")).json()["return_id"]
    second = (await crossdock(world, "return", "create", "CR-2", "--reason", "late", "--json")).json()["return_id"]
    rejected = await crossdock(world, "return", "reject", first, "--explanation", "too late")
    cancelled = await crossdock(world, "return", "cancel", second)
    shown = await crossdock(world, "return", "get", second, "--json")

    assert "REJECT (no rule) too late" in rejected.out
    assert "CANCELLED" in cancelled.out
    assert shown.json()["state"] == "STATE_CANCELLED"


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--item", "CUP=3"), 1, "return_shipment.items[0].quantity: 3 pieces, 2 can still be sent back"),
        (("--item", "SAUCER=1"), 1, "use the sku or title of one of: CUP, 碟子"),
        (("--item", "CUP"), 2, "--item CUP: write SKU=N"),
        (("--item", "CUP=0"), 2, "--item CUP=0: write SKU=N"),
        (("--reason", "bored"), 2, "--reason bored: use one of changed-mind, wrong-size"),
    ],
)
async def test_what_cannot_be_asked_for_says_why(world: World, options: tuple[str, ...], code: int, says: str) -> None:
    """With the field or option and the remedy."""
    refused = await asked(world, f"CR-{says[:25]}", *options)

    assert refused.code == code
    assert says in refused.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("get", "nobody"), 1, "there is no return nobody; check the id, or list the returns of its order"),
        (("list", "--state", "lost"), 2, "--state lost: use one of UNDER_REVIEW, APPROVED"),
        (("reject", "nobody"), 2, "Missing option '--explanation'"),
        (("create", "nobody", "--reason", "late"), 1, "there is no order nobody"),
    ],
)
async def test_a_return_that_is_none_says_what_to_do(world: World, arguments: Any, code: int, says: str) -> None:
    """As any other command does."""
    refused = await crossdock(world, "return", *arguments)

    assert (refused.code, says in refused.err) == (code, True), refused.err


async def test_a_received_return_cannot_be_cancelled(world: World) -> None:
    """The error tells where it stands."""
    return_id = (await asked(world, "CR-3", "--json")).json()["return_id"]
    await crossdock(world, "return", "approve", return_id)
    await crossdock(world, "return", "receive", return_id)
    refused = await crossdock(world, "return", "cancel", return_id)

    assert refused.code == 1
    assert "is RECEIVED and cannot be cancelled" in refused.err
