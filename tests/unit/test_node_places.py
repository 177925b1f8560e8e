"""How a fire is divided among the nodes."""

from collections import Counter

from leasebeat.model.node import Member, NodeState
from leasebeat.model.schedule import Schedule
from leasebeat.node.places import places
from leasebeat.node.ranking import Ranking
from leasebeat.testing.trials.cases import proves


def nodes(count: int, **other: object) -> list[Member]:
    values: dict[str, object] = {"queues": {"default": None}, **other}
    return [
        Member(f"id{n}", f"node{n}", NodeState.LIVE, 1, 0, 10.0, 20, **values)  # type: ignore[arg-type]
        for n in range(count)
    ]


def schedule(**columns: object) -> Schedule:
    return Schedule(7, "statements", "@daily", "true", **columns)  # type: ignore[arg-type]


@proves("shards", "number")
def test_a_hundred_shards_are_dealt_evenly_over_three_nodes():
    found = places(schedule(shards=100), 0, Ranking(nodes(3)))
    assert sorted(Counter(place.pinned_node_id for place in found).values()) == [33, 33, 34]
    assert [place.shard for place in found] == list(range(100))


def test_each_shard_wants_a_serial_of_its_own():
    assert [place.serial for place in places(schedule(shards=2), 0, Ranking(nodes(1)))] == ["7:0", "7:1"]


@proves("route", "spread")
def test_the_shards_of_a_spread_schedule_begin_with_another_node_at_other_instants():
    spread = schedule(shards=2, route="spread")
    firsts = {places(spread, instant, Ranking(nodes(5)))[0].pinned_node_id for instant in range(20)}
    assert len(firsts) > 1


@proves("route", "all")
def test_a_fire_for_all_nodes_has_a_place_on_each_that_serves_the_queue():
    fleet = [*nodes(2), *nodes(5, queues={"gpu": None})[2:4], *nodes(5, roles=frozenset({"dispatch"}))[4:]]
    found = places(schedule(route="all"), 0, Ranking(fleet))
    assert [(place.shard, place.pinned_node_id, place.serial) for place in found] == [
        (0, "id0", "7@node0"),
        (1, "id1", "7@node1"),
    ]


def test_shards_that_go_to_whoever_is_free_are_dealt_to_nobody():
    assert {
        place.pinned_node_id for place in places(schedule(shards=4, route="any"), 0, Ranking(nodes(2)))
    } == {None}


def test_the_named_node_opens_its_fires_first():
    ranking = Ranking(nodes(3))
    assert [ranking.of(f"id{n}", "default", 5, "node2") for n in range(3)][2] == 0
