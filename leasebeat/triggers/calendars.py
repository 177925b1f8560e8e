"""Calendars: days on which a schedule does not fire, and days on which it does instead.

What a trigger would fire on an excluded date, by the clock of the schedule's zone, is left out. On a
make-up day fields fire at their times of day as if that date matched their days.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from leasebeat.errors import ExpressionError
from leasebeat.model.instant import Instant, from_datetime, to_datetime
from leasebeat.triggers.crontab import CrontabTrigger, existing
from leasebeat.triggers.trigger import Trigger

_DAY = timedelta(days=1)


class Days(NamedTuple):
    """The dates of a calendar as ISO texts, in order: part of a trigger's key."""

    exclude: tuple[str, ...]
    add: tuple[str, ...]


def days_of(calendar: Mapping[str, Sequence[str]]) -> Days:
    """The dates of `Schedule.calendar_days`."""
    return Days(tuple(sorted(calendar.get("exclude", ()))), tuple(sorted(calendar.get("add", ()))))


class CalendarTrigger(Trigger):
    """A trigger without its instants on excluded dates, and with those of make-up days.

    Raises ExpressionError for a day that is none.
    """

    __slots__ = ("_add", "_base", "_daily", "_exclude", "_zone")

    def __init__(self, base: Trigger, zone: ZoneInfo, days: Days) -> None:
        self._base = base
        self._daily = base.daily() if isinstance(base, CrontabTrigger) else None
        self._zone = zone
        self._exclude = frozenset(_dates(days.exclude))
        self._add = sorted(_dates(days.add)) if self._daily else []

    def next(self, after: Instant) -> Instant | None:
        """The first instant after `after` that the calendar leaves or adds."""
        candidates = (self._next_left(after), next(self._added(after), None))
        return min((instant for instant in candidates if instant is not None), default=None)

    def _next_left(self, after: Instant) -> Instant | None:
        """Ends: each step leaves at least one excluded date behind, and there are so many."""
        found = self._base.next(after)
        while found is not None and (day := self._date(found)) in self._exclude:
            while day in self._exclude:
                day += _DAY
            # Where the clocks go back over midnight a date comes twice: never look behind what was found.
            found = self._base.next(max(found, self._start(day) - 1))
        return found

    def _added(self, after: Instant) -> Iterator[Instant]:
        if self._daily is None or not self._add:
            return
        # One earlier: where the clocks go back over midnight the date before may not be over.
        first = bisect_left(self._add, self._date(after) - _DAY)
        for day in self._add[first:]:
            found = self._daily.next(max(after, self._start(day) - 1))
            if found is not None and self._date(found) == day:
                yield found

    def _date(self, instant: Instant) -> date:
        return to_datetime(instant).astimezone(self._zone).date()

    def _start(self, day: date) -> Instant:
        return from_datetime(existing(datetime(day.year, day.month, day.day), self._zone))  # noqa: DTZ001


def _dates(texts: Iterable[str]) -> list[date]:
    return [_date(text) for text in texts]


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ExpressionError(
            f"calendar day {text!r} cannot be used ({error}); expected YYYY-MM-DD"
        ) from error
