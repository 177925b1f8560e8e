"""Shards, pins, named nodes and lanes: whole fires, who may pull what, and how many at once."""

from __future__ import annotations

from typing import Any

import pytest

from leasebeat.errors import Duplicate
from leasebeat.model.instant import from_seconds
from leasebeat.model.run import RunKey
from leasebeat.store.base import (
    BATCH,
    CLAIM_REACH,
    PINNED_AWAY,
    Candidate,
    ClaimRow,
    DressRow,
    Place,
    ReclaimRow,
    Store,
    Version,
)
from leasebeat.testing.trials.cases import proves
from tests.contract.store_bench import HOUR, LEFT, NODE, OTHER, START, Bench, ended, opening, retried
from tests.contract.test_store_overlap import bench_term, open_row, row_of


@pytest.fixture(autouse=True)
def _nodes(bench: Bench) -> None:
    bench.join()
    bench.join(OTHER, "other")


def shards(version: Version, count: int, **changes: Any) -> list[ClaimRow]:
    return [
        opening(version, shard=shard, shards=count, **{"run": False, "serial": f"1:{shard}", **changes})
        for shard in range(count)
    ]


def look(store: Store, node_id: str = NODE) -> list[RunKey]:
    found = store.pull_look(node_id, "default", 10)
    assert store.poll(node_id, ["default"]).ready == bool(found)
    return [candidate.key for candidate in found]


# shards


def test_a_fire_of_several_shards_is_opened_whole_by_one(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    assert store.claim_rest(NODE, START, shards(version, 3)) == 3
    assert store.claim_rest(OTHER, START, shards(version, 4)) == 0
    assert row_of(bench, RunKey(START, 1, 2), "status", "shards", "serial_held") == ("queued", 3, "1:2")
    assert bench.run(RunKey(START, 1, 3)) is None
    answers = store.claim_answer(OTHER, START, shards(version, 4))
    assert [(answer.shard, answer.answer) for answer in answers] == [(k, "other") for k in range(4)]


def test_of_the_shards_of_a_fire_some_may_be_born_running(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    rows = shards(version, 2, run=True)
    assert store.claim_rest(NODE, START, rows) == 2
    assert [(run.key.shard, run.shards) for run in bench.own()] == [(0, 2), (1, 2)]
    assert {answer.answer for answer in store.claim_answer(NODE, START, rows)} == {"mine"}


def test_a_fire_may_have_more_shards_than_a_batch_has_rows(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    count = BATCH + 7
    assert store.claim_rest(NODE, START, shards(version, count)) == count
    key = RunKey(bench.pass_time(1), 1)
    rows = [open_row(bench, key._replace(shard=k), "allow", serial=None, shards=count) for k in range(count)]
    assert store.open_missing(NODE, bench_term(bench), rows, 0) == count
    assert len(store.fire_runs([(START, 1), key[:2]])) == 2 * count


def test_the_audit_leaves_a_fire_alone_of_which_somebody_opened_the_first_shard(
    bench: Bench, store: Store
) -> None:
    store.claim_rest(NODE, START, shards(bench.schedule(1), 2))
    rows = [open_row(bench, RunKey(START, 1, k), "allow", serial=None, shards=3) for k in range(3)]
    assert store.open_missing(NODE, bench_term(bench), rows, 0) == 0
    assert len(store.fire_runs([(START, 1)])) == 2


def test_each_shard_is_judged_by_its_own_serial(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    store.claim_rest(NODE, START, shards(version, 2, run=True))
    store.finish(NODE, [ended(RunKey(START, 1, 0))])
    now = bench.pass_time(1)
    assert store.claim_rest(NODE, now, shards(version, 2, overlap="skip")) == 2
    assert [bench.status(RunKey(now, 1, k)) for k in range(2)] == ["queued", "skipped"]


def test_a_row_put_in_by_hand_is_divided_once(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    key = bench.insert_run(1, START)
    bench.change_run(key, requested_by="ada", priority=3)
    places = [Place(k, NODE, f"1:{k}") for k in (1, 2)]
    assert store.fan_out(key, places) == 2
    assert store.fan_out(key, places) == 0
    assert sorted(row.key.shard for row in store.undressed()) == [0, 1, 2]
    copied = row_of(bench, key._replace(shard=2), "status", "requested_by", "priority", "version", "origin")
    assert copied == ("queued", "ada", 3, None, "manual")
    rows = [
        DressRow(key._replace(shard=k), version.id, "default", 0, f"1:{k}", shards=3, pinned_node_id=OTHER)
        for k in range(3)
    ]
    assert store.dress(rows) == 3
    assert row_of(bench, key._replace(shard=1), "shards", "pinned_node_id") == (3, OTHER)


# pins


def test_a_shard_is_left_to_its_node_for_a_while(bench: Bench, store: Store) -> None:
    store.claim_rest(NODE, START, shards(bench.schedule(1), 2, pinned_node_id=OTHER))
    assert (look(store), len(look(store, OTHER))) == ([], 2)
    bench.pass_time(PINNED_AWAY / 1_000_000)
    assert len(look(store)) == 2


def test_a_shard_that_was_tried_may_go_anywhere(bench: Bench, store: Store) -> None:
    store.claim_rest(OTHER, START, shards(bench.schedule(1), 2, pinned_node_id=OTHER, run=True))
    key = RunKey(START, 1, 1)
    store.finish(OTHER, [retried(key)])
    assert look(store) == [key]


def test_a_run_of_route_all_is_for_its_node_alone(bench: Bench, store: Store) -> None:
    row = opening(bench.schedule(1, route="all"), run=True, pinned_node_id=OTHER)
    assert store.claim(NODE, START, [row]).count == 1
    assert bench.status(RunKey(START, 1)) == "queued"
    bench.pass_time(PINNED_AWAY / 1_000_000)
    assert (look(store), look(store, OTHER)) == ([], [RunKey(START, 1)])


@proves("route", "node:NAME")
def test_a_node_that_is_named_has_its_runs_for_itself(bench: Bench, store: Store) -> None:
    store.claim(NODE, START, [opening(bench.schedule(1, route="node:other"), run=False)])
    assert (look(store), look(store, OTHER)) == ([], [RunKey(START, 1)])


def test_runs_for_a_node_that_is_gone_are_closed(bench: Bench, store: Store) -> None:
    bench_term(bench)
    version = bench.schedule(1, route="all")
    store.claim_rest(OTHER, START, shards(version, 2, pinned_node_id=OTHER))
    assert store.pull(OTHER, [Candidate(RunKey(START, 1, 1), 0)], 1) == 1
    store.finish(OTHER, [retried(RunKey(START, 1, 1))])
    assert store.close_pinned() == 0
    assert not store.poll(NODE, ["default"]).sweep
    store.set_state(OTHER, LEFT)
    assert store.poll(NODE, ["default"]).sweep
    assert store.close_pinned() == 2
    assert row_of(bench, RunKey(START, 1, 0), "status", "reason_code") == ("missed", "no_node")
    assert row_of(bench, RunKey(START, 1, 1), "status", "reason_code") == ("lost", "node_lost")


def test_shards_for_a_node_that_is_gone_stay(bench: Bench, store: Store) -> None:
    store.claim_rest(NODE, START, shards(bench.schedule(1), 2, pinned_node_id=OTHER))
    bench.delete_node(OTHER)
    assert store.close_pinned() == 0
    bench.pass_time(PINNED_AWAY / 1_000_000)
    assert len(look(store)) == 2


def test_pinned_runs_expire_too(bench: Bench, store: Store) -> None:
    store.claim_rest(NODE, START, shards(bench.schedule(1), 2, pinned_node_id=OTHER))
    bench.pass_time(HOUR / 1_000_000 + 1)
    assert store.poll(NODE, ["default"]).sweep
    assert store.expire() == 2


def test_an_orphan_tells_its_route_and_keeps_its_pin(bench: Bench, store: Store) -> None:
    row = opening(bench.schedule(1, route="all"), pinned_node_id=OTHER)
    assert store.claim(OTHER, START, [row]).count == 1
    store.set_state(OTHER, LEFT)
    (orphan,) = store.orphans(thorough=False)
    assert orphan.route == "all"
    assert store.reclaim([ReclaimRow(orphan.key, 1, OTHER, False, "node gone")]) == 1
    assert row_of(bench, orphan.key, "status", "pinned_node_id") == ("lost", OTHER)


# lanes


def in_lane(bench: Bench, count: int) -> list[RunKey]:
    versions = [bench.schedule(number) for number in range(1, count + 1)]
    rows = [opening(version, lane="l") for version in versions]
    assert bench.store.claim(NODE, START, rows).count == count
    return [RunKey(START, number) for number in range(1, count + 1)]


def test_a_run_in_a_lane_is_born_queued_and_takes_a_slot_by_a_pull(bench: Bench, store: Store) -> None:
    first, second = in_lane(bench, 2)
    found = store.pull_look(NODE, "default", 10)
    assert [(each.key, each.lane) for each in found] == [(first, "l"), (second, "l")]
    assert store.lane_room(["l", "empty"]) == {"l": ("l:0",), "empty": ("empty:0",)}
    assert store.pull(NODE, [Candidate(first, 0, lane="l", lane_slot="l:0")], 1) == 1
    assert store.lane_room(["l"]) == {"l": ()}
    assert look(store) == []
    store.finish(NODE, [ended(first)])
    assert row_of(bench, first, "lane", "lane_slot") == ("l", None)
    assert look(store) == [second]


@proves("lanes.size", "number")
def test_a_lane_has_as_many_slots_as_it_was_given(bench: Bench, store: Store) -> None:
    keys = in_lane(bench, 3)
    bench.size_lane("l", 2)
    for key, slot in zip(keys, ("l:0", "l:1"), strict=False):
        assert store.pull(NODE, [Candidate(key, 0, lane_slot=slot)], 1) == 1
    assert (look(store), store.lane_room(["l"])) == ([], {"l": ()})
    bench.size_lane("l", 3)
    assert (look(store), store.lane_room(["l"])) == ([keys[2]], {"l": ("l:2",)})


def test_a_lane_that_became_smaller_has_room_when_enough_have_ended(bench: Bench, store: Store) -> None:
    first, second, third = in_lane(bench, 3)
    bench.size_lane("l", 2)
    store.pull(NODE, [Candidate(first, 0, lane_slot="l:0")], 1)
    store.pull(NODE, [Candidate(second, 0, lane_slot="l:1")], 1)
    bench.size_lane("l", 1)
    store.finish(NODE, [ended(first)])
    assert (look(store), store.lane_room(["l"])) == ([], {"l": ()})
    store.finish(NODE, [ended(second)])
    assert (look(store), store.lane_room(["l"])) == ([third], {"l": ("l:0",)})


@proves("lane", "of size 1")
def test_a_slot_is_given_once(bench: Bench, store: Store) -> None:
    first, second = in_lane(bench, 2)
    assert store.pull(NODE, [Candidate(first, 0, lane_slot="l:0")], 1) == 1
    with pytest.raises(Duplicate):
        store.pull(OTHER, [Candidate(second, 0, lane_slot="l:0")], 1)
    assert bench.status(second) == "queued"
    assert store.pull(OTHER, [Candidate(second, 0)], 1) == 0


@proves("lane", "with retries")
def test_a_retry_gives_its_slot_back(bench: Bench, store: Store) -> None:
    (key,) = in_lane(bench, 1)
    store.pull(NODE, [Candidate(key, 0, lane_slot="l:0")], 1)
    store.finish(NODE, [retried(key)])
    assert row_of(bench, key, "status", "lane_slot") == ("queued", None)
    assert store.lane_room(["l"]) == {"l": ("l:0",)}


# catch-up


def test_what_an_audit_opened_long_after_its_instant_is_late(bench: Bench, store: Store) -> None:
    old, fresh = RunKey(START - CLAIM_REACH, 1), RunKey(START, 2)
    rows = [open_row(bench, key, "allow", serial=None) for key in (old, fresh)]
    assert store.catch_up_until() == 0
    assert store.open_missing(NODE, bench_term(bench), rows, 0) == 2
    late = {candidate.key: candidate.late for candidate in store.pull_look(NODE, "default", 10)}
    assert late == {old: True, fresh: False}
    assert [c.key for c in store.pull_look(NODE, "default", 10, late=False)] == [fresh]
    assert store.catch_up_until() == START


def test_a_catch_up_is_spread_until_its_last_run_is_ready(bench: Bench, store: Store) -> None:
    row = open_row(bench, RunKey(START, 1), "allow", serial=None, delay=from_seconds(40))
    store.open_missing(NODE, bench_term(bench), [row], 0)
    assert store.catch_up_until() == START + from_seconds(40)
