"""Schedules, their versions, and which version was in force when."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leasebeat.model.schedule import PEOPLES_COLUMNS, schedule_from_row
from leasebeat.node.catalog import Catalog
from leasebeat.runtime import SystemRuntime
from leasebeat.store.base import SeenRow, Store
from tests.contract.store_bench import HOUR, START, Bench


def test_a_look_at_no_schedules_still_tells_the_time(bench: Bench, store: Store) -> None:
    look = store.look_at_schedules()
    assert (look.now, look.rows) == (bench.now, ())


def test_a_look_tells_every_row_with_its_version(bench: Bench, store: Store) -> None:
    bench.put_schedule(1)
    bench.put_schedule(2, updated_at=START - 5)
    rows = {row.schedule_id: row for row in store.look_at_schedules().rows}
    assert rows.keys() == {1, 2}
    assert rows[2].updated_at == START - 5
    assert rows[1].version != rows[2].version


def test_a_row_is_read_whole_and_defaults_make_a_schedule(bench: Bench, store: Store) -> None:
    bench.put_schedule(7, name="backup", cron="0 3 * * *", command="true")
    (row,) = store.schedule_rows([7, 99])
    assert row.keys() >= {"id", "version", "updated_at", *PEOPLES_COLUMNS}
    schedule = schedule_from_row(row)
    assert (schedule.id, schedule.name, schedule.timezone, schedule.overlap) == (7, "backup", "UTC", "skip")
    assert (schedule.enabled, schedule.misfire_grace_s, schedule.retry_backoff) == (True, 3600.0, 2.0)


def test_instants_of_a_row_are_whole_microseconds(bench: Bench, store: Store) -> None:
    bench.put_schedule(1, starts_at=START + 1, ends_at=START + HOUR)
    (row,) = store.schedule_rows([1])
    assert (row["starts_at"], row["ends_at"], row["updated_at"]) == (START + 1, START + HOUR, START)


@pytest.mark.parametrize("column", ["command", "enabled", "priority", "misfire_grace_s", "timezone"])
def test_an_edit_of_a_column_is_a_new_version(bench: Bench, store: Store, column: str) -> None:
    bench.put_schedule(1)
    before = store.look_at_schedules()
    values = {
        "command": "false",
        "enabled": 0,
        "priority": 3,
        "misfire_grace_s": 60,
        "timezone": "Europe/Rome",
    }
    bench.put_schedule(
        1, updated_at=START, **{column: values[column]}
    )  # an editor that leaves updated_at alone
    after = store.look_at_schedules()
    assert after.rows[0].version != before.rows[0].version
    assert after.digest != before.digest


def test_the_digest_changes_where_two_rows_are_edited_there_and_back_together(
    bench: Bench, store: Store
) -> None:
    for schedule_id in (1, 2):
        bench.put_schedule(schedule_id, updated_at=START)
    before = store.look_at_schedules().digest
    for schedule_id in (1, 2):  # paused, then resumed, between two polls
        bench.put_schedule(schedule_id, updated_at=START + 1)
    assert store.look_at_schedules().digest != before


def test_the_digest_stays_while_nobody_edits(bench: Bench, store: Store) -> None:
    bench.put_schedule(1)
    bench.put_schedule(2)
    first = store.look_at_schedules().digest
    bench.pass_time(60)
    assert store.look_at_schedules().digest == first
    bench.join()
    assert store.poll("n" * 32, ["default"]).digest == first
    assert store.audit_look("n" * 32).digest == first


def test_the_digest_changes_with_a_new_row_and_with_a_deletion(bench: Bench, store: Store) -> None:
    bench.put_schedule(1)
    digests = [store.look_at_schedules().digest]
    bench.put_schedule(2)
    digests.append(store.look_at_schedules().digest)
    bench.delete_schedule(1)
    digests.append(store.look_at_schedules().digest)
    assert len(set(digests)) == 3


@pytest.mark.fault(84)
def test_an_edit_back_to_what_was_there_is_seen_by_its_time(bench: Bench, store: Store) -> None:
    bench.put_schedule(1, updated_at=START - 10, command="a")
    first = store.look_at_schedules()
    bench.put_schedule(1, updated_at=START - 5, command="b")
    bench.put_schedule(1, updated_at=START - 1, command="a")
    assert store.look_at_schedules().digest != first.digest


def test_a_version_is_recorded_once(bench: Bench, store: Store) -> None:
    bench.put_schedule(1)
    (row,) = store.look_at_schedules().rows
    seen = SeenRow(1, row.version, row.updated_at, "{}", None, 0)
    assert store.see_versions([seen]) == 1
    assert store.see_versions([seen]) == 0
    assert len(store.history(0, [1])) == 1


def test_a_version_that_is_not_the_row_any_more_is_not_recorded(bench: Bench, store: Store) -> None:
    bench.put_schedule(1)
    (row,) = store.look_at_schedules().rows
    bench.put_schedule(1, updated_at=START + 1, command="false")
    assert store.see_versions([SeenRow(1, row.version, row.updated_at, "{}", None, 0)]) == 0
    assert store.versions([1]) == []


def test_a_version_tells_what_the_row_said(bench: Bench, store: Store) -> None:
    bench.put_schedule(1, enabled=0, ends_at=START + HOUR)
    version = bench.see(1)
    assert (version.schedule_id, version.updated_at, version.enabled) == (1, START, False)
    assert (version.deleted, version.problem, version.good_id, version.ends_at) == (
        False,
        None,
        None,
        START + HOUR,
    )
    assert version.runs_as == version.id
    assert json.loads(version.definition or "")["name"] == "s1"
    assert store.definition(version.id) is not None
    assert store.definition(version.id + 1000) is None


def test_a_new_row_is_valid_from_its_edit(bench: Bench) -> None:
    bench.put_schedule(1, updated_at=START - 3)
    assert bench.see(1).valid_from == START - 3


def test_an_edit_dated_ahead_is_valid_from_now(bench: Bench) -> None:
    bench.put_schedule(1, updated_at=START + HOUR)
    assert bench.see(1).valid_from == START


def test_an_edit_committed_late_is_not_valid_before_the_last_look_that_did_not_show_it(bench: Bench) -> None:
    bench.put_schedule(1, updated_at=START - 20)
    assert bench.see(1, last_read=START - 4).valid_from == START - 4


def test_an_edit_dated_back_is_not_valid_before_the_version_it_follows(bench: Bench) -> None:
    bench.put_schedule(1, updated_at=START - 10)
    bench.see(1)
    bench.put_schedule(1, updated_at=START - 500, command="false")
    assert bench.see(1).valid_from == START - 10


def test_a_row_restored_as_it_once_was_is_a_version_of_its_own(bench: Bench, store: Store) -> None:
    bench.put_schedule(1, updated_at=START - 10, command="a")
    first = bench.see(1)
    bench.put_schedule(1, updated_at=START - 5, command="b")
    bench.see(1)
    bench.put_schedule(1, updated_at=START - 10, command="a")  # a dump was read back
    restored = bench.see(1)
    assert restored.id > first.id
    assert restored.valid_from == START - 5
    assert len(store.history(0, [1])) == 3


def test_a_broken_version_names_the_last_good_one(bench: Bench) -> None:
    bench.put_schedule(1, updated_at=START - 10, command="good")
    good = bench.see(1)
    for at, command in ((START - 5, "broken"), (START - 4, "still broken")):
        bench.put_schedule(1, updated_at=at, command=command)
        broken = bench.see(1, problem="cron = 'x': no")
        assert (broken.problem, broken.good_id, broken.runs_as) == ("cron = 'x': no", good.id, good.id)
        assert json.loads(broken.definition or "")["command"] == "good"


def test_a_row_that_never_was_good_runs_nothing(bench: Bench) -> None:
    bench.put_schedule(1)
    broken = bench.see(1, problem="no")
    assert (broken.good_id, broken.runs_as, broken.definition) == (0, 0, None)


def test_problems_are_told_and_taken_back(bench: Bench, store: Store) -> None:
    bench.put_schedule(1)
    bench.see(1, problem="cannot be read")
    store.report_problems([1, 2])
    store.report_problems([1])
    assert bench.problem(1) == "cannot be read"
    bench.put_schedule(1, updated_at=START + 1, cron="@daily")
    bench.see(1)
    store.report_problems([1])
    assert bench.problem(1) is None


def test_a_problem_of_a_row_that_is_gone_is_taken_back(bench: Bench, store: Store) -> None:
    bench.put_schedule(1)
    bench.see(1, problem="cannot be read")
    store.report_problems([1])
    bench.delete_schedule(1)
    store.see_deleted([1], 0)
    store.report_problems([1])
    assert bench.problem(1) is None


def test_a_deletion_is_a_version_and_recorded_once(bench: Bench, store: Store) -> None:
    bench.schedule(1)
    bench.delete_schedule(1)
    assert store.vanished() == [1]
    now = bench.pass_time(5)
    assert store.see_deleted([1], 0) == 1
    assert store.see_deleted([1], 0) == 0
    assert store.vanished() == []
    (gone,) = store.versions([1])
    assert (gone.deleted, gone.enabled, gone.valid_from, gone.runs_as) == (True, False, now, 0)


def test_a_schedule_that_is_there_is_not_recorded_as_gone(bench: Bench, store: Store) -> None:
    bench.schedule(1)
    assert store.see_deleted([1, 2], 0) == 0
    assert store.vanished() == []


@pytest.mark.fault(82)
def test_a_row_put_back_after_its_deletion_is_a_new_version(bench: Bench, store: Store) -> None:
    first = bench.schedule(1)
    bench.delete_schedule(1)
    store.see_deleted([1], 0)
    bench.put_schedule(1, updated_at=first.updated_at)
    again = bench.see(1)
    assert (again.deleted, again.id > first.id) == (False, True)
    assert again.valid_from == START  # not before the deletion


def test_the_history_has_what_is_newer_and_what_was_in_force(bench: Bench, store: Store) -> None:
    for at in (30, 20, 10):
        bench.put_schedule(1, updated_at=START - at, command=f"c{at}")
        bench.see(1)
    bench.put_schedule(2, updated_at=START - 25)
    bench.see(2)
    found = [(version.schedule_id, version.valid_from - START) for version in store.history(START - 15)]
    assert found == [(1, -20), (1, -10)]  # schedule 2 has nothing newer
    named = [
        (version.schedule_id, version.valid_from - START) for version in store.history(START - 15, [1, 2, 3])
    ]
    assert named == [(1, -20), (1, -10), (2, -25)]


def test_the_version_in_force_at_an_instant_began_before_it(bench: Bench, store: Store) -> None:
    for at in (30, 20):
        bench.put_schedule(1, updated_at=START - at, command=f"c{at}")
        bench.see(1)
    found = [version.valid_from - START for version in store.history(START - 20, [1])]
    assert found == [-30, -20]


def test_more_schedules_than_one_statement_carries(bench: Bench, store: Store) -> None:
    ids = list(range(1, 602))
    for each in ids:
        bench.put_schedule(each)
    seen = [
        SeenRow(r.schedule_id, r.version, r.updated_at, "{}", None, 0) for r in store.look_at_schedules().rows
    ]
    assert store.see_versions(seen) == 601
    assert len(store.versions(ids)) == 601
    assert len(store.schedule_rows(ids)) == 601


def test_a_last_read_ahead_of_the_clock_postpones_no_edit(bench: Bench) -> None:
    bench.put_schedule(1, updated_at=START - 3)
    assert bench.see(1, last_read=START + 20 * 24 * HOUR).valid_from == START


def test_a_last_read_ahead_of_the_clock_postpones_no_deletion(bench: Bench, store: Store) -> None:
    bench.schedule(1)
    bench.delete_schedule(1)
    assert store.see_deleted([1], START + 20 * 24 * HOUR) == 1
    assert [version.valid_from for version in store.versions([1])] == [START]


def test_every_version_tells_what_it_changed_hand_edits_and_broken_ones_too(
    bench: Bench, store: Store
) -> None:
    catalog = Catalog(SystemRuntime(), store)
    edits: list[dict[str, Any]] = [
        {"retries": 3, "owner": "ops"},
        {"kind": "http"},
        {"kind": "shell", "owner": ""},
    ]
    for changes in ({}, *edits):
        bench.pass_time(1)
        bench.put_schedule(1, **changes)
        catalog.refresh()
    first, edited, broken, mended = bench.diffs(1)
    assert (first, edited) == (None, {"owner": ["", "ops"], "retries": [0, 3]})
    assert bench.store.versions([1])[0].problem is None
    assert (broken, mended) == (
        {"kind": ["shell", "http"]},
        {"owner": ["ops", ""], "kind": ["http", "shell"]},
    )


def test_a_deletion_has_no_diff_and_what_comes_back_is_compared_with_what_went(
    bench: Bench, store: Store
) -> None:
    catalog = Catalog(SystemRuntime(), store)
    bench.put_schedule(1)
    catalog.refresh()
    bench.delete_schedule(1)
    bench.pass_time(1)
    catalog.refresh()
    bench.put_schedule(1, priority=7)
    catalog.refresh()
    assert bench.diffs(1) == [None, None, {"priority": [0, 7]}]
