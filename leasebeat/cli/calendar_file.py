"""The days of an ICS or a CSV file, for the table `calendars`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, cast

from leasebeat.cli.exits import Usage
from leasebeat.store.desk_tables import CalendarDay

__all__ = ["days_of_file"]

_NOTE = 190
_MOST_DAYS = 10_000
_TOO_OFTEN = frozenset({"SECONDLY", "MINUTELY", "HOURLY"})
_HEADS = ("day", "date")


def days_of_file(text: str, effect: str, first: date, last: date) -> list[CalendarDay]:
    """The days that a file names, in order; of an ICS file those from `first` to `last`, both included.

    Raises Usage.
    """
    is_ics = text.lstrip("\ufeff \t\r\n")[:15].upper() == "BEGIN:VCALENDAR"
    named = _ics(text, effect, first, last) if is_ics else _csv(text, effect)
    found: dict[str, CalendarDay] = {}
    for day in named:
        former = found.get(day.day)
        if former is not None and former.effect != day.effect:
            raise Usage(f"{day.day} is named twice, to exclude and to add")
        found[day.day] = day if former is None else _both(former, day)
        if len(found) > _MOST_DAYS:
            raise Usage(f"more than {_MOST_DAYS} days: import a shorter time, with --from and --to")
    return sorted(found.values())


def _both(one: CalendarDay, other: CalendarDay) -> CalendarDay:
    notes = dict.fromkeys(note for note in (one.note, other.note) if note)
    return one._replace(note="; ".join(notes)[:_NOTE])


def _csv(text: str, effect: str) -> Iterator[CalendarDay]:
    """Lines of day, effect and note; the latter two may be left out, and a first line with heads is known."""
    for number, row in enumerate(csv.reader(io.StringIO(text.lstrip("\ufeff"))), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#") or (number == 1 and cells[0].lower() in _HEADS):
            continue
        said = cells[1] if len(cells) > 1 and cells[1] else effect
        try:
            day = date.fromisoformat(cells[0])
        except ValueError as problem:
            raise Usage(f"line {number}: {cells[0]!r}: expected a day like 2026-12-25") from problem
        if said not in ("exclude", "add"):
            raise Usage(f"line {number}: {said!r}: expected exclude or add, or nothing")
        yield CalendarDay(day.isoformat(), said, ",".join(cells[2:])[:_NOTE])


def _ics(text: str, effect: str, first: date, last: date) -> Iterator[CalendarDay]:
    import recurring_ical_events
    from icalendar import Calendar

    try:
        calendar = cast("Any", Calendar.from_ical(text.lstrip("\ufeff")))
        _check_often(calendar.walk("VEVENT"))
        # The second end is not part of what is asked for.
        events = cast(
            "Iterable[Any]", recurring_ical_events.of(calendar).between(first, last + timedelta(days=1))
        )
        spans = [(*_span(event), str(event.get("SUMMARY", ""))) for event in events if _holds(event)]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as problem:
        raise Usage(f"it is no calendar that can be read: {problem}") from problem
    for start, end, summary in spans:
        for number in range((end - start).days + 1):
            day = start + timedelta(days=number)
            if first <= day <= last:
                yield CalendarDay(day.isoformat(), effect, " ".join(summary.split())[:_NOTE])


def _check_often(events: Iterable[Any]) -> None:
    for event in events:
        said = event.get("RRULE", [])
        rules = cast("list[Any]", said) if isinstance(said, list) else [said]
        for rule in rules:
            if _TOO_OFTEN & {str(word).upper() for word in cast("list[object]", rule.get("FREQ", []))}:
                raise Usage(f"{event.get('SUMMARY', 'an event')!s} recurs within a day: that names no days")


def _holds(event: Any) -> bool:
    return str(event.get("STATUS", "")).upper() != "CANCELLED"


def _span(event: Any) -> tuple[date, date]:
    """The first and the last day of an event, both included, by its own zone."""
    start, end = event.start, event.end
    if not isinstance(start, datetime):
        return start, max(start, end - timedelta(days=1))
    # What ends at midnight is not there on the day that begins then.
    last = end.date() - timedelta(days=1) if end.time() == time(0) and end > start else end.date()
    return start.date(), max(start.date(), last)
