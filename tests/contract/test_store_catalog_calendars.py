"""An edit of a calendar is an edit of every schedule that names it."""

from __future__ import annotations

import pytest

from leasebeat.model.instant import Instant, from_text
from leasebeat.node.catalog import Catalog
from leasebeat.runtime import SystemRuntime
from leasebeat.store.base import Store
from tests.contract.store_bench import START, Bench

CHRISTMAS = from_text("2026-12-25T03:00:00Z")


@pytest.fixture
def catalog(store: Store) -> Catalog:
    return Catalog(SystemRuntime(), store)


@pytest.fixture
def named(bench: Bench, catalog: Catalog) -> Catalog:
    """A schedule at 03:00 that does not fire on Christmas day, as a node holds it."""
    bench.put_schedule(1, cron="0 3 * * *", calendar="de")
    bench.put_day("de", "2026-12-25")
    catalog.refresh()
    bench.pass_time(5)
    return catalog


def next_of(catalog: Catalog, after: Instant = CHRISTMAS - 1) -> Instant | None:
    entry = catalog.get(1)
    assert entry is not None
    return entry.trigger.next(after) if entry.trigger else None


def test_the_days_are_written_into_the_recorded_version(bench: Bench, named: Catalog, store: Store) -> None:
    assert next_of(named) == from_text("2026-12-26T03:00:00Z")
    entry = named.get(1)
    assert entry is not None
    schedule = named.schedule_of(entry.version.id)
    assert schedule is not None
    assert schedule.calendar_days == {"exclude": ("2026-12-25",), "add": ()}


def test_an_edit_of_the_calendar_is_a_new_version_from_then_on(
    bench: Bench, named: Catalog, store: Store
) -> None:
    bench.put_day("de", "2026-12-26")
    named.refresh()
    assert next_of(named) == from_text("2026-12-27T03:00:00Z")
    first, second = store.history(0, [1])
    assert (first.valid_from, second.valid_from) == (START, START + 5_000_000)
    assert (first.version, named.digest) == (second.version, store.look_at_schedules().digest)


def test_a_node_that_looks_after_another_has_touched_the_row_does_not_touch_it_again(
    bench: Bench, named: Catalog, store: Store
) -> None:
    other = Catalog(SystemRuntime(), store)
    other.refresh()
    bench.put_day("de", "2026-12-26")
    named.refresh()
    bench.pass_time(5)
    for catalog in (other, named, other):
        catalog.refresh()
    assert next_of(other) == from_text("2026-12-27T03:00:00Z")
    assert len(store.history(0, [1])) == 2


def test_an_edit_while_no_node_was_there_is_seen_by_the_first_that_starts(
    bench: Bench, named: Catalog, store: Store
) -> None:
    bench.put_day("de", "2026-12-25", None)
    bench.put_day("de", "2026-12-24")
    started = Catalog(SystemRuntime(), store)
    started.refresh()
    assert next_of(started) == CHRISTMAS
    assert len(store.history(0, [1])) == 2


def test_a_calendar_of_others_touches_nobody(bench: Bench, named: Catalog, store: Store) -> None:
    bench.put_schedule(2, cron="0 3 * * *")
    bench.put_day("fr", "2026-07-14")
    named.refresh()
    assert [len(store.history(0, [each])) for each in (1, 2)] == [1, 1]


def test_a_calendar_without_days_is_a_problem_until_it_has_some(
    bench: Bench, catalog: Catalog, store: Store
) -> None:
    bench.put_schedule(1, cron="0 3 * * *", calendar="de")
    for _ in range(3):
        catalog.refresh()
        bench.pass_time(5)
    assert "calendar 'de' has no days" in (bench.problem(1) or "")
    assert len(store.history(0, [1])) == 1
    bench.put_day("de", "2026-12-25")
    catalog.refresh()
    assert (bench.problem(1), next_of(catalog)) == (None, from_text("2026-12-26T03:00:00Z"))


def test_a_calendar_that_lost_its_days_leaves_the_last_good_version_running(
    bench: Bench, named: Catalog, store: Store
) -> None:
    bench.put_day("de", "2026-12-25", None)
    for _ in range(3):
        named.refresh()
        bench.pass_time(5)
    assert "has no days" in (bench.problem(1) or "")
    assert next_of(named) == from_text("2026-12-26T03:00:00Z")
    assert len(store.history(0, [1])) == 2
