"""The coordinator and its link on real ZooKeeper servers that break."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from leasebeat.coordination.election import Candidacy
from leasebeat.coordination.kazoo_link import KazooLink, ZooKeeperAddress
from leasebeat.coordination.link import NotAllowed
from leasebeat.coordination.zookeeper import ZooKeeperCoordinator
from leasebeat.errors import CoordinatorUnavailable, LeasebeatError, NameTaken
from leasebeat.model.node import Member, NodeFacts, NodeState
from leasebeat.runtime import SystemRuntime
from leasebeat.testing.zookeeper import ZooKeeper, ZooKeeperEnsemble

RUNTIME = SystemRuntime()
SESSION_S = 4.0
FACTS = NodeFacts("a" * 32, "a", "h", "", 1, "b", "n", 1, 4, 10.0, {"default": None}, (), "0", "t")
roots = count()

Wait = Callable[[Callable[[], object], float], None]


class Trust:
    """A lease as the coordinator sees it."""

    def __init__(self) -> None:
        self.until = float("-inf")
        self.suspended = self.revoked = False

    def vouch(self, until: float) -> None:
        self.until, self.suspended = until, False

    def suspend(self) -> None:
        self.suspended = True

    def revoke(self) -> None:
        self.revoked = True


class Bench:
    """Coordinators on one root of the ensemble."""

    def __init__(self, ensemble: ZooKeeperEnsemble) -> None:
        self.address = ZooKeeperAddress(ensemble.hosts, SESSION_S)
        self.root = f"/it{next(roots)}/deep"
        self.links: list[KazooLink] = []

    def close(self) -> None:
        while self.links:
            self.links.pop().close()

    def link(self, **changes: object) -> KazooLink:
        self.links.append(KazooLink(replace(self.address, **changes), RUNTIME))
        return self.links[-1]

    def node(self, name: str) -> tuple[ZooKeeperCoordinator, Trust, int]:
        coordinator, trust = ZooKeeperCoordinator(RUNTIME, self.link(), self.root), Trust()
        coordinator.bind(trust, lambda: None, lambda _: None)
        czxid = coordinator.enter(replace(FACTS, id=name * 32, name=name))
        return coordinator, trust, czxid


@pytest.fixture
def bench(ensemble: ZooKeeperEnsemble) -> Iterator[Bench]:
    found = Bench(ensemble)
    yield found
    found.close()


def member(name: str, czxid: int) -> Member:
    return Member(name * 32, name, NodeState.LIVE, 1, 0, 10.0, 4, {"default": None}, czxid=czxid)


def turn(coordinator: ZooKeeperCoordinator) -> bool:
    """One turn; False if ZooKeeper did not answer."""
    try:
        coordinator.turn()
    except LeasebeatError:
        return False
    return True


def test_the_root_is_made_and_trust_is_two_thirds_of_what_was_negotiated(bench: Bench):
    before = RUNTIME.boottime()
    coordinator, trust, czxid = bench.node("a")
    assert coordinator.present
    assert czxid > 0
    assert before + SESSION_S * 2 / 3 <= trust.until <= RUNTIME.boottime() + SESSION_S * 2 / 3


def test_a_session_is_what_the_server_gives_not_what_was_asked_for(bench: Bench, eventually: Wait):
    link = bench.link(session_s=100.0)
    eventually(lambda: link.connection, 10)
    connection = link.connection
    assert connection is not None
    assert connection.session_s == pytest.approx(10.0)  # 20 ticks of 0.5 s


def test_a_name_that_another_session_holds_is_refused(bench: Bench):
    bench.node("a")
    with pytest.raises(NameTaken, match="another session"):
        bench.node("a")


def test_the_purger_watches_a_session_and_then_takes_a_vanished_znode_at_once(bench: Bench, eventually: Wait):
    a, _, czxid = bench.node("a")
    b, _, _ = bench.node("b")

    def look() -> list[Member]:
        b.look([member("a", czxid)], RUNTIME.boottime())
        turn(b)
        return b.dead(RUNTIME.boottime())

    assert look() == []
    a.leave()
    eventually(look, 3 * SESSION_S)
    assert [found.name for found in look()] == ["a"]


@pytest.mark.fault(53)
def test_a_znode_that_is_removed_by_hand_is_noticed_without_any_watch(bench: Bench, eventually: Wait):
    a, trust, _ = bench.node("a")
    bench.links[0].listen(lambda: None, lambda: None)  # no hint reaches it
    bench.link().delete(f"{bench.root}/nodes/a")
    eventually(lambda: turn(a) and not a.present, 10)
    assert trust.revoked


@pytest.mark.fault(52)
def test_candidates_that_lost_creates_have_left_behind_are_cleared_away(bench: Bench):
    link = bench.link()
    for path in (f"/{bench.root.split('/')[1]}", bench.root, f"{bench.root}/auditor"):
        link.create(path, b"")
    for _ in range(3):  # creates whose answers never came
        link.create(f"{bench.root}/auditor/me-", b"", ephemeral=True, sequential=True)
    mine, other = Candidacy(link, bench.root, "me", "a"), Candidacy(bench.link(), bench.root, "other", "b")
    assert mine.stand()
    assert not other.stand()
    assert len(link.children(f"{bench.root}/auditor")) == 2
    mine.withdraw()
    assert other.stand()


@pytest.mark.fault(48)
def test_a_frozen_server_is_left_within_the_session_and_the_znode_verified(
    bench: Bench, ensemble: ZooKeeperEnsemble, eventually: Wait
):
    follower = next(server for server in ensemble.servers if not server.leads)
    hosts = f"{follower.hosts},{ensemble.leader().hosts}"
    coordinator, trust = ZooKeeperCoordinator(RUNTIME, bench.link(hosts=hosts), bench.root), Trust()
    coordinator.bind(trust, lambda: None, lambda _: None)
    coordinator.enter(FACTS)
    follower.freeze()
    try:
        eventually(lambda: turn(coordinator) and not trust.suspended, 2 * SESSION_S)
    finally:
        follower.thaw()
    assert coordinator.present
    assert not trust.revoked


def test_strangers_may_neither_read_nor_write_what_an_account_has_made(bench: Bench):
    own = bench.link(auth="fleet:secret")
    own.create(f"/{bench.root.split('/')[1]}", b"")
    for stranger in (bench.link(), bench.link(auth="fleet:wrong")):
        with pytest.raises(NotAllowed):
            stranger.children(f"/{bench.root.split('/')[1]}")
    assert own.children(f"/{bench.root.split('/')[1]}") == []


def test_without_an_answer_nothing_is_sent_later(bench: Bench, ensemble: ZooKeeperEnsemble):
    del ensemble
    link = bench.link(hosts="127.0.0.1:1")
    with pytest.raises(CoordinatorUnavailable, match="not connected"):
        link.create("/never", b"")


def test_a_zookeeper_that_comes_back_empty_convicts_nobody_before_he_knows_himself(
    bench: Bench, tmp_path: Path, eventually: Wait
):
    with ZooKeeper(tmp_path) as server:
        bench.address = ZooKeeperAddress(server.hosts, SESSION_S)
        a, trust, czxid = bench.node("a")
        b, _, _ = bench.node("b")

        def look() -> bool:
            b.look([member("a", czxid)], RUNTIME.boottime())
            return turn(b)

        seen = RUNTIME.boottime()
        eventually(lambda: look() and turn(a) and RUNTIME.boottime() - seen > SESSION_S + 1, 20)
        server.stop()
        shutil.rmtree(server.folder / "data" / "version-2")
        server.start()
        eventually(look, 40)  # b is there again, and everything is made anew
        assert b.dead(RUNTIME.boottime()) == []
        eventually(lambda: [turn(a), trust.revoked][1], 20)
        assert b.dead(RUNTIME.boottime()) == []
        assert a.enter(FACTS) != czxid
        eventually(lambda: look() and b.dead(RUNTIME.boottime()), 3 * SESSION_S)
        bench.close()
