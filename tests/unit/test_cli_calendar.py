"""The days of calendar files."""

from __future__ import annotations

from datetime import date

import pytest

from leasebeat.cli.calendar_file import days_of_file
from leasebeat.cli.exits import Usage
from leasebeat.store.desk_tables import CalendarDay

FIRST, LAST = date(2026, 1, 1), date(2027, 12, 31)


def ics(*events: str) -> str:
    body = "".join(
        f"BEGIN:VEVENT\nUID:{number}\n{event}\nEND:VEVENT\n" for number, event in enumerate(events)
    )
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:test\n{body}END:VCALENDAR\n".replace("\n", "\r\n")


def days(text: str, effect: str = "exclude") -> list[str]:
    return [day.day for day in days_of_file(text, effect, FIRST, LAST)]


def test_an_event_of_a_whole_day_names_it_with_its_summary() -> None:
    text = ics("DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261226\nSUMMARY:Christmas\\, first day")
    assert days_of_file(text, "add", FIRST, LAST) == [
        CalendarDay("2026-12-25", "add", "Christmas, first day")
    ]


def test_an_event_without_an_end_is_of_one_day() -> None:
    assert days(ics("DTSTART;VALUE=DATE:20261225\nSUMMARY:x")) == ["2026-12-25"]


def test_an_event_of_several_days_names_each_within_the_range() -> None:
    text = ics("DTSTART;VALUE=DATE:20251230\nDTEND;VALUE=DATE:20260103\nSUMMARY:x")
    assert days(text) == ["2026-01-01", "2026-01-02"]


@pytest.mark.parametrize(
    ("start", "end", "named"),
    [
        ("20261224T180000", "20261225T000000", ["2026-12-24"]),
        ("20261224T180000", "20261225T060000", ["2026-12-24", "2026-12-25"]),
        ("20261224T000000", "20261224T000000", ["2026-12-24"]),
    ],
)
def test_an_event_with_hours_names_the_days_that_it_touches(start: str, end: str, named: list[str]) -> None:
    zone = "TZID=Europe/Berlin"
    assert days(ics(f"DTSTART;{zone}:{start}\nDTEND;{zone}:{end}\nSUMMARY:x")) == named


def test_an_event_that_recurs_is_followed_through_the_range() -> None:
    text = ics("DTSTART;VALUE=DATE:20200501\nRRULE:FREQ=YEARLY\nEXDATE;VALUE=DATE:20270501\nSUMMARY:May")
    assert days(text) == ["2026-05-01"]
    assert days(ics("DTSTART;VALUE=DATE:20200501\nRRULE:FREQ=YEARLY\nSUMMARY:May")) == [
        "2026-05-01",
        "2027-05-01",
    ]


def test_a_day_of_two_events_has_both_notes() -> None:
    event = "DTSTART;VALUE=DATE:20261225\nSUMMARY:"
    assert days_of_file(ics(f"{event}a", f"{event}b"), "exclude", FIRST, LAST)[0].note == "a; b"


def test_an_event_that_was_cancelled_names_nothing() -> None:
    assert days(ics("DTSTART;VALUE=DATE:20261225\nSTATUS:CANCELLED\nSUMMARY:x")) == []


def test_lines_name_a_day_and_if_they_like_its_effect_and_a_note() -> None:
    text = 'day,effect,note\n2026-12-25\n# no day\n\n2026-12-27,add,"work, for once"\n2026-12-26,,x\n'
    assert days_of_file(text, "exclude", FIRST, LAST) == [
        CalendarDay("2026-12-25", "exclude", ""),
        CalendarDay("2026-12-26", "exclude", "x"),
        CalendarDay("2026-12-27", "add", "work, for once"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-02-30", "line 1: '2026-02-30': expected a day"),
        ("2026-12-25\n2026-12-26,skip", "line 2: 'skip': expected exclude or add"),
        ("2026-12-25,add\n2026-12-25,exclude", "2026-12-25 is named twice"),
        ("BEGIN:VCALENDAR\nnonsense", "no calendar that can be read"),
        (ics("DTSTART:20261225T000000Z\nRRULE:FREQ=SECONDLY\nSUMMARY:tick"), "tick recurs within a day"),
    ],
)
def test_what_names_no_days_is_told(text: str, said: str) -> None:
    with pytest.raises(Usage, match=said):
        days(text)
