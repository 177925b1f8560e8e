"""Which of the queued runs a node takes first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from leasebeat.errors import Unknown
from leasebeat.model.instant import SECOND
from leasebeat.model.run import RunKey
from leasebeat.node.pull import Pull
from leasebeat.store.base import Candidate
from leasebeat.testing.manual import ManualRuntime

NODE = "n" * 32


class Queue:
    """A store that has these candidates and a free slot in each lane, and gives none of them out."""

    def __init__(self, *candidates: Candidate) -> None:
        self.candidates = candidates
        self.asked: list[RunKey] = []

    def pull_look(self, node_id: str, queue: str, limit: int, late: bool = True) -> list[Candidate]:
        return [candidate for candidate in self.candidates if late or not candidate.late][:limit]

    def lane_room(self, lanes: list[str]) -> dict[str, tuple[str, ...]]:
        return {lane: (f"{lane}:0",) for lane in lanes}

    def pull(self, node_id: str, rows: list[Candidate], limit: int) -> int:
        self.asked += [row.key for row in rows[:limit]]
        return len(rows[:limit])

    def mine(self, node_id: str, settle: int) -> list[Any]:
        return []


class Silent(Queue):
    """The same, and its answers are lost."""

    def pull(self, node_id: str, rows: list[Candidate], limit: int) -> int:
        super().pull(node_id, rows, limit)
        raise Unknown("no reply came")


class Time:
    """The store's clock, at a hundred seconds until it is moved."""

    seconds = 100.0

    def now(self) -> int:
        return round(self.seconds * SECOND)


def pulling(store: Queue, slots: int, clock: Time | None = None) -> Pull:
    """The service of a node with so many free slots, all of them for the queue `default`."""
    dispatch = SimpleNamespace(
        busy=0, reserve=lambda *_: slots, release=lambda *_: None, asking=lambda: 0.0, take=lambda *_: 0
    )
    standing = SimpleNamespace(
        node_id=NODE,
        takes_work=True,
        facts=SimpleNamespace(slots=slots, queues={"default": None}),
        pulls_from=["default"],
        clock=clock or Time(),
        poll=None,
    )
    return Pull(ManualRuntime(), cast("Any", store), cast("Any", standing), cast("Any", dispatch), 50)


def test_the_oldest_in_a_lane_goes_before_what_waits_for_less_long():
    store = Queue(
        Candidate(RunKey(1, 1), 0, 0, "nightly"),
        Candidate(RunKey(2, 1), 0, 0, "nightly"),
        Candidate(RunKey(3, 2), 0, 0),
    )
    pull = pulling(store, slots=1)
    pull.hint()
    pull.run_once()
    assert store.asked == [RunKey(1, 1)]


def test_a_lane_starts_by_instant_whatever_was_ready_first():
    store = Queue(Candidate(RunKey(5, 1), 0, 0, "nightly"), Candidate(RunKey(2, 1), 1, 0, "nightly"))
    pull = pulling(store, slots=2)
    pull.hint()
    pull.run_once()
    assert store.asked == [RunKey(2, 1)]


LATE = [Candidate(RunKey(number, 1), 0, late=True) for number in range(200)]


def at_work(pull: Pull, clock: Time, *seconds: float) -> None:
    """Hint at it at those times."""
    for at in seconds:
        clock.seconds = at
        pull.hint()
        pull.run_once()


def test_a_node_that_has_just_joined_leaves_a_catch_up_to_the_others():
    clock, store = Time(), Queue(*LATE, Candidate(RunKey(300, 2), 0))
    pull = pulling(store, slots=20, clock=clock)
    at_work(pull, clock, 100)
    assert store.asked == [RunKey(300, 2)]
    at_work(pull, clock, 103)
    assert RunKey(0, 1) in store.asked


def test_what_may_have_been_taken_counts_as_taken():
    clock, store = Time(), Silent(*LATE)
    pull = pulling(store, slots=40, clock=clock)
    at_work(pull, clock, 100)
    for at in (103, 103.5):
        with pytest.raises(Unknown):
            at_work(pull, clock, at)
    at_work(pull, clock, 104)
    assert len(store.asked) == 50


def test_a_catch_up_holds_up_nothing_but_itself():
    late = [Candidate(RunKey(number, 1), 0, late=True) for number in range(200)]
    store = Queue(*late, Candidate(RunKey(300, 2), 0))
    pull = pulling(store, slots=20)
    pull._caught_up.extend([100 * SECOND] * 50)
    pull.hint()
    pull.run_once()
    assert store.asked == [RunKey(300, 2)]
