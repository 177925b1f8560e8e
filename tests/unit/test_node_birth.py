"""Joining under a name that another node has, or had."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from leasebeat.coordination.store import StoreCoordinator
from leasebeat.journal.base import MemoryJournal
from leasebeat.model.instant import from_seconds
from leasebeat.model.node import NodeFacts, NodeState, Vitals
from leasebeat.model.run import RunKey
from leasebeat.node.clock import StoreClock
from leasebeat.node.finish import Keep, Outbox
from leasebeat.node.heartbeat import Heartbeat
from leasebeat.node.lease import Lease
from leasebeat.node.standing import Standing
from leasebeat.store.rows import FinishRow
from leasebeat.store.sql import SqlStore
from leasebeat.store.sqlite import SqliteSession, create
from leasebeat.testing.manual import ManualRuntime

FACTS = NodeFacts(
    "", "web1", "h", "127.0.0.1", 7, "boot2", "ns", 70, 20, 10.0, {"default": None}, ("execute",), "0", "t"
)
FORMER = replace(FACTS, id="f" * 32, pid=6, boot_id="boot1", process_start=60)


class Leash:
    def renew(self, deadline: float) -> None: ...

    def alive(self) -> bool:
        return True

    def restore(self) -> None: ...

    def close(self) -> None: ...


class NothingRuns:
    def running(self, leashed_only: bool = False) -> list[object]:
        del leashed_only
        return []

    def lose(self) -> None: ...


class Birth:
    """A heartbeat on a real SQLite store, whose clock the test moves."""

    def __init__(self, path: Path, gone: bool = False) -> None:
        self.runtime = ManualRuntime()
        create(path, "UTC")
        session = SqliteSession(path, self.runtime, clock=lambda: from_seconds(1e9 + self.runtime.now))
        self.store = SqlStore(session)
        lease = Lease(self.runtime, Leash(), FACTS.beat_s)
        self.standing = Standing(FACTS, StoreClock(self.runtime), lease)
        self.outbox = Outbox(self.runtime, MemoryJournal())
        self.heartbeat = Heartbeat(
            self.runtime,
            self.store,
            self.standing,
            StoreCoordinator(),
            NothingRuns(),  # type: ignore[arg-type]
            self.outbox,
            lambda _: gone,
            Vitals,
        )

    def turns_until_joined(self, most: int) -> int:
        for turn in range(most):
            if self.standing.node_id is not None:
                return turn
            self.runtime.advance(self.heartbeat.run_once().wait_s)
        return most


@pytest.fixture
def birth(tmp_path: Path) -> Birth:
    return Birth(tmp_path / "store.db")


def test_a_free_name_is_taken_at_once(birth: Birth):
    assert birth.turns_until_joined(5) == 1


def test_a_predecessor_that_is_provably_gone_is_purged_at_once(tmp_path: Path):
    birth = Birth(tmp_path / "store.db", gone=True)
    birth.store.join(FORMER)
    assert birth.turns_until_joined(5) == 2


def test_a_predecessor_is_purged_only_after_its_outcomes_were_recorded(tmp_path: Path):
    birth = Birth(tmp_path / "store.db", gone=True)
    birth.store.join(FORMER)
    birth.outbox.put(FORMER.id, FinishRow(RunKey(1, 1), 1, "succeeded"))
    Keep(birth.outbox).run_once()
    assert birth.turns_until_joined(20) == 20
    birth.outbox.drop(1)
    assert birth.turns_until_joined(5) == 2


def test_outcomes_that_the_store_never_takes_delay_a_purge_by_a_lease_only(tmp_path: Path):
    birth = Birth(tmp_path / "store.db", gone=True)
    birth.store.join(FORMER)
    birth.outbox.put(FORMER.id, FinishRow(RunKey(1, 1), 1, "succeeded"))
    Keep(birth.outbox).run_once()
    began = birth.runtime.now
    birth.turns_until_joined(1000)
    assert birth.standing.node_id is not None
    assert birth.runtime.now - began >= 30


def test_without_any_other_node_a_silent_namesake_is_watched_for_a_lease_and_then_purged(birth: Birth):
    birth.store.join(FORMER)
    began = birth.runtime.now
    birth.turns_until_joined(60)
    assert birth.standing.node_id is not None
    assert birth.runtime.now - began >= 30


@pytest.mark.fault(60)
def test_a_namesake_that_beats_is_waited_for(birth: Birth):
    birth.store.join(FORMER)
    for _ in range(60):
        birth.store.beat(FORMER.id, Vitals())
        birth.runtime.advance(birth.heartbeat.run_once().wait_s)
    assert birth.standing.node_id is None


def test_a_join_whose_reply_was_lost_is_this_very_process(birth: Birth):
    birth.store.join(replace(FACTS, id="e" * 32))
    assert birth.turns_until_joined(5) == 2


def test_a_node_that_was_cordoned_comes_back_cordoned(birth: Birth):
    birth.turns_until_joined(5)
    birth.standing.state = NodeState.CORDONED
    birth.standing.gone()
    birth.store.purge(birth.store.poll("", []).members[0].id, 1, watched=False)
    birth.turns_until_joined(5)
    assert birth.store.poll("", []).members[0].state == NodeState.CORDONED


def test_a_node_that_drains_does_not_join_again(birth: Birth):
    birth.standing.draining = True
    assert birth.turns_until_joined(5) == 5
