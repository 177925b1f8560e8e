"""Ends: recorded once, by the attempt that holds the lease."""

from __future__ import annotations

import json

import pytest

from leasebeat.model.instant import from_seconds
from leasebeat.model.run import RunKey
from leasebeat.store.base import ReclaimRow, Store
from tests.contract.store_bench import LEFT, NODE, OTHER, START, Bench, ended, opening, retried, taken


@pytest.fixture(autouse=True)
def _nodes(bench: Bench) -> None:
    bench.join(NODE)
    bench.join(OTHER)


def test_an_end_is_written_with_all_it_says(bench: Bench, store: Store) -> None:
    key = bench.running(1, overlap="skip")
    now = bench.pass_time(3)
    end = ended(key, status="failed", failed=True, exit_code=3, reason_code="exit_code", reason="exit code 3")
    assert store.finish(NODE, [end]) == 1
    row = bench.run(key)
    assert row is not None
    assert (row["status"], row["exit_code"], row["reason_code"], row["reason"]) == (
        "failed",
        3,
        "exit_code",
        "exit code 3",
    )
    assert (row["finished_at"], row["failures"], row["take_overs"]) == (now, 1, 0)
    assert (row["serial"], row["serial_held"]) == (None, None)
    assert (row["node_id"], row["attempt"]) == (NODE, 1)
    assert store.finish_answer(NODE, [taken(key)]) == [True]


def test_a_start_given_with_the_end_is_kept_only_where_none_was_written(bench: Bench, store: Store) -> None:
    first, second = bench.running(1), bench.running(2)
    store.start(NODE, [taken(first)])
    bench.pass_time(3)
    store.finish(NODE, [ended(first, started_at=START + 9), ended(second, started_at=START + 9)])
    starts = [row["started_at"] for key in (first, second) if (row := bench.run(key))]
    assert starts == [START, START + 9]


def test_a_result_and_the_output_are_kept(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    output = bytes(range(256)) + "größe\n".encode()
    store.finish(NODE, [ended(key, result='{"rows": [1, null]}', output=output, output_bytes=5000)])
    row = bench.run(key)
    assert row is not None
    assert (row["result"], bench.output(key, 1)) == ('{"rows": [1, null]}', output)


def test_an_attempt_that_printed_nothing_has_no_output(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    store.finish(NODE, [ended(key)])
    assert bench.output(key, 1) is None


def test_a_reason_of_any_length_and_characters_does_not_stop_the_others(bench: Bench, store: Store) -> None:
    first, second = bench.running(1), bench.running(2)
    reason = "\udcff\x00'\"\\%s 😀" + "x" * 100_000
    assert store.finish(NODE, [ended(first, status="failed", reason=reason), ended(second)]) == 2
    assert (bench.status(first), bench.status(second)) == ("failed", "succeeded")


def test_a_result_that_is_not_json_does_not_stop_the_others(bench: Bench, store: Store) -> None:
    first, second = bench.running(1), bench.running(2)
    assert store.finish(NODE, [ended(first, result="{broken"), ended(second, result="[1]")]) == 2


def test_more_output_than_one_statement_carries(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    keys = [RunKey(START, 1, shard) for shard in range(80)]
    store.claim(NODE, START, [opening(version, shard=key.shard) for key in keys])
    tail = b"\xff" * 65536
    assert store.finish(NODE, [ended(key, output=tail, output_bytes=65536) for key in keys]) == 80
    assert bench.output(keys[0], 1) == bench.output(keys[-1], 1) == tail


@pytest.mark.parametrize("late", [False, True])
def test_more_results_than_one_statement_carries(bench: Bench, store: Store, late: bool) -> None:
    version = bench.schedule(1)
    keys = [RunKey(START, 1, shard) for shard in range(300)]
    store.claim(NODE, START, [opening(version, shard=key.shard) for key in keys])
    result = json.dumps(['a"b'] * 9_000)  # each quote has a backslash, and gets more on its way
    ends = [ended(key, result=result) for key in keys]
    if late:
        store.note_superseded(OTHER, ends)
        assert bench.attempt(keys[-1], 1) is not None
        return
    assert store.finish(NODE, ends) == 300
    row = bench.run(keys[-1])
    assert row is not None
    assert row["result"] == result


def test_an_end_is_recorded_once(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    assert store.finish(NODE, [ended(key)]) == 1
    assert store.finish(NODE, [ended(key, status="failed")]) == 0  # the reply was lost, and it is sent again
    assert bench.status(key) == "succeeded"
    assert store.finish_answer(NODE, [taken(key)]) == [True]


def test_another_node_or_attempt_ends_nothing(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    assert store.finish(OTHER, [ended(key)]) == 0
    assert store.finish(NODE, [ended(key, attempt=2)]) == 0
    assert bench.status(key) == "running"
    assert store.finish_answer(OTHER, [taken(key)]) == [False]


def test_answers_come_in_the_order_of_the_questions(bench: Bench, store: Store) -> None:
    first, second, third = (bench.running(each) for each in (1, 2, 3))
    store.finish(NODE, [ended(first), ended(third)])
    asked = [taken(third), taken(second), taken(first), taken(RunKey(START, 99))]
    assert store.finish_answer(NODE, asked) == [True, False, True, False]


# --- going back to the queue --------------------------------------------------------------------


def test_a_failed_attempt_goes_back_and_is_kept(bench: Bench, store: Store) -> None:
    key = bench.running(1, overlap="skip")
    end = retried(
        key,
        delay=from_seconds(10),
        reason_code="exit_code",
        reason="exit code 3",
        output=b"no",
        output_bytes=2,
    )
    assert store.finish(NODE, [end]) == 1
    row, attempt = bench.run(key), bench.attempt(key, 1)
    assert row is not None
    assert attempt is not None
    assert (row["status"], row["ready_at"], row["finished_at"]) == ("queued", START + from_seconds(10), None)
    assert (row["failures"], row["attempt"], row["serial_held"]) == (1, 1, "1:0")
    assert (attempt["node_id"], attempt["outcome"], attempt["reason_code"]) == (NODE, "failed", "exit_code")
    assert bench.output(key, 1) == b"no"
    assert store.finish_answer(NODE, [taken(key)]) == [True]


def test_an_end_that_went_back_stays_recorded_when_another_node_took_it(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    store.finish(NODE, [retried(key)])
    store.pull(OTHER, [taken(key, 1)], 1)
    assert store.finish_answer(NODE, [taken(key)]) == [True]
    assert store.finish(NODE, [ended(key)]) == 0
    assert store.finish_answer(OTHER, [taken(key, 2)]) == [False]


def test_an_attempt_without_an_outcome_counts_as_a_take_over(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    for attempt in (1, 2):
        store.finish(NODE, [ended(key, attempt, "lost", again=True, lost=True, reason_code="lease_lost")])
        assert store.finish_answer(NODE, [taken(key, attempt)]) == [True]
        store.pull(NODE, [taken(key, attempt)], 1)
    assert [(run.take_overs, run.failures) for run in bench.own()] == [(2, 0)]


def test_an_outcome_sets_take_overs_back(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    store.finish(NODE, [ended(key, status="lost", again=True, lost=True)])
    store.pull(NODE, [taken(key, 1)], 1)
    store.finish(NODE, [retried(key, 2)])
    row = bench.run(key)
    assert row is not None
    assert (row["take_overs"], row["failures"]) == (0, 1)


def test_a_batch_ends_some_and_sends_others_back(bench: Bench, store: Store) -> None:
    keys = [bench.running(each) for each in range(1, 5)]
    assert store.finish(NODE, [ended(keys[3]), retried(keys[2]), ended(keys[1]), retried(keys[0])]) == 4
    assert [bench.status(key) for key in keys] == ["queued", "succeeded", "queued", "succeeded"]
    assert store.finish_answer(NODE, [taken(key) for key in keys]) == [True] * 4


def test_more_ends_than_one_statement_carries(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    keys = [RunKey(START, 1, shard) for shard in range(600)]
    for part in (keys[:300], keys[300:]):
        store.claim(NODE, START, [opening(version, shard=key.shard) for key in part])
    assert store.finish(NODE, [ended(key) for key in reversed(keys)]) == 600
    assert store.finish_answer(NODE, [taken(key) for key in keys]) == [True] * 600


# --- kill against finish ------------------------------------------------------------------------


@pytest.mark.parametrize("again", [True, False])
def test_a_kill_wins_over_a_failure_and_over_a_retry(bench: Bench, store: Store, again: bool) -> None:
    key = bench.running(1, overlap="skip")
    bench.change_run(key, kill_requested=1)
    assert [run.kill_requested for run in bench.own()] == [True]
    assert store.poll(NODE, ["default"]).kills
    store.finish(NODE, [retried(key, again=again)])
    row = bench.run(key)
    assert row is not None
    assert (row["status"], row["reason_code"], row["serial_held"]) == ("killed", "kill_requested", None)
    assert bench.attempt(key, 1) is None
    assert store.finish_answer(NODE, [taken(key)]) == [True]


def test_a_success_wins_over_a_kill(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    bench.change_run(key, kill_requested=1)
    store.finish(NODE, [ended(key)])
    assert bench.status(key) == "succeeded"


# --- superseded ---------------------------------------------------------------------------------


@pytest.mark.fault(64)
@pytest.mark.parametrize("again", [True, False])
def test_an_end_after_a_take_back_is_superseded_and_kept(bench: Bench, store: Store, again: bool) -> None:
    key = bench.running(1)
    store.set_state(NODE, LEFT)
    assert store.reclaim([ReclaimRow(key, 1, NODE, again, "node gone")]) == 1
    end = ended(key, exit_code=0, reason_code="exit_code")
    assert store.finish(NODE, [end]) == 0
    assert store.finish_answer(NODE, [taken(key)]) == [False]
    store.note_superseded(NODE, [end])
    store.note_superseded(NODE, [end])
    attempt = bench.attempt(key, 1)
    assert attempt is not None
    assert (attempt["outcome"], attempt["node_id"]) == ("superseded", NODE)
    assert store.finish_answer(NODE, [taken(key)]) == [False]


def test_a_late_end_does_not_touch_the_attempt_that_runs(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    store.set_state(NODE, LEFT)
    store.reclaim([ReclaimRow(key, 1, NODE, True, "node gone")])
    store.pull(OTHER, [taken(key, 1)], 1)
    assert store.finish(NODE, [ended(key, status="failed")]) == 0
    assert [run.attempt for run in bench.own(OTHER)] == [2]
    assert store.finish(OTHER, [ended(key, 2)]) == 1
    assert store.finish_answer(NODE, [taken(key)]) == [False]
    assert store.finish_answer(OTHER, [taken(key, 2)]) == [True]


@pytest.fixture
def put_back(bench: Bench, store: Store) -> RunKey:
    """A run whose first attempt was kept, set back by hand as if it had had none, and pulled again."""
    key = bench.running(1)
    store.finish(NODE, [retried(key, output=b"old", output_bytes=3)])
    bench.change_run(key, attempt=0)
    assert store.pull(OTHER, [taken(key, 0)], 1) == 1
    return key


def test_an_attempt_whose_number_was_there_before_ends_and_the_newer_one_is_kept(
    bench: Bench, store: Store, put_back: RunKey
) -> None:
    other = bench.running(2, OTHER)
    ends = [retried(put_back, output=b"new", output_bytes=3, reason_code="timeout"), ended(other)]
    assert store.finish(OTHER, ends) == 2
    kept = bench.attempt(put_back, 1)
    assert kept is not None
    assert (kept["node_id"], kept["reason_code"], bench.output(put_back, 1)) == (OTHER, "timeout", b"new")
    assert [bench.status(key) for key in (put_back, other)] == ["queued", "succeeded"]


def test_an_orphan_whose_attempt_was_there_before_goes_back(
    bench: Bench, store: Store, put_back: RunKey
) -> None:
    other = bench.running(2, OTHER)
    rows = [ReclaimRow(key, 1, OTHER, again=True, reason="gone") for key in (put_back, other)]
    assert store.reclaim(rows) == 2
    kept = bench.attempt(put_back, 1)
    assert kept is not None
    assert (kept["node_id"], kept["outcome"]) == (OTHER, "lost")
