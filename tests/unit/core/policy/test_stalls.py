"""Parcels that stand still: when a rule becomes true, what resolves an alert, and that each is raised once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from crossdock_sdk.tracking import Milestone, Place, TrackEvent, TrackStatus
from engine.core.policy.stalls import (
    DEFAULT_STALL_RULES,
    Judgement,
    Since,
    StallFacts,
    StallRule,
    Unconditional,
    becomes_true,
    digest_of,
    facts_of,
    opened,
    reason_of,
    settle,
)
from engine.core.policy.track_machine import TERMINAL
from engine.core.policy.track_records import KeptEvent, LoadedTrack, StallAlert, TrackNews, TrackRecord, TrackSource

S = TrackStatus
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
SILENT = StallRule("silent", Since.LAST_EVENT, 48.0, frozenset({S.IN_TRANSIT}), reason="no scan")


class Says:
    """A judge with one answer, which remembers what it was asked."""

    def __init__(self, holds: bool, failed: str = "") -> None:
        self.answer = Judgement(holds, failed)
        self.asked: list[StallFacts] = []

    def judge(self, rule: StallRule, facts: StallFacts) -> Judgement:
        """See Judge."""
        self.asked.append(facts)
        return self.answer


def track(status: TrackStatus | None = S.IN_TRANSIT, **fields: Any) -> TrackRecord:
    """A parcel whose last event came just now, five hours after it was first seen."""
    values: dict[str, Any] = {"first_seen_time": later(-5), "status": status, **fields}
    if status is not None:
        values = {"status_time": NOW, "last_event_time": NOW, "event_count": 3, **values}
    return TrackRecord("t1", "acme", "sf", "sf-main", "SF1", **values)


def later(hours: float) -> datetime:
    """So many hours after NOW."""
    return NOW + timedelta(hours=hours)


def judged(
    record: TrackRecord, *rules: StallRule, hours: float, says: Says | None = None
) -> tuple[TrackRecord, list[TrackNews]]:
    """The track and the news of a check so many hours later."""
    settled = settle(LoadedTrack(record), rules, says or Unconditional(), now=later(hours))
    return settled.track, list(settled.news)


def alerted(record: TrackRecord | None = None, rule: StallRule = SILENT) -> TrackRecord:
    """The track two days later, with the alert it has by then."""
    found, news = judged(record or track(), rule, hours=48)
    assert len(news) == 1
    return found


def test_an_alert_says_what_the_rule_went_by() -> None:
    """Rule, reason, and as evidence the clock, where it started, the limit, the status and how fresh that is."""
    record, [news] = judged(track(observed_time=later(47)), SILENT, hours=48)

    assert record.alerts == (
        StallAlert(
            "silent",
            "no scan",
            {
                "since": "last_event",
                "since_time": "2026-11-21T08:00:00+00:00",
                "after_h": "48",
                "status": "IN_TRANSIT",
                "event_count": "3",
                "observed_time": "2026-11-23T07:00:00+00:00",
            },
            later(48),
        ),
    )
    assert (news.alert, news.event, news.status, news.status_changed) == (record.alerts[0], None, S.IN_TRANSIT, False)
    assert (news.tenant, news.track_id, news.received_time) == ("acme", "t1", later(48))


def test_a_rule_is_not_true_a_moment_early() -> None:
    """Until its time nothing is raised, and the time is known."""
    early, news = judged(track(), SILENT, hours=48 - 1e-9)

    assert (early.alerts, news, early.next_check_time) == ((), [], later(48))


@pytest.mark.parametrize(
    ("since", "status", "hours"),
    [
        (Since.BOOKED, S.IN_TRANSIT, 43), (Since.BOOKED, None, 43), (Since.LAST_EVENT, S.IN_TRANSIT, 46),
        (Since.STATUS, S.IN_TRANSIT, 47), (Since.LAST_EVENT, None, 43), (Since.STATUS, None, 43),
    ],
)  # fmt: skip
def test_each_clock_starts_where_it_says(since: Since, status: TrackStatus | None, hours: float) -> None:
    """A parcel of which nothing is known counts from its booking on every clock."""
    record = track(status)
    if status:
        record = replace(record, last_event_time=later(-2), status_time=later(-1))

    assert becomes_true(StallRule("r", since, 48.0), record) == later(hours)


@pytest.mark.parametrize("status", [None, *S])
def test_a_rule_without_statuses_is_about_every_parcel_that_has_not_arrived(status: TrackStatus | None) -> None:
    """At its end no parcel stalls."""
    record, news = judged(track(status), StallRule("any", Since.BOOKED, 1.0), hours=0)

    assert bool(news) is (status not in TERMINAL)
    assert record.next_check_time is None


@pytest.mark.parametrize("status", [None, *S])
def test_a_rule_with_statuses_is_about_those_only(status: TrackStatus | None) -> None:
    """Nothing known is one of them, where it is named."""
    wanted = frozenset({None, S.OUT_FOR_DELIVERY})
    _, news = judged(track(status), StallRule("some", Since.BOOKED, 1.0, wanted), hours=0)

    assert bool(news) is (status in wanted)


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        ({"last_event_time": later(47)}, "MOVED_ON"),
        ({"status": S.OUT_FOR_DELIVERY}, "MOVED_ON"),
        ({"status": S.DELIVERED}, "ENDED"),
        ({"status": S.RETURNED, "retired": True}, "ENDED"),
        ({"retired": True}, "LET_GO"),
    ],
)
def test_what_happens_to_the_parcel_resolves_its_alert(happens: dict[str, Any], why: str) -> None:
    """Once, with the alert as it was, the time and the reason."""
    before = alerted()
    record, [news] = judged(replace(before, **happens), SILENT, hours=50)
    again, silence = judged(record, SILENT, hours=50)

    [alert] = before.alerts
    assert record.alerts == ()
    assert news.alert == replace(alert, resolved_time=later(50), evidence={**alert.evidence, "resolved_by": why})
    assert (again, silence) == (record, [])


def test_a_rule_that_was_taken_out_resolves_its_alerts() -> None:
    """Nobody is left with an alert that no rule explains."""
    record, [news] = judged(alerted(), hours=50)

    assert record.alerts == ()
    assert news.alert is not None
    assert news.alert.evidence["resolved_by"] == "RULE_GONE"


def test_a_late_scan_that_is_old_itself_leaves_the_alert_open() -> None:
    """The rule holds all the time, so there is nothing to tell."""
    before = alerted()
    record, news = judged(replace(before, last_event_time=later(1), event_count=4), SILENT, hours=50)

    assert (record.alerts, news) == (before.alerts, [])


def test_an_alert_can_come_again_after_it_was_resolved() -> None:
    """A parcel that moves and stands still once more is told once more."""
    moved, _ = judged(replace(alerted(), last_event_time=later(50)), SILENT, hours=50)
    stood, [news] = judged(moved, SILENT, hours=98)

    assert moved.next_check_time == later(98)
    assert news.alert == stood.alerts[0]
    assert news.alert.raised_time == later(98)


def test_a_track_that_begins_waits_for_its_earliest_rule() -> None:
    """Only rules about a parcel of which nothing is known count; without any, nothing is waited for."""
    rules = [replace(SILENT, name=f"r{hours}", after_h=hours, statuses=frozenset({None})) for hours in (48.0, 24.0)]

    assert opened(track(None), [*rules, replace(SILENT, after_h=1.0)]).next_check_time == later(19)
    assert opened(track(None), [SILENT]).next_check_time is None


def test_rules_are_told_each_for_itself() -> None:
    """Two that hold are two alerts; the next check is the earliest of the rest."""
    rules = [replace(SILENT, name=f"r{hours}", after_h=float(hours)) for hours in (48, 96, 24, 72)]
    record, news = judged(track(), *rules, hours=50)

    assert [alert.rule for alert in record.alerts] == ["r48", "r24"]
    assert len(news) == 2
    assert record.next_check_time == later(72)


def test_a_condition_is_asked_when_its_time_has_come() -> None:
    """Not before; and what it says no to is not looked at again until something happens."""
    rule, no = replace(SILENT, when="x"), Says(False)
    early, _ = judged(track(), rule, hours=47, says=no)
    asked_early = len(no.asked)
    due, news = judged(early, rule, hours=48, says=no)

    assert (asked_early, len(no.asked)) == (0, 1)
    assert (due.alerts, news, due.next_check_time) == ((), [], None)


def test_a_condition_that_becomes_false_resolves_its_alert() -> None:
    """Conditions speak of the parcel: when what they ask for is over, so is the alert."""
    rule = replace(SILENT, when="x")
    record, [news] = judged(alerted(rule=replace(SILENT)), rule, hours=50, says=Says(False))

    assert record.alerts == ()
    assert news.alert is not None
    assert news.alert.resolved_time == later(50)


def test_a_condition_that_fails_raises_the_alert_and_says_so() -> None:
    """It is never taken as "no", and while it fails the alert stays."""
    rule, broken = replace(SILENT, when="x"), Says(False, "divide by zero")
    record, [news] = judged(track(), rule, hours=48, says=broken)
    again, silence = judged(record, rule, hours=60, says=broken)

    assert news.alert is not None
    assert news.alert.evidence["rule_failed"] == "divide by zero"
    assert news.alert.reason == "no scan; its condition could not be evaluated: divide by zero"
    assert (again.alerts, silence) == (record.alerts, [])


def test_conditions_may_ask_where_the_newest_event_was() -> None:
    """Facts are those of the track, the place is the newest event's."""
    events = tuple(
        KeptEvent(city.encode(), TrackEvent("SF1", later(n), "c", "t", S.IN_TRANSIT, place=Place(city)), NOW, SOURCE, 1)
        for n, city in enumerate(("杭州", "拉萨"))
    )
    record = track(milestone=Milestone.DEPARTED_FACILITY, order_id="o1")

    assert facts_of(LoadedTrack(record, events)) == StallFacts("sf", "IN_TRANSIT", "DEPARTED_FACILITY", True, 3, "拉萨")
    assert facts_of(LoadedTrack(track(None))) == StallFacts("sf", "NOTHING_KNOWN", "", False, 0, "")


SOURCE = TrackSource.PUSH


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (StallRule("r", Since.BOOKED, 24.0, frozenset({None})), "24 h after the booking (NOTHING_KNOWN)"),
        (
            StallRule("r", Since.LAST_EVENT, 0.5, frozenset({S.PICKED_UP, S.IN_TRANSIT})),
            "no event for 0.5 h (IN_TRANSIT or PICKED_UP)",
        ),
        (StallRule("r", Since.STATUS, 12.0), "in one status for 12 h"),
        (StallRule("r", Since.STATUS, 12.0, reason="call them"), "call them"),
    ],
)
def test_a_rule_without_words_gets_some(rule: StallRule, text: str) -> None:
    """What it asks for, in a sentence; its own words come first."""
    assert reason_of(rule) == text


@pytest.mark.parametrize(
    ("rule", "status", "hours"),
    [
        ("not-collected", None, 19), ("not-collected", S.PRE_TRANSIT, 19), ("no-movement", S.PICKED_UP, 48),
        ("no-movement", S.IN_TRANSIT, 48), ("no-movement", S.RETURNING, 48),
        ("out-for-delivery-too-long", S.OUT_FOR_DELIVERY, 12), ("not-fetched", S.AVAILABLE_FOR_COLLECTION, 72),
    ],
)  # fmt: skip
def test_the_built_in_rules(rule: str, status: TrackStatus | None, hours: float) -> None:
    """Not collected a day after the booking, two days without a scan, half a day at the door, three in a locker."""
    before, silence = judged(track(status), *DEFAULT_STALL_RULES, hours=hours - 0.01)
    after, _ = judged(before, *DEFAULT_STALL_RULES, hours=hours)

    assert silence == []
    assert [alert.rule for alert in after.alerts] == [rule]


def test_what_makes_a_rule_another_changes_the_digest() -> None:
    """Words for people do not: nothing has to be judged again for them."""
    other = [
        replace(SILENT, name="x"), replace(SILENT, since=Since.STATUS), replace(SILENT, after_h=47.0),
        replace(SILENT, statuses=frozenset({S.IN_TRANSIT, None})), replace(SILENT, when="true"),
    ]  # fmt: skip

    digests = {digest_of([rule]) for rule in (SILENT, *other)} | {digest_of([]), digest_of([SILENT, SILENT])}

    assert len(digests) == 8
    assert digest_of([replace(SILENT, reason="other words")]) == digest_of([SILENT])


statuses = st.sampled_from([None, *S])
rules_of = st.lists(
    st.builds(
        StallRule,
        name=st.sampled_from("abcd"),
        since=st.sampled_from(Since),
        after_h=st.sampled_from([0.5, 1.0, 3.0, 24.0]),
        statuses=st.frozensets(statuses, max_size=4),
    ),
    max_size=4,
    unique_by=lambda rule: rule.name,
)
happenings = st.lists(
    st.tuples(
        st.integers(0, 30),  # hours that pass before it
        st.sampled_from(["nothing", "scan", "status", "let go", "taken up"]),
        statuses,
        st.integers(0, 10),  # hours by which the carrier's time lies before ours
    ),
    max_size=12,
)


def happened(record: TrackRecord, what: str, status: TrackStatus | None, when: datetime) -> TrackRecord:
    """The track after something happened to it."""
    if what in ("scan", "status"):
        record = replace(record, last_event_time=max(when, record.last_event_time or when), event_count=1)
    if what == "status" and status is not None and status is not record.status:
        record = replace(record, status=status, status_time=when)
    return replace(record, retired=what == "let go" or (record.retired and what != "taken up"))


@given(rules_of, happenings)
def test_alerts_are_raised_once_and_exactly_on_time(
    rules: list[StallRule], story: list[tuple[int, str, TrackStatus | None, int]]
) -> None:
    """Raised and resolved take turns, the track shows what is open, a check is never early, late or for nothing."""
    now, open_rules = NOW, set[str]()
    opened = settle(LoadedTrack(track(None)), rules, Unconditional(), now=now)
    record = _heard(opened.track, opened.news, open_rules)
    for hours, what, status, late_h in story:
        until = now + timedelta(hours=hours)
        while record.next_check_time is not None and record.next_check_time <= until:
            due, just_before = record.next_check_time, record.next_check_time - timedelta(microseconds=1)
            if just_before > now:
                assert settle(LoadedTrack(record), rules, Unconditional(), now=just_before).news == ()
            settled = settle(LoadedTrack(record), rules, Unconditional(), now=due)
            assert settled.news  # the check was not for nothing
            record, now = _heard(settled.track, settled.news, open_rules), due
        now = until
        assert settle(LoadedTrack(record), rules, Unconditional(), now=now).news == ()  # nothing was missed
        record = happened(record, what, status, now - timedelta(hours=late_h))
        settled = settle(LoadedTrack(record), rules, Unconditional(), now=now)
        record = _heard(settled.track, settled.news, open_rules)
        assert record.next_check_time is None or record.next_check_time > now


def _heard(record: TrackRecord, news: tuple[TrackNews, ...], open_rules: set[str]) -> TrackRecord:
    """Keep the book of a watcher, and compare it with the track."""
    for one in news:
        assert one.alert is not None
        if one.alert.resolved_time is None:
            assert one.alert.rule not in open_rules
            open_rules.add(one.alert.rule)
        else:
            open_rules.remove(one.alert.rule)
    assert {alert.rule for alert in record.alerts} == open_rules
    return record
