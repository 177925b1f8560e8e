"""Where and with what a run may run at the same time: each column and value, on three nodes."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from leasebeat.model.instant import to_text
from leasebeat.testing.trials.cases import each, job, once, proves
from leasebeat.testing.trials.seen import Seen

pytestmark = pytest.mark.slow

RAN = ("succeeded", None)
FIVE = range(5)


@proves("queue", "name", job("one-node", "say $LEASEBEAT_NODE", queue="only-b", shards=3))
def test_only_nodes_that_serve_the_queue_run_it(seen: Seen) -> None:
    assert seen.nodes("one-node") == ["b", "b", "b"] == seen.said("one-node")


@proves("queue", "name", job("no-node", queue="nobody", misfire_grace_s=7))
def test_what_nobody_serves_waits_and_is_missed(seen: Seen) -> None:
    run = seen.run("no-node")
    assert (run["status"], run["reason_code"], run["queue"]) == ("missed", "no_slot", "nobody")
    assert seen.begun("no-node") == []


@proves(
    "queues.paused",
    "1",
    job("resting", when=once(1), queue="resting"),
    setup=lambda plan: ["INSERT INTO queues (name, paused) VALUES ('resting', 1)"],
    steps={5: "UPDATE queues SET paused = 0 WHERE name = 'resting'"},
)
def test_nothing_of_a_paused_queue_begins(seen: Seen) -> None:
    run = seen.run("resting")
    assert (run["status"], run["fire_at"], run["claimed_at"] >= seen.at(5)) == ("succeeded", seen.at(1), True)


@proves(
    "priority",
    "number",
    job("plug-tight", "sleep 4", once(0), queue="tight", overlap="allow", route="any"),
    job("low", when=once(2), queue="tight", priority=-5),
    job("middle", when=once(2), queue="tight"),
    job("high", when=once(2), queue="tight", priority=7),
)
def test_the_highest_priority_begins_first(seen: Seen) -> None:
    assert seen.order("plug-tight", "low", "middle", "high") == ["plug-tight", "high", "middle", "low"]


@proves(
    "route",
    "sticky",
    *(job(f"sticky-{n}", when=each(0, 4), route="sticky", shards=2, overlap="allow") for n in FIVE),
    ignored="spread",
)
def test_the_parts_of_a_sticky_schedule_stay_on_their_nodes(seen: Seen) -> None:
    assert seen.ends(*names("sticky")) == [RAN] * 50
    assert at_home(seen, *names("sticky")) == 50


@proves(
    "route",
    "spread",
    *(job(f"spread-{n}", when=each(0, 4), route="spread", shards=2, overlap="allow") for n in FIVE),
)
def test_the_fires_of_a_spread_schedule_are_on_all_nodes(seen: Seen) -> None:
    assert seen.ends(*names("spread")) == [RAN] * 50
    assert at_home(seen, *names("spread")) < 45
    assert set(seen.nodes(*names("spread"))) == {"a", "b", "c"}


@proves("route", "any", job("any", "sleep 3", once(0), route="any", queue="uneven", shards=5))
def test_whichever_node_is_free_takes_a_run(seen: Seen) -> None:
    """Node a has room for one of that queue, b for four; dealt evenly some would have to wait."""
    assert Counter(seen.nodes("any")) == {"a": 1, "b": 4}
    assert seen.at_once("any") == 5


@proves(
    "route",
    "all",
    job("everywhere", "say $LEASEBEAT_SHARD of $LEASEBEAT_SHARDS on $LEASEBEAT_NODE", route="all"),
)
def test_each_live_node_gets_a_run_of_its_own(seen: Seen) -> None:
    assert sorted(seen.said("everywhere")) == ["0 of 3 on a", "1 of 3 on b", "2 of 3 on c"]
    assert seen.ends("everywhere") == [RAN] * 3


@proves("route", "all", job("both", "say $LEASEBEAT_NODE", route="all", queue="two"))
def test_only_nodes_that_serve_the_queue_get_one(seen: Seen) -> None:
    assert sorted(seen.said("both")) == ["a", "b"]


@proves(
    "route",
    "node:NAME",
    *(job(f"on-{node}-{n}", when=once(n), route=f"node:{node}") for node in "abc" for n in range(3)),
)
def test_only_the_named_node_runs_it(seen: Seen) -> None:
    found = {node: seen.nodes(*(f"on-{node}-{n}" for n in range(3))) for node in "abc"}
    assert found == {"a": ["a"] * 3, "b": ["b"] * 3, "c": ["c"] * 3}


@proves("shards", "number", job("parts", "say $LEASEBEAT_SHARD of $LEASEBEAT_SHARDS", shards=9))
def test_a_fire_is_divided_evenly_over_the_nodes(seen: Seen) -> None:
    assert sorted(seen.said("parts")) == [f"{shard} of 9" for shard in range(9)]
    assert seen.of("shard", "parts") == list(range(9))
    assert Counter(seen.nodes("parts")) == {"a": 3, "b": 3, "c": 3}


@proves(
    "shard_args",
    "list",
    job("cities", "say $LEASEBEAT_SHARD $LEASEBEAT_SHARD_ARG", shards=2, shard_args=["Beijing", "Tianjin"]),
)
def test_each_shard_is_told_its_parameter(seen: Seen) -> None:
    told = dict(line.split() for line in seen.said("cities"))
    assert {shard: json.loads(city) for shard, city in told.items()} == {"0": "Beijing", "1": "Tianjin"}


@pytest.mark.fault(77)
@proves("overlap", "skip", job("skip", "sleep 4", each(0, 2), overlap="skip"), ignored="allow")
def test_a_fire_is_skipped_while_a_run_is_open(seen: Seen) -> None:
    assert seen.ends("skip") == [RAN, ("skipped", "overlap"), ("skipped", "overlap")]
    assert all(to_text(seen.at(0)) in reason for reason in seen.of("reason", "skip")[1:])


@pytest.mark.fault(77)
@proves("overlap", "wait", job("wait", "sleep 4", each(0, 2), overlap="wait"))
def test_one_fire_waits_and_the_others_are_skipped(seen: Seen) -> None:
    assert seen.ends("wait") == [RAN, RAN, ("skipped", "overlap")]
    assert [found.key for found in seen.begun("wait")] == [seen.key("wait", 0), seen.key("wait", 1)]
    assert seen.at_once("wait") == 1


@pytest.mark.fault(77)
@proves("overlap", "replace", job("replace", "sleep 5", each(0, 2), overlap="replace"))
def test_the_newest_fire_takes_the_place_of_the_older_ones(seen: Seen) -> None:
    *older, newest = seen.ends("replace")
    assert (len(older), newest) == (2, RAN)
    assert set(older) <= {("killed", "replaced"), ("skipped", "replaced")}
    assert seen.at_once("replace") == 1


@pytest.mark.fault(77)
@proves("overlap", "allow", job("allow", "sleep 4", each(0, 2), overlap="allow"))
def test_runs_of_a_schedule_may_run_at_once(seen: Seen) -> None:
    assert (seen.ends("allow"), seen.at_once("allow")) == ([RAN] * 3, 3)


@proves(
    "lane",
    "of size 1",
    job("plug-line", "sleep 4", once(0), lane="line"),
    job("line-low", "sleep 0.2", once(2), lane="line", priority=-1),
    job("line-one", "sleep 0.2", once(2), lane="line"),
    job("line-two", "sleep 0.2", once(2), lane="line"),
    job("line-high", "sleep 0.2", once(2), lane="line", priority=1),
)
def test_a_lane_that_is_not_listed_runs_one_at_a_time_in_its_order(seen: Seen) -> None:
    expected = ["plug-line", "line-high", "line-one", "line-two", "line-low"]
    assert seen.order(*expected) == expected
    assert seen.at_once(*expected) == 1


@proves(
    "lanes.size",
    "number",
    *(job(f"pair-{n}", "sleep 1", once(0), lane="pair") for n in FIVE),
    setup=lambda plan: ["INSERT INTO lanes (name, size) VALUES ('pair', 2)"],
)
def test_a_lane_runs_as_many_at_once_as_its_size(seen: Seen) -> None:
    assert (seen.ends(*names("pair")), seen.at_once(*names("pair"))) == ([RAN] * 5, 2)


@proves(
    "lane",
    "with overlap",
    job("lane-skip", "sleep 3", each(0, 1), lane="shared", overlap="skip"),
    job("lane-wait", "sleep 0.5", each(0, 3), lane="shared", overlap="wait"),
)
def test_a_schedule_may_have_both_a_lane_and_an_overlap_policy(seen: Seen) -> None:
    assert seen.at_once("lane-skip", "lane-wait") == 1
    assert seen.ends("lane-skip") == [RAN, ("skipped", "overlap")]
    assert Counter(seen.ends("lane-wait"))[("skipped", "overlap")] > 0


@proves(
    "lane",
    "with retries",
    job(
        "lane-retry",
        "[ $LEASEBEAT_ATTEMPT = 2 ] || { sleep 4; fail 1; }",
        lane="again",
        retries=1,
        retry_delay_s=3,
    ),
    job("lane-other", "sleep 1", when=once(2), lane="again"),
)
def test_a_run_that_waits_for_its_retry_leaves_its_lane_to_others(seen: Seen) -> None:
    assert seen.order("lane-retry", "lane-other") == ["lane-retry", "lane-other", "lane-retry"]
    assert seen.at_once("lane-retry", "lane-other") == 1


def names(word: str) -> list[str]:
    return [f"{word}-{n}" for n in FIVE]


def at_home(seen: Seen, *names: str) -> int:
    """How many executions were on the node on which most of their schedule's, and of their shard, were."""
    places: dict[tuple[str, str], Counter[str]] = {}
    for found in seen.begun(*names):
        name, _, rest = found.key.rpartition("@")
        places.setdefault((name, rest.partition("#")[2]), Counter())[found.node_id] += 1
    return sum(max(place.values()) for place in places.values())
