"""Calendars leave days out and put others in, by the clock of the schedule's zone."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from leasebeat.errors import ExpressionError
from leasebeat.model.instant import DAY, SECOND, Instant, from_text, to_text
from leasebeat.model.schedule import Schedule, schedule_from_row
from leasebeat.testing.trials.cases import proves
from leasebeat.triggers import after_end_delay, instants, jitter_of, trigger_for, trigger_key

FAR = from_text("2100-01-01T00:00:00Z")


def schedule(
    cron: str, exclude: tuple[str, ...] = (), add: tuple[str, ...] = (), **columns: object
) -> Schedule:
    days = {"exclude": exclude, "add": add}
    return Schedule(1, "backup", cron, "true", calendar="x", calendar_days=days, **columns)  # pyright: ignore[reportArgumentType]


def fires(wanted: Schedule, after: str, count: int = 3) -> list[str]:
    return [to_text(each)[5:16] for each in instants(trigger_for(wanted), from_text(after), FAR, count)]


@proves("calendar", "exclude")
def test_nothing_fires_on_an_excluded_date():
    found = fires(schedule("0 3,15 * * *", ("2026-12-25", "2026-12-26")), "2026-12-24T12:00Z")
    assert found == ["12-24T15:00", "12-27T03:00", "12-27T15:00"]


def test_a_date_is_one_of_the_schedules_zone():
    tokyo = schedule("0 3 * * *", ("2026-12-25",), timezone="Asia/Tokyo")
    assert fires(tokyo, "2026-12-23T12:00Z") == ["12-23T18:00", "12-25T18:00", "12-26T18:00"]


@proves("calendar", "add")
def test_a_make_up_day_fires_at_the_times_of_day_as_if_it_matched():
    weekdays = schedule("30 8,17 * * mon-fri", ("2026-10-01",), ("2026-10-10",))  # a Saturday
    assert fires(weekdays, "2026-10-09T12:00Z") == ["10-09T17:30", "10-10T08:30", "10-10T17:30"]


def test_a_make_up_day_that_matches_anyway_fires_once():
    assert fires(schedule("0 3 * * *", add=("2026-10-10",)), "2026-10-09T12:00Z") == [
        "10-10T03:00",
        "10-11T03:00",
        "10-12T03:00",
    ]


@pytest.mark.parametrize(
    ("cron", "first"),
    [
        ("0 9 29 2 *", "10-10T09:00"),
        ("0 9 LW 7 *", "10-10T09:00"),
        ("@monthly", "10-10T00:00"),
        ("quartz: 0 0 9 1 1 ? 2090", "10-10T09:00"),
        ("15 0 9 1 1 *", "10-10T09:00"),
    ],
)
def test_month_and_year_are_made_up_for_too(cron: str, first: str):
    assert fires(schedule(cron, add=("2026-10-10",)), "2026-10-09T12:00Z", 1) == [first]


def test_make_up_days_follow_the_clock_where_it_is_turned():
    changes = schedule("30 2 1 1 *", add=("2027-03-28", "2027-10-31"), timezone="Europe/Berlin")
    assert fires(changes, "2027-03-01T00:00Z", 2) == ["03-28T01:00", "10-31T00:30"]


def test_an_interval_is_only_left_out():
    every = schedule("@every 12h", ("2026-12-25",), ("2026-12-26",))
    assert fires(every, "2026-12-24T11:00Z") == ["12-24T12:00", "12-26T00:00", "12-26T12:00"]


def test_an_instant_on_an_excluded_date_never_comes():
    assert fires(schedule("@at 2026-12-25T12:00:00Z", ("2026-12-25",)), "2026-12-24T12:00Z") == []


def test_a_calendar_that_leaves_nothing_is_not_refused():
    never = schedule("0 3 29 2 *", tuple(f"{year}-02-29" for year in range(2024, 2100, 4)))
    assert fires(never, "2024-01-01T00:00Z") == []


def every_day(count: int) -> tuple[str, ...]:
    return tuple(str(date(2027, 1, 1) + timedelta(days=number)) for number in range(count))


@pytest.mark.parametrize("cron", ["* * * * * *", "@every 1ms", "*/5 * * * *"])
def test_a_long_row_of_excluded_days_is_passed_in_one_step(cron: str, monkeypatch: pytest.MonkeyPatch):
    trigger = trigger_for(schedule(cron, every_day(8_000)))
    base, asked = trigger._base, list[Instant]()  # pyright: ignore
    real = type(base).next
    monkeypatch.setattr(type(base), "next", lambda self, after: asked.append(after) or real(self, after))
    assert trigger.next(from_text("2027-06-01T00:00:00Z")) == from_text("2048-11-26T00:00:00Z")
    assert len(asked) == 2


def test_days_that_are_excluded_here_and_there_cost_a_step_each():
    odd = schedule("@every 1ms", every_day(4_000)[::2])
    assert trigger_for(odd).next(from_text("2027-01-01T05:00:00Z")) == from_text("2027-01-02T00:00:00Z")


def test_an_hour_that_comes_twice_before_midnight_is_left_out_in_both_passes():
    santiago = schedule("*/30 * * * *", ("2027-04-03",), timezone="America/Santiago")
    assert fires(santiago, "2027-04-04T01:00Z", 2) == ["04-04T04:00", "04-04T04:30"]


def test_a_date_that_comes_back_after_midnight_is_left_out_again():
    """St. John's turned its clocks from 00:01 back to 23:01: the date before came back for 59 minutes."""
    again = schedule("*/30 * * * *", ("2010-11-06",), timezone="America/St_Johns")
    assert fires(again, "2010-11-07T01:59Z", 2) == ["11-07T02:30", "11-07T03:30"]
    made_up = schedule("30 23 1 1 *", add=("2010-11-06",), timezone="America/St_Johns", dst="both")
    assert fires(made_up, "2010-11-07T01:59Z", 2) == ["11-07T02:00", "11-07T03:00"]


def test_a_midnight_that_does_not_exist_belongs_to_the_date_it_fires_on():
    cairo = schedule("0 0 * * *", add=("2027-04-30",), timezone="Africa/Cairo")
    assert fires(cairo, "2027-04-29T00:00Z", 2) == ["04-29T22:00", "04-30T21:00"]


def test_calendars_are_part_of_the_key_by_what_they_say():
    one, same = (
        schedule("@daily", ("2026-12-25", "2026-12-26")),
        schedule("@daily", ("2026-12-26", "2026-12-25")),
    )
    assert trigger_key(one) == trigger_key(same)
    assert trigger_key(one) != trigger_key(schedule("@daily", ("2026-12-25",)))
    assert trigger_key(schedule("@daily", ("2026-12-25",))) != trigger_key(
        schedule("@daily", (), ("2026-12-25",))
    )


def test_a_recorded_definition_brings_its_days():
    row = {"id": 1, "name": "a", "cron": "@daily", "command": "true", "calendar": "x"}
    read = schedule_from_row({**row, "calendar_days": {"exclude": ["2026-12-25"], "add": []}})
    assert read.calendar_days == {"exclude": ("2026-12-25",), "add": ()}
    assert schedule_from_row(row).calendar_days is None


@pytest.mark.parametrize(
    ("cron", "day", "part"),
    [
        ("@daily", "2026-02-30", "calendar day '2026-02-30'"),
        ("@after_end 5m", "2026-12-25", "expected no calendar"),
    ],
)
def test_a_calendar_that_cannot_be_used_is_refused(cron: str, day: str, part: str):
    with pytest.raises(ExpressionError, match=part):
        trigger_for(schedule(cron, (day,)))


@pytest.mark.parametrize(("cron", "delay"), [("@after_end 10m", 600 * SECOND), ("@every 10m", None)])
def test_the_delay_after_a_run_is_known_of_those_that_follow_themselves(cron: str, delay: int | None):
    assert after_end_delay(Schedule(1, "backup", cron, "true")) == delay


@pytest.mark.parametrize("jitter_s", [0.0, 0.5, 90.0, 86400.0])
@proves("jitter_s", "seconds")
def test_jitter_is_the_same_for_a_name_and_below_its_bound(jitter_s: float):
    found = {
        jitter_of(Schedule(1, f"n{number}", "@daily", "true", jitter_s=jitter_s)) for number in range(99)
    }
    assert all(0 <= each < max(1, jitter_s * SECOND) for each in found)
    assert len(found) > 90 or not jitter_s
    one = Schedule(1, "backup", "@daily", "true", jitter_s=jitter_s)
    assert jitter_of(one) == jitter_of(Schedule(9, "backup", "@hourly", "false", jitter_s=jitter_s))


def test_nothing_of_a_calendar_reaches_another_day():
    trigger = trigger_for(schedule("0 3 * * *", ("2027-01-02",)))
    assert trigger.next(from_text("2027-01-01T03:00:00Z")) == from_text("2027-01-01T03:00:00Z") + 2 * DAY
