"""Which instant people mean."""

from __future__ import annotations

import pytest

from leasebeat.cli.asked import Asked, asked
from leasebeat.cli.exits import Usage
from leasebeat.model.instant import DAY, SECOND, from_text
from leasebeat.triggers.zones import zone

BERLIN = zone("Europe/Berlin")
NOW = from_text("2026-11-20T02:30:00+01:00")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-19T03:00:00Z", "2026-11-19T03:00:00Z"),
        ("2026-11-19T03:00:00+05:30", "2026-11-18T21:30:00Z"),
        ("2026-11-19 03:00", "2026-11-19T02:00:00Z"),
        ("2026-11-19T03:00:07", "2026-11-19T02:00:07Z"),
        ("2026-11-19 3:00", "2026-11-19T02:00:00Z"),
        ("today 01:00", "2026-11-20T00:00:00Z"),
        ("Today  1:00", "2026-11-20T00:00:00Z"),
        ("yesterday 03:00:30", "2026-11-19T02:00:30Z"),
        ("tomorrow 03:00", "2026-11-21T02:00:00Z"),
        ("02:30", "2026-11-20T01:30:00Z"),
        ("3:00", "2026-11-19T02:00:00Z"),
    ],
)
def test_an_instant_is_read_by_the_clock_of_the_zone(text: str, meant: str) -> None:
    at = from_text(meant)
    assert asked(text, BERLIN, NOW) == Asked(at, at)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20 min ago", 1200),
        ("20m ago", 1200),
        ("1 hour ago", 3600),
        ("1h30m ago", 5400),
        ("2 days ago", 172800),
    ],
)
def test_so_long_ago_means_the_last_instant_before(text: str, seconds: int) -> None:
    assert asked(text, BERLIN, NOW) == Asked(0, NOW - seconds * SECOND, last=True)


def test_nothing_means_the_last_instant() -> None:
    assert asked("", BERLIN, NOW) == Asked(0, NOW, last=True)


@pytest.mark.parametrize("text", ["yesterday", "2026-11-19"])
def test_a_day_is_that_of_the_zone(text: str) -> None:
    begin = from_text("2026-11-19T00:00:00+01:00")
    assert asked(text, BERLIN, NOW) == Asked(begin, begin + DAY - 1)


def test_a_day_on_which_the_clocks_are_turned_is_longer() -> None:
    found = asked("2026-10-25", BERLIN, NOW)
    assert found.end + 1 - found.begin == 25 * 3600 * SECOND


def test_a_time_that_did_not_exist_is_taken_for_what_came_after_it() -> None:
    found = asked("2026-03-29 02:30", BERLIN, NOW)
    assert found.begin == from_text("2026-03-29T03:00:00+02:00")
    assert "02:30 did not exist on 2026-03-29 in Europe/Berlin" in found.note


def test_of_a_time_that_came_twice_the_first_is_meant_and_the_second_named() -> None:
    found = asked("2026-10-25 02:30", BERLIN, NOW)
    assert found.begin == from_text("2026-10-25T02:30:00+02:00")
    assert "the second is 2026-10-25T01:30:00Z" in found.note


@pytest.mark.parametrize(
    "text", ["foo", "25:00", "2026-13-01", "yesterday at three", "ago", "3 moons ago", "1969-01-01"]
)
def test_what_means_nothing_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(Usage, match="expected"):
        asked(text, BERLIN, NOW)
