"""Weighted rendezvous hashing."""

from collections import Counter

import pytest

from leasebeat.model.node import Member, NodeState
from leasebeat.node.ranking import BUCKETS, Ranking, bucket_of


def nodes(count: int, slots: int = 20, **other: object) -> list[Member]:
    return [
        Member(f"id{n}", f"web{n}", NodeState.LIVE, 1, 0, 10.0, slots, {"default": None}, **other)  # type: ignore[arg-type]
        for n in range(count)
    ]


def firsts(ranking: Ranking, members: list[Member], buckets: range = range(4096)) -> Counter[str]:
    return Counter(m.id for m in members for b in buckets if ranking.of(m.id, "default", b) == 0)


def test_every_bucket_has_one_first_second_and_third():
    members = nodes(5)
    ranking = Ranking(members)
    for bucket in range(200):
        ranks = sorted(r for m in members if (r := ranking.of(m.id, "default", bucket)) is not None)
        assert ranks == [0, 1, 2]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_load_is_spread_evenly(count: int):
    members = nodes(count)
    shares = firsts(Ranking(members), members)
    assert all(abs(shares[m.id] - 4096 / count) < 0.1 * 4096 / count for m in members)


def test_more_slots_get_more_fires():
    members = [*nodes(1, slots=10), *[m for m in nodes(2, slots=30) if m.id == "id1"]]
    shares = firsts(Ranking(members), members)
    assert 2.5 < shares["id1"] / shares["id0"] < 3.5


@pytest.mark.fault(62)
def test_a_node_that_leaves_moves_only_its_own_buckets():
    members = nodes(4)
    before, after = Ranking(members), Ranking(members[1:])
    for bucket in range(500):
        for member in members[1:]:
            if before.of(member.id, "default", bucket) == 0:
                assert after.of(member.id, "default", bucket) == 0


@pytest.mark.fault(62)
def test_a_restarted_node_gets_its_buckets_back():
    old, new = (
        nodes(3),
        [*nodes(2), Member("other", "web2", NodeState.LIVE, 1, 0, 10.0, 20, {"default": None})],
    )
    before, after = Ranking(old), Ranking(new)
    assert [before.of("id2", "default", b) for b in range(300)] == [
        after.of("other", "default", b) for b in range(300)
    ]


def test_only_nodes_that_serve_the_queue_are_ranked():
    members = nodes(2)
    assert [Ranking(members).of(m.id, "gpu", 1) for m in members] == [None, None]


def test_a_node_two_beats_silent_leaves_the_ranking_before_its_purge():
    members = nodes(2)
    assert Ranking(members, now=19_999_999).of("id0", "default", 1) is not None
    assert Ranking(members, now=20_000_000).of("id0", "default", 1) is None


@pytest.mark.parametrize("state", [NodeState.CORDONED, NodeState.DRAINING])
def test_nodes_that_take_no_work_are_not_ranked(state: NodeState):
    cordoned = Member("c", "web9", state, 1, 0, 10.0, 20, {"default": None})
    assert Ranking([*nodes(1), cordoned]).of("c", "default", 3) is None


def test_nodes_without_the_dispatch_role_open_nothing():
    assert Ranking(nodes(1, roles=frozenset({"execute"}))).of("id0", "default", 0) is None


def test_buckets_are_the_same_everywhere_and_in_range():
    assert bucket_of(7) == bucket_of(7) != bucket_of(8)
    assert all(0 <= bucket_of(i, 3) < BUCKETS for i in range(1000))
