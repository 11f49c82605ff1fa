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
        assert {j.seq for j in queue} == {j.seq for j in model}
