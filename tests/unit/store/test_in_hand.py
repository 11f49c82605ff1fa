"""InHand: what a process has in hand is found by the next one, and nothing else is."""

from __future__ import annotations

from pathlib import Path

from engine.store.in_hand import MARK_BYTES, SLOTS, InHand


def mark(number: int) -> bytes:
    """A mark unlike others."""
    return number.to_bytes(MARK_BYTES, "big")


def test_what_was_never_put_down_is_left_to_the_next_process(tmp_path: Path) -> None:
    """A process that is gone left its marks in the file; what it had put down is not among them."""
    path = tmp_path / "store.in-hand"
    first = InHand(path)
    done, _ = first.take(mark(1)), first.take(mark(2))
    first.put_down(done)

    second = InHand(path)

    assert second.left == (mark(2),)


def test_what_was_left_is_told_until_it_is_written_elsewhere(tmp_path: Path) -> None:
    """A process that dies before it has written down what was left leaves it to the next; afterwards it is gone."""
    path = tmp_path / "store.in-hand"
    InHand(path).take(mark(1))

    second, third = InHand(path), InHand(path)
    third.forget_left()

    assert second.left == (mark(1),)
    assert third.left == InHand(path).left == ()


def test_full_hands_take_more_without_a_mark() -> None:
    """The message is handled all the same; room comes back with whatever is put down."""
    hands = InHand()
    places = [hands.take(mark(number + 1)) for number in range(SLOTS)]

    beyond = hands.take(mark(999))
    hands.put_down(beyond)
    hands.put_down(places[0])

    assert beyond == -1
    assert hands.take(mark(999)) == places[0]


def test_file_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    """Like everything beside the store."""
    path = tmp_path / "store.in-hand"

    InHand(path)

    assert path.stat().st_mode & 0o777 == 0o600
