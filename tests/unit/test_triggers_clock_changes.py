"""What cron expressions do where clocks are turned; Berlin's tables are those of the real Debian daemon."""

from __future__ import annotations

import pytest

from leasebeat.model.instant import SECOND, Instant, from_datetime, from_text, to_datetime
from leasebeat.model.schedule import Dst
from leasebeat.testing.trials.cases import proves
from leasebeat.triggers import instants, parse
from leasebeat.triggers.zones import zone


def local(date_time: str, timezone: str) -> Instant:
    return from_datetime(to_datetime(from_text(f"{date_time}Z")).replace(tzinfo=zone(timezone)))


def fires(cron: str, timezone: str, day: str, dst: Dst = "cron") -> list[str]:
    """The fires of a local morning, [00:00, 12:00), as `HH:MM+offset`, seconds only where not 0."""
    after, until = local(f"{day}T00:00", timezone) - 1, local(f"{day}T12:00", timezone) - 1
    found = instants(parse(cron, timezone=timezone, dst=dst), after, until, 50_000)
    moments = [to_datetime(instant).astimezone(zone(timezone)) for instant in found]
    return [moment.strftime("%H:%M:%S%z").replace(":00+", "+").replace(":00-", "-") for moment in moments]


BERLIN, GAP, OVERLAP = "Europe/Berlin", "2027-03-28", "2027-10-31"


@pytest.mark.parametrize(
    ("cron", "gap", "overlap"),
    [
        ("30 2 * * *", ["03:00+0200"], ["02:30+0200"]),
        ("0 2 * * *", ["03:00+0200"], ["02:00+0200"]),
        ("0 3 * * *", ["03:00+0200"], ["03:00+0100"]),
        ("15 2-3 * * *", ["03:00+0200", "03:15+0200"], ["02:15+0200", "03:15+0100"]),
        ("0,30 2 * * *", ["03:00+0200"], ["02:00+0200", "02:30+0200"]),
        ("15 30 2 * * *", ["03:00+0200"], ["02:30:15+0200"]),
        ("0 15 2-3 * * *", ["03:00+0200", "03:15+0200"], ["02:15+0200", "03:15+0100"]),
        ("0,30 0 2 * * *", ["03:00+0200"], ["02:00+0200", "02:00:30+0200"]),
    ],
)
@proves("dst", "cron")
def test_fixed_times_fire_right_after_the_gap_and_once_in_the_overlap(
    cron: str, gap: list[str], overlap: list[str]
):
    assert fires(cron, BERLIN, GAP) == gap
    assert fires(cron, BERLIN, OVERLAP) == overlap


@pytest.mark.parametrize(
    ("cron", "gap", "overlap"),
    [
        ("* 2 * * *", 0, 120),
        ("*/30 * * * *", 22, 26),
        ("30 * * * *", 11, 13),
        ("30 */2 * * *", 5, 7),
        ("*/30 1-3 * * *", 4, 8),
        ("0 */30 2 * * *", 0, 4),
        ("*/10 30 2 * * *", 0, 12),
        ("* * 2 * * *", 0, 7200),
    ],
)
def test_a_star_in_a_time_field_follows_real_time(cron: str, gap: int, overlap: int):
    assert len(fires(cron, BERLIN, GAP)) == gap
    assert len(fires(cron, BERLIN, OVERLAP)) == overlap


@pytest.mark.parametrize(
    ("cron", "gap", "overlap"),
    [
        ("30 2 * * *", ["03:00-0400"], []),
        ("30 1 * * *", ["01:30-0500"], ["01:30-0400"]),
        (
            "*/30 1-2 * * *",
            ["01:00-0500", "01:30-0500"],
            ["01:00-0400", "01:30-0400", "01:00-0500", "01:30-0500"],
        ),
    ],
)
def test_new_york_turns_its_clocks_at_two(cron: str, gap: list[str], overlap: list[str]):
    assert fires(cron, "America/New_York", "2027-03-14") == gap
    assert fires(cron, "America/New_York", "2027-11-07")[: len(overlap) or 9] == (overlap or ["02:30-0500"])


@pytest.mark.parametrize(
    ("cron", "gap", "overlap"),
    [
        ("15 2 * * *", ["02:30+1100"], ["02:15+1030"]),
        ("45 1 * * *", ["01:45+1030"], ["01:45+1100"]),
        ("*/20 2 * * *", ["02:40+1100"], ["02:00+1030", "02:20+1030", "02:40+1030"]),
        (
            "*/20 1 * * *",
            ["01:00+1030", "01:20+1030", "01:40+1030"],
            ["01:00+1100", "01:20+1100", "01:40+1100", "01:40+1030"],
        ),
        ("*/30 3 * * *", ["03:00+1100", "03:30+1100"], ["03:00+1030", "03:30+1030"]),
    ],
)
def test_lord_howe_turns_its_clocks_by_half_an_hour(cron: str, gap: list[str], overlap: list[str]):
    assert fires(cron, "Australia/Lord_Howe", "2026-10-04") == gap
    assert fires(cron, "Australia/Lord_Howe", "2027-04-04") == overlap


@pytest.mark.parametrize(
    ("cron", "dst", "gap", "overlap"),
    [
        ("30 2 * * *", "skip", [], ["02:30+0200"]),
        ("30 2 * * *", "both", ["03:00+0200"], ["02:30+0200", "02:30+0100"]),
        ("15 2-3 * * *", "skip", ["03:15+0200"], ["02:15+0200", "03:15+0100"]),
        ("15 2-3 * * *", "both", ["03:00+0200", "03:15+0200"], ["02:15+0200", "02:15+0100", "03:15+0100"]),
        (
            "0,30 2 * * *",
            "both",
            ["03:00+0200"],
            ["02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100"],
        ),
        ("15 30 2 * * *", "skip", [], ["02:30:15+0200"]),
        ("0 3 * * *", "skip", ["03:00+0200"], ["03:00+0100"]),
        ("0 3 * * *", "both", ["03:00+0200"], ["03:00+0100"]),
        ("*/30 2 * * *", "skip", [], ["02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100"]),
        ("*/30 2 * * *", "both", [], ["02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100"]),
        ("quartz: 0 30 2 * * ?", "skip", [], ["02:30+0200"]),
    ],
)
def test_a_schedule_may_choose_what_becomes_of_its_fixed_times(
    cron: str, dst: Dst, gap: list[str], overlap: list[str]
):
    assert fires(cron, BERLIN, GAP, dst) == gap
    assert fires(cron, BERLIN, OVERLAP, dst) == overlap


@pytest.mark.parametrize(("dst", "count"), [("cron", 1), ("skip", 1), ("both", 1)])
@pytest.mark.parametrize("day", ["2027-03-27", "2027-03-29", "2027-10-30", "2027-11-01"])
def test_on_other_days_the_choice_changes_nothing(day: str, dst: Dst, count: int):
    assert len(fires("30 2 * * *", BERLIN, day, dst)) == count


@pytest.mark.parametrize(("dst", "day"), [("skip", 29), ("cron", 28), ("both", 28)])
def test_the_search_goes_on_after_a_gap(dst: Dst, day: int):
    """A daily job in the gap is left out on that day only."""
    found = parse("30 2 * * *", timezone=BERLIN, dst=dst).next(local("2027-03-28T00:00", BERLIN))
    assert found == local(f"2027-03-{day}T{'03:00' if day == 28 else '02:30'}", BERLIN)


@pytest.mark.parametrize("dst", ["cron", "skip", "both"])
def test_a_moment_in_a_gap_is_always_right_after_it(dst: Dst):
    moment = parse("@at 2027-03-28 02:30", timezone=BERLIN, dst=dst)
    assert instants(moment, 0, local("2030-01-01T00:00", BERLIN), 9) == [local("2027-03-28T03:00", BERLIN)]


def test_midnight_inside_a_gap_fires_right_after_it():
    assert fires("0 0 * * *", "America/Havana", "2024-03-10") == ["01:00-0400"]


def test_a_star_makes_nothing_of_a_midnight_that_does_not_exist():
    assert fires("*/5 0 10 * *", "America/Havana", "2024-03-10") == []


def test_a_day_that_a_zone_left_out_fires_at_the_start_of_the_next():
    found = parse("0 9 30 12 *", timezone="Pacific/Apia").next(from_text("2011-12-30T00:00:00Z"))
    assert found == local("2011-12-31T00:00", "Pacific/Apia")


@pytest.mark.parametrize("minute", range(60))
def test_every_daily_time_of_the_first_hour_survives_spring_forward(minute: int):
    """APScheduler loses the whole day after the change for all of these."""
    trigger = parse(f"{minute} 0 * * *", timezone=BERLIN)
    found = instants(trigger, local("2027-03-26T12:00", BERLIN), local("2027-03-30T12:00", BERLIN), 9)
    assert found == [local(f"2027-03-{day}T00:{minute:02}", BERLIN) for day in (27, 28, 29, 30)]


def test_a_change_inside_the_search_is_seen_from_either_side():
    trigger = parse("*/30 2 31 10 *", timezone=BERLIN)
    second_pass = from_text("2027-10-31T01:00:00Z")
    assert trigger.next(second_pass - SECOND) == second_pass
    assert trigger.next(second_pass - 15 * 60 * SECOND) == second_pass
    assert trigger.next(second_pass + 1800 * SECOND) == local("2028-10-31T02:00", BERLIN)
