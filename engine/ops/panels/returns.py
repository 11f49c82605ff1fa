"""Row "Returns": what comes back, why, and who keeps it waiting."""

from __future__ import annotations

from engine.ops.panel import Look, Panel, Query, Row, Unit

RETURNS = Row(
    "Returns",
    (
        Panel(
            title="Returns by state",
            unit=Unit.COUNT,
            advice="Returns that are not over. UNDER_REVIEW waits for people (`crossdock return list --state "
            "UNDER_REVIEW`), ARRIVED for the warehouse to confirm, FAILED for somebody to approve it again or to ask "
            "the buyer. APPROVED that grows: the carriers take nothing, see Bookings.",
            queries=(
                Query(
                    'sum by (state) (crossdock_returns{state!~"RECEIVED|REJECTED|CANCELLED|EXPIRED"})',
                    "{{state}}",
                ),
            ),
        ),
        Panel(
            title="Returns asked for, by reason",
            unit=Unit.PER_SECOND,
            look=Look.STACK,
            advice="Why buyers send goods back. DAMAGED rising: look at packing and at the carrier that brought "
            "them. WRONG_ITEM: at the warehouse. WRONG_SIZE and NOT_AS_DESCRIBED: at the shop's page.",
            queries=(
                Query("sum by (reason) (rate(crossdock_returns_requested_total[$__rate_interval]))", "{{reason}}"),
            ),
        ),
        Panel(
            title="What the rules say",
            unit=Unit.PER_SECOND,
            look=Look.STACK,
            advice="Verdicts of the return rules. All REVIEW: no rule applies or one fails, read the decision of one "
            "(`crossdock return get`). REJECT rising after a change of [[return_rule]]: look whether it was meant.",
            queries=(
                Query("sum by (verdict) (rate(crossdock_returns_requested_total[$__rate_interval]))", "{{verdict}}"),
            ),
        ),
        Panel(
            title="Refunds that became due",
            unit=Unit.PER_SECOND,
            look=Look.STACK,
            width=12,
            advice="Returns that the warehouse confirmed; each told REFUND_DUE once. Far below what the shop pays "
            "back: refunds are paid without goods. Zero while ARRIVED grows: nobody confirms.",
            queries=(Query("sum by (reason) (rate(crossdock_refunds_due_total[$__rate_interval]))", "{{reason}}"),),
        ),
        Panel(
            title="Returns that no carrier takes",
            unit=Unit.COUNT,
            width=12,
            warn=1,
            alarm=20,
            advice="FAILED returns. Each says why and what to do (`crossdock return list --state FAILED`); approving "
            "one again books it anew, and the warehouse may receive it by any other way.",
            queries=(Query('sum(crossdock_returns{state="FAILED"})', "failed"),),
        ),
    ),
)
