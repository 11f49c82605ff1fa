"""The waiting line: priority, then tenants in turn, then order of arrival."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from engine.outbound.job import FairQueue, Job, Ticket
from engine.outbound.operations import Priority


def job(seq: int, priority: Priority = Priority.BOOK, tenant: str = "") -> Job:
    """A job without a caller."""
    ticket = Ticket(cast(Any, None), 100.0)
    return Job(seq, ticket, priority=priority, tenant=tenant, seq=seq, now=0.0)


def drained(queue: FairQueue) -> list[object]:
    return [queue.pop().item for _ in range(len(queue))]


def test_priority_goes_first_and_arrival_inside_it() -> None:
    """Cancel before book before label before query before poll; equal ones as they came."""
    queue = FairQueue()
    order = [
        Priority.POLL,
        Priority.BOOK,
        Priority.CANCEL,
        Priority.BOOK,
        Priority.LABEL,
        Priority.QUERY,
    ]
    for seq, priority in enumerate(order):
        queue.push(job(seq, priority))

    assert drained(queue) == [2, 1, 3, 4, 5, 0]


def test_tenants_take_turns() -> None:
    """A tenant with a thousand waiting items does not hold up one with two."""
    queue = FairQueue()
    for seq in range(1000):
        queue.push(job(seq, tenant="big"))
    queue.push(job(1000, tenant="small"))
    queue.push(job(1001, tenant="small"))

    assert drained(queue)[:5] == [0, 1000, 1, 1001, 2]


def test_a_job_can_leave_from_the_middle() -> None:
    """Removal takes exactly that job, once."""
    queue = FairQueue()
    jobs = [job(n) for n in range(3)]
    for each in jobs:
        queue.push(each)

    assert (queue.remove(jobs[1]), queue.remove(jobs[1])) == (True, False)
    assert drained(queue) == [0, 2]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("push"), st.sampled_from(Priority), st.sampled_from("abc")),
            st.tuples(st.just("pop"), st.just(Priority.BOOK), st.just("")),
            st.tuples(st.just("remove"), st.just(Priority.BOOK), st.just("")),
        ),
        max_size=80,
    )
)
def test_nothing_is_lost_and_priority_always_holds(steps: list[tuple[str, Priority, str]]) -> None:
    """Against a plain list.

    Same members, the best priority first, arrival order within a tenant.
    """
    queue, model = FairQueue(), list[Job]()
    for seq, (step, priority, tenant) in enumerate(steps):
        if step == "push":
            model.append(job(seq, priority, tenant))
            model[-1].is_alone = seq % 3 == 0
            queue.push(model[-1])
        elif model and step == "pop":
            head = queue.head()
            popped = queue.pop()
            assert popped is head
            assert popped.priority == min(j.priority for j in model)
            mates = [j for j in model if (j.priority, j.tenant) == (popped.priority, popped.tenant)]
            assert popped is mates[0]
            model.remove(popped)
        elif model:
            assert queue.remove(model.pop(len(model) // 2))
        assert len(queue) == len(model)
        assert queue.alone == sum(j.is_alone for j in model)
        assert {j.seq for j in queue} == {j.seq for j in model}


weights_of = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 12), min_size=2)


@given(weights_of, st.integers(25, 40), st.integers(0, 99))
def test_with_a_backlog_each_tenant_gets_its_share(weights: dict[str, int], rounds: int, more: int) -> None:
    """Wherever one stops counting, each is within 5 % of its weight."""
    queue = FairQueue(weights)
    served = dict.fromkeys(weights, 0)
    count = rounds * sum(weights.values()) + more % sum(weights.values())
    for tenant, weight in weights.items():  # enough that nobody runs dry
        for seq in range((rounds + 1) * weight):
            queue.push(job(seq, tenant=tenant))
    for _ in range(count):
        served[queue.pop().tenant] += 1

    for tenant, weight in weights.items():
        expected = count * weight / sum(weights.values())
        assert abs(served[tenant] - expected) <= 0.05 * expected, (tenant, served, weights)


def test_an_unknown_tenant_weighs_one() -> None:
    """Whoever is not named is not starved, and not favoured."""
    queue = FairQueue({"big": 3})
    for seq in range(8):
        queue.push(job(seq, tenant="big"))
        queue.push(job(100 + seq, tenant="small"))

    assert drained(queue)[:8] == [0, 1, 2, 100, 3, 4, 5, 101]


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 4)),
    st.lists(st.sampled_from("abc"), max_size=60),
    st.integers(0, 30),
    st.sampled_from("abc"),
)
def test_what_is_said_to_go_first_is_never_too_little(
    weights: dict[str, int], waiting: list[str], popped: int, tenant: str
) -> None:
    """A predicted wait may be too long by a started turn, never too short."""
    queue = FairQueue(weights)
    for seq, each in enumerate(waiting):
        queue.push(job(seq, tenant=each))
    for _ in range(min(popped, len(queue))):
        queue.pop()
    ahead = queue.ahead_of(Priority.BOOK, tenant)
    newcomer = job(1000, tenant=tenant)
    queue.push(newcomer)
    before = drained(queue).index(1000)

    assert before <= ahead <= before + sum(weights.get(t, 1) for t in "abc")


def test_a_flood_of_one_tenant_is_no_wait_for_another() -> None:
    """Ten thousand of theirs, one turn of theirs before the first of ours."""
    queue = FairQueue({"big": 3})
    for seq in range(10_000):
        queue.push(job(seq, tenant="big"))

    assert (queue.ahead_of(Priority.BOOK, "small"), queue.ahead_of(Priority.BOOK, "big")) == (3, 10_000)
