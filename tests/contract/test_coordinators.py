"""What a node may rely on, whichever coordinator its fleet has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Protocol

import pytest

from leasebeat.coordination.base import Coordinator
from leasebeat.coordination.kazoo_link import KazooLink, ZooKeeperAddress
from leasebeat.coordination.store import StoreCoordinator
from leasebeat.coordination.zookeeper import ZooKeeperCoordinator
from leasebeat.errors import LeasebeatError
from leasebeat.model.node import Member, NodeFacts, NodeState
from leasebeat.runtime import SystemRuntime
from leasebeat.testing.zookeeper import ZooKeeperEnsemble

FACTS = NodeFacts("o" * 32, "other", "h", "", 1, "b", "n", 1, 4, 10.0, {"default": None}, (), "0", "t")
SESSION_S = 1.5
roots = count()


class Bench(Protocol):
    """A node that watches another one."""

    own: Coordinator
    wait_s: float  #: what must have been watched before anybody is dead

    def watch(self, seconds: float) -> list[str]:
        """Look for so long; the names of the dead."""
        ...

    def miss(self) -> None:
        """Looks fail for a moment."""
        ...

    def die(self) -> None:
        """The other one is gone."""
        ...


class OverStore:
    def __init__(self) -> None:
        self.own: Coordinator = StoreCoordinator()
        self.wait_s = 30.0
        self.now, self.beat_seq, self.alive = 1000.0, 1, True
        self.own.bind(Nobody(), lambda: None, lambda _: None)
        assert self.own.enter(FACTS) is None

    def watch(self, seconds: float) -> list[str]:
        for _ in range(round(seconds)):
            self.now += 1
            self.beat_seq += self.alive
            shown = Member(
                "o" * 32, "other", NodeState.LIVE, self.beat_seq, 0, 10.0, 4, {}, stale=not self.alive
            )
            self.own.look([shown], self.now)
        return [member.name for member in self.own.dead(self.now)]

    def miss(self) -> None:
        self.own.missed_look()

    def die(self) -> None:
        self.alive = False


class Nobody:
    def vouch(self, until: float) -> None: ...
    def suspend(self) -> None: ...
    def revoke(self) -> None: ...


class OverZooKeeper:
    def __init__(self, ensemble: ZooKeeperEnsemble) -> None:
        self.runtime, self.wait_s = SystemRuntime(), SESSION_S
        root = f"/contract{next(roots)}"
        self.links = [KazooLink(ZooKeeperAddress(ensemble.hosts, SESSION_S), self.runtime) for _ in "ab"]
        self.mine, self.other = (ZooKeeperCoordinator(self.runtime, link, root) for link in self.links)
        self.own: Coordinator = self.mine
        self.own.bind(Nobody(), lambda: None, lambda _: None)
        self.other.bind(Nobody(), lambda: None, lambda _: None)
        self.own.enter(replace(FACTS, id="w" * 32, name="own"))
        self.czxid: int | None = self.other.enter(FACTS)
        self.alive = True

    def watch(self, seconds: float) -> list[str]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            shown = Member("o" * 32, "other", NodeState.LIVE, 1, 0, 10.0, 4, {}, czxid=self.czxid)
            self.own.look([shown], self.runtime.boottime())
            for each in [self.mine, *([self.other] if self.alive else [])]:
                self._turn(each)
            time.sleep(0.1)
        return [member.name for member in self.own.dead(self.runtime.boottime())]

    def _turn(self, each: ZooKeeperCoordinator) -> None:
        try:
            each.turn()
        except LeasebeatError:
            return  # the next turn comes

    def miss(self) -> None:
        self.links[0]._drop()

    def die(self) -> None:
        self.alive = False
        self.links[1].close()

    def close(self) -> None:
        for link in self.links:
            link.close()


@pytest.fixture(params=["store", "zookeeper"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "store":
        yield OverStore()
        return
    found = OverZooKeeper(request.getfixturevalue("ensemble"))
    yield found
    found.close()


def test_who_keeps_up_is_dead_to_nobody(bench: Bench):
    assert bench.watch(2 * bench.wait_s) == []


def test_who_is_gone_is_dead_to_who_has_watched_for_long_enough(bench: Bench):
    bench.watch(1.1)
    bench.die()
    assert bench.watch(2 * bench.wait_s + 2) == ["other"]


def test_who_could_not_look_begins_to_watch_again(bench: Bench):
    bench.watch(1.1)
    bench.die()
    bench.watch(bench.wait_s / 2)
    bench.miss()
    assert bench.watch(bench.wait_s * 0.6) == []
    assert bench.watch(2 * bench.wait_s) == ["other"]


def test_nobody_is_dead_to_who_has_not_looked(bench: Bench):
    bench.die()
    assert bench.watch(0) == []


def test_a_node_that_may_lead_may_withdraw_and_come_again(bench: Bench):
    for _ in range(2):
        bench.own.may_lead()
        bench.watch(1.1)
        assert bench.own.may_lead()
        bench.own.withdraw()
        bench.watch(1.1)
