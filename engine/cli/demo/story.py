"""What the demo tells: lines for people, claims that were checked; and the orders it makes up."""

from __future__ import annotations

import time

from crossdock.v1 import core_pb2
from engine.cli.common import output


class Story:
    """Prints what happens and remembers which claims were checked and which were not true."""

    def __init__(self, *, silent: bool = False) -> None:
        self.claims: list[dict[str, object]] = []
        self._silent = silent
        self._started = time.monotonic()

    @property
    def sound(self) -> bool:
        """Whether every claim was true."""
        return all(not claim["problems"] for claim in self.claims)

    def say(self, text: str) -> None:
        """A line with the time since the start."""
        if not self._silent:
            output.print(f"[dim]{time.monotonic() - self._started:5.1f} s[/dim]  {text}", soft_wrap=True)

    def check(self, claim: str, problems: list[str]) -> None:
        """Claim something only when nothing is wrong with it."""
        self.claims.append({"claim": claim, "problems": problems})
        if not problems:
            self.say(f"[green]checked[/green] {claim}")
            return
        self.say(f"[red]NOT TRUE[/red] {claim}")
        for problem in problems[:5]:
            self.say(f"         {problem}")


def demo_order(reference: str, *, only: str = "") -> core_pb2.Order:
    """An ordinary order; `only` names the one carrier that may take it."""
    address = core_pb2.Address(province="四川省", city="成都市", district="武侯区", street="天府大道200号5栋101室")
    contact = core_pb2.Contact(name="周样例", phone="13800138000")
    return core_pb2.Order(
        reference=reference,
        recipient=core_pb2.Party(contact=contact, address=address),
        remark="请本人签收",  # the simulated carriers deliver it, and do not draw lots
        parcels=[core_pb2.Parcel(weight_g=800, items=[core_pb2.Item(title="图书", quantity=2)])],
        routing=core_pb2.Routing(allowed_carriers=[only] if only else []),
    )
