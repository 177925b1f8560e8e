"""Queued runs: who may take which, in what order, and what else happens to them."""

from __future__ import annotations

import pytest

from leasebeat.errors import Duplicate
from leasebeat.model.instant import from_seconds
from leasebeat.model.run import RunKey
from leasebeat.store.base import START_FAILED_AWAY, Candidate, DressRow, SettleRow, Store
from leasebeat.testing.trials.cases import proves
from tests.contract.store_bench import (
    CORDONED,
    HOUR,
    NODE,
    OTHER,
    START,
    Bench,
    ended,
    opening,
    retried,
    taken,
)


@pytest.fixture(autouse=True)
def _nodes(bench: Bench) -> None:
    bench.join(NODE)
    bench.join(OTHER)


def look(store: Store, node: str = NODE, queue: str = "default", limit: int = 100) -> list[Candidate]:
    return store.pull_look(node, queue, limit)


def ready(store: Store, node: str = NODE, *queues: str) -> bool:
    return store.poll(node, queues or ("default",)).ready


def test_a_queued_run_is_found_and_taken_once(bench: Bench, store: Store) -> None:
    key = bench.queued(1)
    assert ready(store)
    assert look(store) == [Candidate(key, 0)]
    assert store.pull(NODE, [Candidate(key, 0)], 5) == 1
    assert store.pull(OTHER, [Candidate(key, 0)], 5) == 0
    assert not ready(store)
    (run,) = bench.own()
    assert (run.key, run.attempt, run.claimed_at, run.started_at) == (key, 1, START, None)


def test_of_two_pullers_with_the_same_look_each_run_has_one(bench: Bench, store: Store) -> None:
    for each in range(1, 7):
        bench.queued(each)
    seen = look(store)
    assert store.pull(OTHER, seen[:3], 3) + store.pull(NODE, seen, 6) == 6
    assert {run.key for run in bench.own(OTHER)} == {row.key for row in seen[:3]}
    assert {run.key for run in bench.own(NODE)} == {row.key for row in seen[3:]}


def test_no_more_than_the_limit_is_taken_the_best_first(bench: Bench, store: Store) -> None:
    for each in range(1, 5):
        bench.queued(each, priority=each)
    seen = look(store)
    assert store.pull(NODE, seen, 2) == 2
    assert [run.key.schedule_id for run in bench.own()] == [3, 4]


@proves("priority", "number")
def test_the_highest_priority_comes_first_then_what_is_ready_longest(bench: Bench, store: Store) -> None:
    bench.queued(1, priority=0)
    bench.queued(2, priority=5, delay=20)
    bench.queued(3, priority=5, delay=10)
    bench.queued(4, priority=-1)
    bench.pass_time(1)
    assert [row.key.schedule_id for row in look(store)] == [3, 2, 1, 4]
    assert [row.key.schedule_id for row in look(store, limit=2)] == [3, 2]


def test_a_look_is_at_one_queue(bench: Bench, store: Store) -> None:
    bench.queued(1, queue="heavy")
    assert look(store) == []
    assert not ready(store)
    assert ready(store, NODE, "default", "heavy")
    assert len(look(store, queue="heavy")) == 1


def test_what_is_not_ready_waits(bench: Bench, store: Store) -> None:
    bench.queued(1, delay=1000)
    assert (look(store), ready(store)) == ([], False)
    bench.pass_time(0.001)
    assert (len(look(store)), ready(store)) == (1, True)


def test_an_expired_run_that_never_started_is_not_taken(bench: Bench, store: Store) -> None:
    bench.queued(1, grace=1000)
    bench.pass_time(0.001)
    assert (look(store), ready(store)) == ([], False)


def test_a_retry_is_taken_after_its_time_all_the_same(bench: Bench, store: Store) -> None:
    key = bench.queued(1, grace=1000)
    store.pull(NODE, [taken(key, 0)], 1)
    store.finish(NODE, [retried(key)])
    bench.pass_time(60)
    assert look(store) == [Candidate(key, 1)]


def test_a_run_that_is_to_be_killed_is_not_taken(bench: Bench, store: Store) -> None:
    key = bench.queued(1)
    seen = look(store)
    bench.change_run(key, kill_requested=1)
    assert (look(store), ready(store)) == ([], False)
    assert store.pull(NODE, seen, 1) == 0


def test_a_run_pinned_to_another_node_is_left_to_it(bench: Bench, store: Store) -> None:
    key = bench.queued(1)
    bench.change_run(key, pinned_node_id=OTHER)
    assert (look(store, NODE), ready(store, NODE)) == ([], False)
    assert (len(look(store, OTHER)), ready(store, OTHER)) == (1, True)


def test_first_attempts_of_a_paused_schedule_wait(bench: Bench, store: Store) -> None:
    bench.queued(1)
    bench.put_schedule(1, enabled=0)
    assert (look(store), ready(store)) == ([], False)
    bench.put_schedule(1, enabled=1)
    assert (len(look(store)), ready(store)) == (1, True)


def test_retries_and_manual_runs_of_a_paused_schedule_go_on(bench: Bench, store: Store) -> None:
    retry = bench.running(1)
    store.finish(NODE, [retried(retry)])
    version = bench.schedule(2)
    manual = bench.insert_run(2, START)
    store.dress([DressRow(manual, version.id, "default", 0, None)])
    bench.put_schedule(1, enabled=0)
    bench.put_schedule(2, enabled=0)
    assert {row.key for row in look(store)} == {retry, manual}


@proves("queues.paused", "1")
def test_nothing_of_a_paused_queue_is_taken(bench: Bench, store: Store) -> None:
    bench.queued(1)
    bench.pause_queue("default")
    assert (look(store), ready(store)) == ([], False)


def test_what_could_not_start_here_is_left_to_the_others_for_a_while(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    store.finish(NODE, [retried(key, failed=False, reason_code="start_failed")])
    assert (look(store, NODE), ready(store, NODE)) == ([], False)
    assert (len(look(store, OTHER)), ready(store, OTHER)) == (1, True)
    bench.pass_time(START_FAILED_AWAY / 1_000_000)
    assert len(look(store, NODE)) == 1


@pytest.mark.parametrize("why", ["cordoned", "stale", "unknown"])
def test_a_node_that_is_not_live_takes_nothing(bench: Bench, store: Store, why: str) -> None:
    key = bench.queued(1)
    node = "x" * 32 if why == "unknown" else NODE
    if why == "cordoned":
        store.set_state(NODE, CORDONED)
    if why == "stale":
        bench.pass_time(30.1)
    assert store.pull(node, [taken(key, 0)], 1) == 0
    assert bench.status(key) == "queued"


def test_a_fence_grows_with_every_start_though_the_clock_stands_still(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    store.finish(NODE, [retried(key)])
    assert store.pull(OTHER, [taken(key, 1)], 1) == 1
    (run,) = bench.own(OTHER)
    assert (run.attempt, run.claimed_at) == (2, START + 1)


def test_a_fence_grows_though_the_clock_was_set_back(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    store.finish(NODE, [retried(key, delay=-from_seconds(100))])
    bench.pass_time(-5)
    store.pull(NODE, [taken(key, 1)], 1)
    assert bench.own()[0].claimed_at == START + 1


def test_own_rows_tell_why_the_attempt_before_ended(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    store.finish(NODE, [retried(key, failed=False, reason_code="start_failed")])
    store.pull(OTHER, [taken(key, 1)], 1)
    assert bench.own(OTHER)[0].reason_code == "start_failed"


def test_a_start_is_written_once_and_matches_again(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    now = bench.pass_time(1)
    assert store.start(NODE, [taken(key)]) == 1
    bench.pass_time(1)
    assert store.start(NODE, [taken(key)]) == 1  # the reply was lost
    assert bench.own()[0].started_at == now
    assert store.start(OTHER, [taken(key)]) == 0
    assert store.start(NODE, [taken(key, 2)]) == 0


# --- rows put in by hand ------------------------------------------------------------------------


def test_a_row_put_in_by_hand_is_dressed_before_it_is_taken(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    key = bench.insert_run(1, START)
    assert look(store) == []
    assert store.poll(NODE, ["default"]).sweep
    assert [row.key for row in store.undressed()] == [key]
    assert store.dress([DressRow(key, version.id, "heavy", 4, "1:0")]) == 1
    assert store.undressed() == []
    row = bench.run(key)
    assert row is not None
    assert (row["version"], row["queue"], row["priority"]) == (version.id, "heavy", 4)
    assert (row["serial"], row["serial_held"], row["origin"]) == ("1:0", "1:0", "manual")
    assert look(store, queue="heavy") == [Candidate(key, 0, priority=4)]


def test_a_row_is_dressed_once(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    key = bench.insert_run(1, START)
    assert store.dress([DressRow(key, version.id, "default", 0, None)]) == 1
    assert store.dress([DressRow(key, version.id, "heavy", 9, None)]) == 0


def test_dressing_beside_a_run_that_holds_the_serial_is_refused(bench: Bench, store: Store) -> None:
    bench.running(1, overlap="skip")
    version = store.versions([1])[0]
    key = bench.insert_run(1, START - 5)
    with pytest.raises(Duplicate):
        store.dress([DressRow(key, version.id, "default", 0, "1:0")])
    assert [row.key for row in store.undressed()] == [key]


def test_a_queued_run_that_never_started_can_be_ended(bench: Bench, store: Store) -> None:
    key = bench.queued(1, serial="1:0")
    now = bench.pass_time(1)
    assert store.settle([SettleRow(key, "skipped", "definition_changed", "no longer due")]) == 1
    row = bench.run(key)
    assert row is not None
    assert (row["status"], row["reason_code"], row["reason"]) == (
        "skipped",
        "definition_changed",
        "no longer due",
    )
    assert (row["finished_at"], row["serial"], row["serial_held"]) == (now, None, None)


def test_what_runs_or_has_run_is_not_settled(bench: Bench, store: Store) -> None:
    running, retry = bench.running(1), bench.running(2)
    store.finish(NODE, [retried(retry)])
    assert store.settle([SettleRow(key, "skipped", "overlap", "no") for key in (running, retry)]) == 0


# --- sweeps -------------------------------------------------------------------------------------


def test_a_queued_run_that_is_to_be_killed_is_ended_by_a_sweep(bench: Bench, store: Store) -> None:
    key, other = bench.queued(1, serial="1:0"), bench.queued(2)
    assert not store.poll(NODE, ["default"]).sweep
    bench.change_run(key, kill_requested=1)
    assert store.poll(NODE, ["default"]).sweep
    assert store.close_killed() == 1
    row = bench.run(key)
    assert row is not None
    assert (row["status"], row["reason_code"], row["finished_at"]) == ("killed", "kill_requested", START)
    assert (row["serial"], row["serial_held"], bench.status(other)) == (None, None, "queued")


def test_queued_runs_of_a_schedule_that_is_gone_are_ended_by_a_sweep(bench: Bench, store: Store) -> None:
    key, other = bench.queued(1), bench.queued(2)
    assert store.lead(NODE, HOUR)
    bench.delete_schedule(1)
    assert store.poll(NODE, ["default"]).sweep  # the auditor's own: it is a look at the whole queue
    assert store.close_deleted() == 1
    row = bench.run(key)
    assert row is not None
    assert (row["status"], row["reason_code"]) == ("killed", "schedule_deleted")
    assert bench.status(other) == "queued"


@proves("misfire_grace_s", "seconds")
def test_what_nobody_took_in_time_is_missed(bench: Bench, store: Store) -> None:
    key, other = bench.queued(1, grace=1000, serial="1:0"), bench.queued(2, grace=HOUR)
    bench.pass_time(0.001001)
    assert store.poll(NODE, ["default"]).sweep
    assert store.expire() == 1
    row = bench.run(key)
    assert row is not None
    assert (row["status"], row["reason_code"], row["serial_held"]) == ("missed", "no_slot", None)
    assert bench.status(other) == "queued"
    assert not store.poll(NODE, ["default"]).sweep


def test_sweeps_leave_running_rows_and_retries_alone(bench: Bench, store: Store) -> None:
    running = bench.running(1)
    retry = bench.running(2)
    store.finish(NODE, [retried(retry)])
    bench.change_run(running, kill_requested=1)
    bench.pass_time(7200)
    assert (store.close_killed(), store.expire(), store.close_deleted()) == (0, 0, 0)
    assert (bench.status(running), bench.status(retry)) == ("running", "queued")


def test_a_waiter_is_taken_when_what_it_waits_for_has_ended(bench: Bench, store: Store) -> None:
    holder = bench.running(1, overlap="skip")
    version = store.versions([1])[0]
    waiter = bench.insert_run(1, START - 7)
    store.dress([DressRow(waiter, version.id, "default", 0, None)])
    bench.change_run(waiter, serial="1:0")
    assert look(store) == []
    with pytest.raises(Duplicate):
        store.pull(NODE, [taken(waiter, 0)], 1)  # a look that is out of date
    store.finish(NODE, [ended(holder)])
    assert look(store) == [Candidate(waiter, 0)]
    assert store.pull(NODE, [taken(waiter, 0)], 1) == 1
    row = bench.run(waiter)
    assert row is not None
    assert row["serial_held"] == "1:0"
    assert store.claim(NODE, START + 1, [opening(version, serial="1:0")]).count == 0


def test_a_key_of_a_run_tells_it_from_its_shards(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    rows = [opening(version, shard=shard, run=False) for shard in range(2)]
    store.claim(NODE, START, rows)
    assert store.pull(NODE, [Candidate(RunKey(START, 1, 1), 0)], 5) == 1
    assert [run.key.shard for run in bench.own()] == [1]


def test_a_row_put_in_for_later_is_not_dressed_before_it_is_ready(bench: Bench, store: Store) -> None:
    bench.schedule(1, overlap="skip")
    key = bench.insert_run(1, bench.now + HOUR)
    assert (store.undressed(), store.poll(NODE, ["default"]).sweep) == ([], False)
    bench.pass_time(HOUR / 1_000_000)
    assert [row.key for row in store.undressed()] == [key]
    assert store.poll(NODE, ["default"]).sweep
