"""What becomes of a fire whose serial an open run wants, by overlap; the reason names the run in the way."""

from __future__ import annotations

from typing import Any

import pytest

from leasebeat.model.run import RunKey
from leasebeat.store.base import DressRow, OpenRow, Store
from leasebeat.testing.trials.cases import proves
from tests.contract.store_bench import NODE, START, Bench, ended, opening


@pytest.fixture(autouse=True)
def _node(bench: Bench) -> None:
    bench.join()


def rest(bench: Bench, overlap: str, seconds: float = 1, **changes: Any) -> RunKey:
    """The fire of a moment later, sent to `claim_rest`."""
    now = bench.pass_time(seconds)
    row = opening(bench.schedule(1), serial="1:0", overlap=overlap, **changes)
    assert bench.store.claim_rest(NODE, now, [row]) == 1
    return RunKey(now, 1)


def row_of(bench: Bench, key: RunKey, *names: str) -> tuple[Any, ...]:
    found = bench.run(key)
    assert found is not None
    return tuple(found[name] for name in names)


def audited(bench: Bench, overlap: str, seconds: float = 1) -> RunKey:
    """The fire of a moment later, opened by the auditor."""
    now = bench.pass_time(seconds)
    key = RunKey(now, 1)
    assert bench.store.open_missing(NODE, bench_term(bench), [open_row(bench, key, overlap)], 0) == 1
    return key


def bench_term(bench: Bench) -> int:
    bench.store.lead(NODE, 3_600_000_000)
    term = bench.store.audit_look(NODE).term
    assert term is not None
    return term


def open_row(bench: Bench, key: RunKey, overlap: str, **changes: Any) -> OpenRow:
    version = bench.schedule(key.schedule_id)
    values: dict[str, Any] = {"status": "queued", "reason_code": None, "reason": None, "queue": "default"}
    values |= {"priority": 0, "delay": 0, "grace": 60_000_000, "serial": "1:0", "overlap": overlap}
    return OpenRow(key, version.id, **{**values, **changes})


OPENERS = pytest.mark.parametrize("opened", [rest, audited])


@OPENERS
@proves("overlap", "skip")
def test_skip_names_the_run_in_the_way(bench: Bench, opened: Any) -> None:
    bench.running(1, overlap="skip")
    key = opened(bench, "skip")
    assert row_of(bench, key, "status", "reason_code", "serial", "serial_held") == (
        "skipped",
        "overlap",
        None,
        None,
    )
    assert row_of(bench, key, "reason", "finished_at") == (
        "the run of 2026-11-20T10:00:00Z is still running",
        key.fire_at,
    )


@OPENERS
@proves("overlap", "wait")
def test_one_waits_and_the_next_is_skipped_because_of_it(bench: Bench, opened: Any) -> None:
    bench.running(1, overlap="skip")
    waiter = opened(bench, "wait")
    assert row_of(bench, waiter, "status", "serial", "serial_held") == ("queued", "1:0", "1:0+")
    other = opened(bench, "wait")
    assert row_of(bench, other, "status", "reason_code") == ("skipped", "overlap")
    assert row_of(bench, other, "reason") == ("the run of 2026-11-20T10:00:01Z waits already",)


def test_a_waiter_is_pulled_when_the_run_before_it_has_ended_and_then_holds_the_serial(bench: Bench) -> None:
    first = bench.running(1, overlap="skip")
    waiter = rest(bench, "wait")
    assert bench.store.pull_look(NODE, "default", 10) == []
    assert not bench.store.poll(NODE, ["default"]).ready
    bench.store.finish(NODE, [ended(first)])
    assert bench.store.poll(NODE, ["default"]).ready
    candidates = bench.store.pull_look(NODE, "default", 10)
    assert [candidate.key for candidate in candidates] == [waiter]
    assert bench.store.pull(NODE, candidates, 1) == 1
    assert row_of(bench, waiter, "status", "serial_held") == ("running", "1:0")


@OPENERS
@proves("overlap", "replace")
def test_replace_stops_all_that_is_open_and_older(bench: Bench, opened: Any) -> None:
    first = bench.running(1, overlap="skip")
    second = opened(bench, "replace")
    assert row_of(bench, second, "status", "serial", "serial_held") == ("queued", "1:0", None)
    third = opened(bench, "replace")
    assert row_of(bench, first, "kill_requested", "requested_by") == (2, "the run of 2026-11-20T10:00:01Z")
    assert row_of(bench, second, "kill_requested", "requested_by") == (2, "the run of 2026-11-20T10:00:02Z")
    assert row_of(bench, third, "kill_requested", "requested_by") == (0, None)
    assert bench.store.poll(NODE, ["default"]).kills


def test_what_was_replaced_says_so(bench: Bench) -> None:
    first = bench.running(1, overlap="skip")
    second, _third = rest(bench, "replace"), rest(bench, "replace")
    assert bench.store.poll(NODE, ["default"]).sweep
    assert bench.store.close_killed() == 1
    assert row_of(bench, second, "status", "reason_code") == ("skipped", "replaced")
    assert row_of(bench, second, "reason") == ("replaced by the run of 2026-11-20T10:00:02Z",)
    bench.store.finish(NODE, [ended(first, status="killed")])
    assert row_of(bench, first, "status", "reason_code") == ("killed", "replaced")
    assert row_of(bench, first, "reason") == ("replaced by the run of 2026-11-20T10:00:01Z",)


def test_a_run_that_succeeds_all_the_same_was_not_replaced(bench: Bench) -> None:
    first = bench.running(1, overlap="skip")
    rest(bench, "replace")
    bench.store.finish(NODE, [ended(first)])
    assert row_of(bench, first, "status", "reason_code") == ("succeeded", None)


def test_a_replaced_run_between_its_attempts_was_killed(bench: Bench) -> None:
    key = bench.running(1, overlap="skip")
    bench.store.finish(NODE, [ended(key, status="failed", again=True, failed=True)])
    rest(bench, "replace")
    assert bench.store.close_killed() == 1
    assert row_of(bench, key, "status", "reason_code") == ("killed", "replaced")


def test_an_older_fire_does_not_replace_a_newer_one(bench: Bench) -> None:
    newer = bench.running(1, overlap="skip")
    older = RunKey(START - 1_000_000, 1)
    row = open_row(bench, older, "replace")
    assert bench.store.open_missing(NODE, bench_term(bench), [row], 0) == 1
    assert row_of(bench, older, "status", "reason_code") == ("skipped", "overlap")
    assert row_of(bench, older, "reason") == ("the run of 2026-11-20T10:00:00Z is newer",)
    assert row_of(bench, newer, "kill_requested") == (0,)


def test_nothing_is_stopped_for_a_row_that_was_refused(bench: Bench) -> None:
    first = bench.running(1, overlap="skip")
    version = bench.schedule(1)
    now = bench.pass_time(1)
    bench.put_schedule(1, command="false")
    row = opening(version, serial="1:0", overlap="replace")
    assert bench.store.claim_rest(NODE, now, [row]) == 0
    assert row_of(bench, first, "kill_requested") == (0,)


def test_runs_of_a_catch_up_queue_behind_each_other(bench: Bench) -> None:
    first = bench.running(1, overlap="skip")
    second, third = audited(bench, "queue"), audited(bench, "queue")
    for key in (second, third):
        assert row_of(bench, key, "status", "serial", "serial_held") == ("queued", "1:0", None)
    bench.store.finish(NODE, [ended(first)])
    assert [candidate.key for candidate in bench.store.pull_look(NODE, "default", 10)] == [second]


def test_a_row_put_in_by_hand_waits_without_taking_the_waiters_place(bench: Bench, store: Store) -> None:
    bench.running(1, overlap="skip")
    version = bench.schedule(1)
    for seconds in (1, 2):
        key = bench.insert_run(1, START + seconds)
        assert store.dress([DressRow(key, version.id, "default", 0, "1:0", waits=True, lane="l")]) == 1
        assert row_of(bench, key, "serial", "serial_held", "lane") == ("1:0", None, "l")
    assert store.pull_look(NODE, "default", 10) == []


def test_nothing_in_the_way_is_born_as_it_was_sent(bench: Bench) -> None:
    key = rest(bench, "wait")
    assert row_of(bench, key, "status", "node_id", "attempt", "serial_held") == ("running", NODE, 1, "1:0")


def test_the_holder_of_a_serial_is_told(bench: Bench) -> None:
    key = bench.running(1, overlap="skip")
    assert bench.store.holder("1:0") == key
    assert bench.store.holder("2:0") is None
