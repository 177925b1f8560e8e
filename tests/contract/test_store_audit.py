"""The auditor: its term, what is missing, the watermark; and retention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from leasebeat.model.instant import DAY, SECOND
from leasebeat.model.run import RunKey
from leasebeat.store.base import OpenRow, Store, Version
from tests.contract.store_bench import HOUR, LEFT, NODE, OTHER, START, Bench, ended, opening, retried

LEASE, LAG = 4 * SECOND, 2 * SECOND
FIRE = START - 10 * SECOND


@pytest.fixture(autouse=True)
def _auditor(bench: Bench) -> None:
    bench.join(NODE)
    bench.join(OTHER)
    assert bench.store.lead(NODE, LEASE)


def audited(version: Version | None, fire_at: int = FIRE, schedule_id: int = 1, **changes: Any) -> OpenRow:
    row = OpenRow(
        key=RunKey(fire_at, schedule_id),
        version=version.id if version else None,
        status="queued",
        reason_code=None,
        reason=None,
        queue="default",
        priority=0,
        delay=0,
        grace=HOUR,
        serial=None,
        overlap="skip",
    )
    return replace(row, **changes)


def test_the_role_is_taken_when_it_is_free_and_its_term_grows(bench: Bench, store: Store) -> None:
    assert not store.lead(OTHER, LEASE)
    assert not store.lead(NODE, LEASE)
    look = store.audit_look(NODE)
    assert (look.now, look.term, look.watermark) == (START, 1, None)
    assert store.audit_look(OTHER).term is None
    bench.pass_time(4.000001)
    assert store.audit_look(NODE).term is None  # its lease is over, though nobody else leads yet
    assert store.lead(OTHER, LEASE)
    assert (store.audit_look(OTHER).term, store.audit_look(NODE).term) == (2, None)


def test_missing_are_the_keys_without_a_row(bench: Bench, store: Store) -> None:
    there = bench.running(1)
    asked = [there, RunKey(START, 1, 1), RunKey(START + 1, 1), RunKey(START, 2)]
    assert sorted(store.missing(asked)) == sorted(asked[1:])
    assert store.missing([]) == []


def test_any_number_of_keys_may_be_asked_for(store: Store) -> None:
    keys = [RunKey(START - second * SECOND, 1) for second in range(1200)]
    assert len(store.missing(keys)) == 1200


def test_a_due_instant_without_a_row_is_opened(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    assert (
        store.open_missing(NODE, 1, [audited(version, queue="heavy", priority=2, delay=5, serial="1:0")], LAG)
        == 1
    )
    row = bench.run(RunKey(FIRE, 1))
    assert row is not None
    assert (row["status"], row["origin"], row["version"], row["queue"]) == (
        "queued",
        "audit",
        version.id,
        "heavy",
    )
    assert (row["ready_at"], row["expires_at"], row["priority"]) == (START + 5, START + 5 + HOUR, 2)
    assert (row["serial"], row["serial_held"], row["finished_at"]) == ("1:0", "1:0", None)


def test_an_instant_that_has_a_row_is_left_alone(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    store.claim(NODE, FIRE, [opening(version)])
    assert store.open_missing(NODE, 1, [audited(version)], LAG) == 0
    assert bench.status(RunKey(FIRE, 1)) == "running"


def test_what_is_too_late_is_written_as_missed(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    late = audited(version, status="missed", reason_code="misfire", reason="found too late", serial="1:0")
    assert store.open_missing(NODE, 1, [late], LAG) == 1
    row = bench.run(late.key)
    assert row is not None
    assert (row["status"], row["reason_code"], row["reason"]) == ("missed", "misfire", "found too late")
    assert (row["finished_at"], row["serial"], row["serial_held"]) == (START, None, None)


def test_one_row_may_stand_for_a_span(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    span = audited(version, status="missed", reason_code="misfire", until=FIRE + SECOND, missed_count=1500)
    store.open_missing(NODE, 1, [span], LAG)
    row = bench.run(span.key)
    assert row is not None
    assert (row["until"], row["missed_count"]) == (FIRE + SECOND, 1500)


def test_while_the_serial_is_held_it_is_skipped(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    store.claim(NODE, START, [opening(version, serial="1:0")])
    assert store.open_missing(NODE, 1, [audited(version, serial="1:0")], LAG) == 1
    row = bench.run(RunKey(FIRE, 1))
    assert row is not None
    assert (row["status"], row["reason_code"], row["serial"]) == ("skipped", "overlap", None)


def test_an_older_term_opens_nothing(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    bench.pass_time(5)
    store.lead(OTHER, LEASE)
    assert store.open_missing(NODE, 1, [audited(version)], LAG) == 0
    assert store.open_missing(OTHER, 1, [audited(version)], LAG) == 0
    assert store.open_missing(OTHER, 2, [audited(version)], LAG) == 1


def test_an_edit_that_the_auditor_has_not_read_opens_nothing(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    bench.put_schedule(1, command="false")
    assert store.open_missing(NODE, 1, [audited(version)], LAG) == 0


def test_an_instant_younger_than_the_lag_is_left_to_the_nodes(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    assert store.open_missing(NODE, 1, [audited(version, START - LAG + 1)], LAG) == 0
    assert store.open_missing(NODE, 1, [audited(version, START - LAG)], LAG) == 1


def test_a_deleted_schedules_instant_is_written_only_when_it_is_gone(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    row = audited(None, status="missed", reason_code="schedule_deleted")
    assert store.open_missing(NODE, 1, [row], LAG) == 0
    bench.delete_schedule(1)
    assert store.open_missing(NODE, 1, [row], LAG) == 1
    found = bench.run(row.key)
    assert found is not None
    assert (found["status"], found["version"]) == ("missed", version.id)
    assert store.open_missing(NODE, 1, [audited(version, FIRE + 1)], LAG) == 0


@pytest.mark.fault(78)
def test_a_broken_row_is_opened_as_its_last_good_version(bench: Bench, store: Store) -> None:
    good = bench.schedule(1)
    bench.put_schedule(1, updated_at=START - 5, cron="broken")
    broken = bench.see(1, problem="no")
    assert store.open_missing(NODE, 1, [audited(broken)], LAG) == 1
    row = bench.run(RunKey(FIRE, 1))
    assert row is not None
    assert row["version"] == good.id


@pytest.mark.fault(78)
def test_a_row_that_never_was_good_is_not_queued(bench: Bench, store: Store) -> None:
    bench.put_schedule(1, updated_at=START - HOUR)
    broken = bench.see(1, problem="no")
    assert store.open_missing(NODE, 1, [audited(broken)], LAG) == 0


def test_the_watermark_moves_from_its_old_value_under_its_term_only(bench: Bench, store: Store) -> None:
    cut = START - LAG
    assert not store.move_watermark(OTHER, 1, None, cut, LEASE, LAG)
    assert not store.move_watermark(NODE, 2, None, cut, LEASE, LAG)
    assert not store.move_watermark(NODE, 1, cut - 5, cut, LEASE, LAG)
    assert store.move_watermark(NODE, 1, None, cut, LEASE, LAG)
    assert not store.move_watermark(NODE, 1, None, cut + 1, LEASE, LAG)
    assert store.audit_look(NODE).watermark == cut


def test_the_watermark_never_comes_closer_than_the_lag(bench: Bench, store: Store) -> None:
    assert not store.move_watermark(NODE, 1, None, START - LAG + 1, LEASE, LAG)
    assert store.audit_look(NODE).watermark is None


def test_moving_the_watermark_keeps_the_role(bench: Bench, store: Store) -> None:
    bench.pass_time(3)
    assert store.move_watermark(NODE, 1, None, START, LEASE, LAG)
    bench.pass_time(3)
    assert store.audit_look(NODE).term == 1
    assert not store.lead(OTHER, LEASE)


def test_the_next_auditor_starts_from_the_old_watermark(bench: Bench, store: Store) -> None:
    store.move_watermark(NODE, 1, None, START - LAG, LEASE, LAG)
    bench.pass_time(3600)
    assert store.lead(OTHER, LEASE)
    assert store.audit_look(OTHER).watermark == START - LAG
    assert not store.move_watermark(NODE, 1, START - LAG, START, LEASE, LAG)


# --- retention ----------------------------------------------------------------------------------


def aged(bench: Bench, days: float = 3) -> list[RunKey]:
    """Four runs of one instant that have ended or not, and a watermark far above them."""
    store = bench.store
    keys = [bench.running(each) for each in (1, 2, 3, 4)]
    outputs: dict[str, Any] = {"output": b"x", "output_bytes": 1}
    store.finish(
        NODE, [ended(keys[0], **outputs), ended(keys[1], status="failed", **outputs), retried(keys[2])]
    )
    bench.pass_time(days * 86400)
    assert store.lead(OTHER, LEASE)
    assert store.move_watermark(OTHER, 2, None, bench.now - LAG, LEASE, LAG)
    return keys


def test_old_runs_are_removed_by_status(bench: Bench, store: Store) -> None:
    keys = aged(bench)
    assert store.remove_runs("succeeded", START, 10) == 0  # not older than that
    assert store.remove_runs("succeeded", START + 1, 10) == 1
    assert [bench.status(key) for key in keys] == [None, "failed", "queued", "running"]


@pytest.mark.parametrize("status", ["queued", "running"])
def test_open_runs_are_never_removed(bench: Bench, store: Store, status: str) -> None:
    keys = aged(bench)
    if status == "queued":
        assert bench.status(keys[2]) == status
    assert store.remove_runs("failed", START + 1, 10) == 1
    assert [bench.status(key) for key in keys[2:]] == ["queued", "running"]


def test_no_run_above_the_watermark_is_removed(bench: Bench, store: Store) -> None:
    key = bench.running(1)
    store.finish(NODE, [ended(key)])
    bench.pass_time(3 * 86400)
    assert store.remove_runs("succeeded", bench.now, 10) == 0  # there is no watermark yet
    store.lead(OTHER, LEASE)
    assert store.move_watermark(OTHER, 2, None, START, LEASE, LAG)
    assert store.remove_runs("succeeded", bench.now, 10) == 0
    assert store.remove_oldest_successes(10) == 0
    assert store.move_watermark(OTHER, 2, START, START + 1, LEASE, LAG)
    assert store.remove_runs("succeeded", bench.now, 10) == 1


def test_no_run_younger_than_a_day_is_removed(bench: Bench, store: Store) -> None:
    aged(bench, days=1)
    assert store.remove_runs("succeeded", bench.now, 10) == 0
    assert store.remove_oldest_successes(10) == 0
    bench.pass_time(0.000001)
    assert store.remove_oldest_successes(10) == 1


def test_deletes_are_bounded_and_begin_with_the_oldest(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    keys = [RunKey(START - 5 + each, 1) for each in range(5)]
    for key in keys:
        store.claim(NODE, key.fire_at, [opening(version)])
    store.finish(NODE, [ended(key) for key in keys])
    bench.pass_time(2 * 86400)
    store.lead(OTHER, LEASE)
    store.move_watermark(OTHER, 2, None, bench.now - DAY, LEASE, LAG)
    assert store.remove_oldest_successes(2) == 2
    assert store.remove_runs("succeeded", bench.now, 2) == 2
    assert [bench.status(key) for key in keys] == [None, None, None, None, "succeeded"]


def test_outputs_of_successes_and_of_others_are_removed_apart(bench: Bench, store: Store) -> None:
    keys = aged(bench)
    assert store.remove_outputs(START, True, 10) == 0
    assert store.remove_outputs(START + 1, True, 10) == 1
    assert (bench.output(keys[0], 1), bench.output(keys[1], 1)) == (None, b"x")
    assert store.remove_outputs(START + 1, False, 10) == 1
    assert bench.output(keys[1], 1) is None


def test_earlier_attempts_are_removed(bench: Bench, store: Store) -> None:
    keys = aged(bench)
    assert store.remove_attempts(START, 10) == 0
    assert bench.attempt(keys[2], 1) is not None
    assert store.remove_attempts(START + 1, 10) == 1
    assert bench.attempt(keys[2], 1) is None


def test_nodes_that_are_gone_are_removed_when_no_open_run_names_them(bench: Bench, store: Store) -> None:
    aged(bench)
    store.set_state(NODE, LEFT)
    store.set_state(OTHER, LEFT)
    assert store.remove_nodes(START, 10) == 0
    assert store.remove_nodes(START + 1, 10) == 1  # NODE still has a running row
    assert len(store.orphans(False)) == 1


def test_present_nodes_are_never_removed(bench: Bench, store: Store) -> None:
    bench.pass_time(86400)
    assert store.remove_nodes(bench.now, 10) == 0
    assert len(store.poll(NODE, []).members) == 2


def test_runs_are_counted_about(store: Store) -> None:
    assert store.count_runs() >= 0
