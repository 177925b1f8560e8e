"""Where clocks are turned our triggers do what Debian's cron daemon did; docs/cron.md says how it was asked.

`debian_cron.txt` has a row for each expression and change: the zone and the minute at which the daemon was
started, the expression, and the local times of the starts in the seven hours that followed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from leasebeat.model.instant import SECOND, Instant, from_datetime, from_text, to_datetime
from leasebeat.triggers import instants, parse
from leasebeat.triggers.zones import zone


class Row(NamedTuple):
    zone: str
    since: Instant
    cron: str
    starts: list[str]


def read(line: str) -> Row:
    where, cron, starts = line.split("|")
    name, since = where.split()
    return Row(name, from_text(since), cron.strip(), starts.split())


ROWS = [read(line) for line in Path(__file__).with_name("debian_cron.txt").read_text().splitlines()]
SEVEN_HOURS = 7 * 3600 * SECOND


def test_the_table_has_both_changes_of_five_zones():
    assert len(ROWS) == 250
    assert len({(row.zone, row.since) for row in ROWS}) == 10


@pytest.mark.fault(57)
@pytest.mark.parametrize("since", sorted({row.since for row in ROWS}))
def test_clock_changes_are_those_of_debians_daemon(since: Instant):
    found: dict[str, list[str]] = {}
    expected: dict[str, list[str]] = {}
    for row in (row for row in ROWS if row.since == since):
        trigger = parse(row.cron, timezone=row.zone)
        due = instants(trigger, since - 1, since + SEVEN_HOURS, 1_000)
        local = [to_datetime(instant).astimezone(zone(row.zone)) for instant in due]
        found[row.cron] = [moment.strftime("%H:%M%z") for moment in local]
        # What several matches in one gap start the daemon starts several times; an instant is one fire.
        expected[row.cron] = list(dict.fromkeys(row.starts))
    assert found == expected


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("Europe/Berlin", "2027-03-28"),
        ("America/New_York", "2027-03-14"),
        ("Australia/Lord_Howe", "2027-10-03"),
        ("Africa/Cairo", "2027-04-30"),  # 00:00 to 00:59 do not exist
        ("America/Santiago", "2027-09-05"),  # the same
    ],
)
def test_daily_jobs_of_the_first_hour_survive_spring_forward(name: str, day: str):
    midnight = datetime.fromisoformat(day)
    for minute in range(60):
        trigger = parse(f"{minute} 0 * * *", timezone=name)
        after = from_datetime((midnight - timedelta(days=1, hours=-12)).replace(tzinfo=UTC)) - SEVEN_HOURS
        dates = [
            to_datetime(instant).astimezone(zone(name)).date().isoformat()
            for instant in instants(trigger, after, after + 10**15, 4)
        ]
        assert dates.count(day) == 1
        assert dates == sorted(set(dates))
        assert (datetime.fromisoformat(dates[-1]) - datetime.fromisoformat(dates[0])).days == 3
