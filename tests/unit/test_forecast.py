"""What is to come, from schedules alone."""

from __future__ import annotations

from typing import Any

import pytest

from leasebeat.explain.forecast import (
    CalendarEffect,
    Load,
    Overlap,
    Peak,
    Taken,
    TooMany,
    calendar_effects,
    clock_effects,
    fires_of,
    loads,
    overlaps,
    peaks,
    taken_of,
)
from leasebeat.model.instant import DAY, SECOND, from_text, to_text
from leasebeat.model.schedule import Schedule

DAWN = from_text("2026-11-20T00:00:00Z")
HOUR = 3600 * SECOND


def schedule(name: str, cron: str = "0 * * * *", **columns: Any) -> Schedule:
    return Schedule(1, name, cron, "true", **columns)


def test_only_what_is_enabled_and_in_its_window_fires() -> None:
    found = fires_of(
        [
            schedule("hourly", ends_at=DAWN + 2 * HOUR),
            schedule("paused", enabled=False),
            schedule("manual", "@manual"),
        ],
        DAWN,
        DAWN + DAY,
    )
    assert found == {"hourly": [DAWN, DAWN + HOUR]}


def test_a_follower_fires_at_the_instants_that_all_it_follows_share() -> None:
    rows = [
        schedule("two", "0 */2 * * *"),
        schedule("three", "0 */3 * * *"),
        schedule("both", "@manual", after=("two", "three")),
        schedule("last", "@manual", after=("both",)),
        schedule("lost", "@manual", after=("nothing",)),
        schedule("round", "@manual", after=("round",)),
    ]
    found = fires_of(rows, DAWN, DAWN + DAY - 1)
    assert found["both"] == found["last"] == [DAWN + hours * HOUR for hours in (0, 6, 12, 18)]
    assert found.keys() == {"two", "three", "both", "last"}


def test_more_fires_than_can_be_looked_at_are_refused() -> None:
    rows = [schedule("a", "*/10 * * * *"), schedule("b", "*/20 * * * *")]
    assert len(fires_of(rows, DAWN, DAWN + HOUR - 1, most=9)) == 2
    with pytest.raises(TooMany):
        fires_of(rows, DAWN, DAWN + HOUR - 1, most=8)


def test_load_counts_every_part_in_its_queue_and_time() -> None:
    rows = {"a": schedule("a"), "b": schedule("b", queue="heavy", shards=5)}
    fires = {"a": [DAWN, DAWN + HOUR], "b": [DAWN + 1]}
    assert loads(fires, rows, DAWN, HOUR) == [
        Load(DAWN, "default", 1),
        Load(DAWN, "heavy", 5),
        Load(DAWN + HOUR, "default", 1),
    ]


def test_the_peak_is_where_most_runs_are_under_way() -> None:
    rows = {name: schedule(name) for name in ("a", "b", "c")}
    fires = {"a": [DAWN], "b": [DAWN + 5 * SECOND], "c": [DAWN + 10 * SECOND]}
    taken = {"a": Taken(10), "b": Taken(10), "c": Taken(0)}
    assert peaks(fires, rows, taken) == [Peak("default", DAWN + 5 * SECOND, 2)]


def test_a_run_that_often_lasts_until_the_next_instant_is_an_overlap() -> None:
    rows = {"slow": schedule("slow", overlap="wait"), "quick": schedule("quick")}
    fires = {name: [DAWN, DAWN + HOUR, DAWN + 3 * HOUR] for name in rows}
    taken = {"slow": Taken(3000, 4000, 20), "quick": Taken(3000, 3600, 20)}
    assert overlaps(fires, rows, taken) == [Overlap("slow", "wait", 4000, 3600, 1)]


def test_how_long_runs_take_is_told_from_the_last_ones() -> None:
    assert taken_of([]) == Taken(0, 0, 0)
    assert taken_of([7.0]) == Taken(7, 7, 1)
    assert taken_of([float(number) for number in range(101)]) == Taken(50, 95, 101)


CHANGES = [
    ("30 2 * * *", "cron", ["moved 2026-03-29T01:00:00Z", "once 2026-10-25T01:30:00Z"]),
    ("30 2 * * *", "skip", ["left_out 2026-03-29T01:00:00Z", "once 2026-10-25T01:30:00Z"]),
    ("30 2 * * *", "both", ["moved 2026-03-29T01:00:00Z", "twice 2026-10-25T01:30:00Z"]),
    ("*/10 * * * *", "cron", []),
    ("@every 1h", "cron", []),
    ("0 4 * * *", "cron", []),
]


@pytest.mark.parametrize(("cron", "dst", "told"), CHANGES)
def test_clock_changes_are_told_before_they_come(cron: str, dst: Any, told: list[str]) -> None:
    begin = from_text("2026-01-01T00:00:00Z")
    rows = [schedule("job", cron, timezone="Europe/Berlin", dst=dst)]
    found = clock_effects(rows, begin, begin + 365 * DAY)
    assert [f"{each.what} {to_text(each.at)}" for each in found] == told
    assert clock_effects(rows, DAWN, DAWN + 7 * DAY) == []


def test_calendars_tell_what_they_leave_out_and_add() -> None:
    days = {"exclude": ("2026-11-23",), "add": ("2026-11-21",)}
    row = schedule("job", "0 3,4 * * mon-fri", calendar="works", calendar_days=days)
    assert calendar_effects([row, schedule("other")], DAWN, DAWN + 7 * DAY) == [
        CalendarEffect("job", "works", "2026-11-21", "added", 2),
        CalendarEffect("job", "works", "2026-11-23", "left_out", 2),
    ]
