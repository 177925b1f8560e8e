"""Days of calendars, and how an edit of them becomes an edit of schedules."""

from __future__ import annotations

import pytest

from leasebeat.store.base import RowVersion, Store
from tests.contract.store_bench import NODE, START, Bench, opening


def test_the_days_of_calendars_are_told_by_name_in_order(bench: Bench, store: Store) -> None:
    bench.put_day("de", "2026-12-26")
    bench.put_day("de", "2026-12-25")
    bench.put_day("de", "2026-12-19", "add")
    bench.put_day("us", "2026-11-26")
    bench.put_day("fr", "2026-07-14")
    assert store.calendar_days(["us", "de", "nowhere"]) == {
        "de": [("2026-12-19", "add"), ("2026-12-25", "exclude"), ("2026-12-26", "exclude")],
        "us": [("2026-11-26", "exclude")],
    }


@pytest.mark.parametrize(
    ("day", "effect"), [("2026-12-26", "exclude"), ("2026-12-25", "add"), ("2026-12-25", None)]
)
def test_an_edit_of_a_calendar_changes_the_digest(
    bench: Bench, store: Store, day: str, effect: str | None
) -> None:
    bench.put_schedule(1)
    bench.put_day("de", "2026-12-25")
    before = store.look_at_schedules().digest
    bench.put_day("de", day, effect)
    after = store.look_at_schedules().digest
    assert after != before
    assert store.audit_look("n" * 32).digest == after


def test_a_row_that_is_touched_is_another_version_and_says_the_same(bench: Bench, store: Store) -> None:
    bench.put_schedule(1)
    bench.put_schedule(2)
    before = store.look_at_schedules()
    (row,) = store.schedule_rows([1])
    now = bench.pass_time(5)
    assert store.touch(before.rows[:1]) == 1
    after = store.look_at_schedules()
    assert (after.rows[0].updated_at, after.rows[1]) == (now, before.rows[1])
    assert after.digest != before.digest
    assert {**store.schedule_rows([1])[0], "updated_at": START} == row


def test_of_two_nodes_that_touch_a_row_one_does(bench: Bench, store: Store) -> None:
    bench.put_schedule(1)
    rows = store.look_at_schedules().rows
    bench.pass_time(5)
    assert [store.touch(rows), store.touch(rows)] == [1, 0]


def test_a_row_that_was_edited_since_or_is_gone_is_not_touched(bench: Bench, store: Store) -> None:
    bench.put_schedule(1)
    bench.put_schedule(2)
    rows = store.look_at_schedules().rows
    bench.pass_time(5)
    bench.put_schedule(1, command="false")
    bench.delete_schedule(2)
    bench.pass_time(5)
    assert store.touch([*rows, RowVersion(3, "v", START)]) == 0


def test_claims_of_the_version_before_a_touch_are_refused(bench: Bench, store: Store) -> None:
    bench.join()
    version = bench.schedule(1)
    bench.pass_time(5)
    store.touch(store.look_at_schedules().rows)
    assert store.claim(NODE, bench.now, [opening(version)]).count == 0
