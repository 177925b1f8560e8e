"""What five or six fields mean, the slow way: every day is looked at, and every time of a day that fits."""

from __future__ import annotations

from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from heapq import heappop, heappush
from itertools import pairwise

from leasebeat.triggers.zones import zone

__all__ = ["Matcher", "Periods", "number", "periods_of", "weekdays"]

_DAY = 86_400
_NEAR = 3 * 3600
"""No clock is turned by more."""

_EPOCH = date(1970, 1, 1).toordinal()
_NAMES = {
    name: number
    for names in ("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", " SUN MON TUE WED THU FRI SAT")
    for number, name in enumerate(names.split(), 0 if names[0] == " " else 1)
}


@cache
def periods_of(name: str) -> Periods:
    """The periods of a zone, which are looked for once."""
    return Periods(name)


class Periods:
    """A zone as the list of its periods, 2023 to 2100: from when on (seconds of UTC) which offset holds."""

    def __init__(self, name: str) -> None:
        where = zone(name)

        def offset(seconds: int) -> int:
            moment = datetime.fromtimestamp(seconds, UTC).astimezone(where)
            return int((moment.utcoffset() or timedelta()).total_seconds())

        first = int(datetime(2023, 1, 1, tzinfo=UTC).timestamp())
        self._starts, self._offsets = [first], [offset(first)]
        weeks = range(first, int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()), 7 * _DAY)
        for before, after in pairwise(weeks):
            if offset(before) != offset(after):
                turned = next(at for at in range(before, after + 1, 900) if offset(at) != offset(before))
                self._starts.append(turned)
                self._offsets.append(offset(turned))

    def changes(self, first: datetime, last: datetime) -> list[int]:
        """When clocks are turned between the two."""
        return [at for at in self._starts[1:] if first.timestamp() <= at < last.timestamp()]

    def turned_within(self, first: int, last: int) -> bool:
        """Whether clocks are turned in (first, last]."""
        return bisect_right(self._starts, first) != bisect_right(self._starts, last)

    def offset(self, at: float) -> int:
        """What local time is ahead of UTC by, in seconds."""
        return self._offsets[bisect_right(self._starts, at) - 1]

    def passes(self, local: int) -> list[int]:
        """The instants at which the clock on the wall shows a local time: none, one or two."""
        number = bisect_right(self._starts, local) - 1
        found: list[int] = []
        for each in range(max(0, number - 1), min(len(self._starts), number + 2)):
            at = local - self._offsets[each]
            end = self._starts[each + 1] if each + 1 < len(self._starts) else at + 1
            if self._starts[each] <= at < end:
                found.append(at)
        return found

    def after_gap(self, local: int) -> int:
        """The instant at which the clock jumps over a local time that has no passes."""
        return min(
            (at for at in self._starts[1:] if abs(local - at) < 2 * _DAY), key=lambda at: abs(local - at)
        )


def number(text: str) -> int:
    """A value, or the name of one, in capitals."""
    return _NAMES[text] if text in _NAMES else int(text)


def _values(text: str, low: int, high: int) -> list[int]:
    found: set[int] = set()
    for item in text.upper().split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        if first in ("*", "?"):
            start, end = low, high
        else:
            start = number(first)
            end = number(last) if last else high if step else start
        found.update(range(start, end + 1, int(step or 1)))
    return sorted(found)


def weekdays(text: str) -> set[int]:
    """The days of the week that a field of plain items allows; 0 is Sunday."""
    return {value % 7 for value in _values(text, 0, 7)}


class Matcher:
    """The fields, and the rules for clock changes."""

    def __init__(self, cron: str, periods: Periods, dst: str) -> None:
        parts = cron.split()
        parts = ["0", *parts] if len(parts) == 5 else parts
        self._periods, self._dst = periods, dst
        self._fixed = not any(part.startswith(("*", "?")) for part in parts[:3])
        self._seconds, self._minutes, self._hours = (
            _values(part, 0, high) for part, high in zip(parts, (59, 59, 23), strict=False)
        )
        self._day, self._weekday = parts[3].upper(), parts[5].upper()
        self._months = frozenset(_values(parts[4], 1, 12))
        self._both = self._day[0] in "*?" or self._weekday[0] in "*?"

    def matches_within(self, first: int, last: int) -> bool:
        """Whether any day of these years matches."""
        days = range(date(first, 1, 1).toordinal(), date(last + 1, 1, 1).toordinal())
        return any(self._matches(date.fromordinal(day)) for day in days)

    def instants(self, after: float) -> Iterator[int]:
        """The instants after `after`, in order, in seconds."""
        waiting: list[int] = []
        given = after
        for local in self._locals(int(after) + self._periods.offset(after) - _NEAR):
            for at in self._of(local):
                if at > after:
                    heappush(waiting, at)
            # Later local times are never that much earlier.
            while waiting and waiting[0] + self._periods.offset(waiting[0]) <= local - self._reach(local):
                at = heappop(waiting)
                if at > given:
                    yield at
                    given = at

    def _reach(self, local: int) -> int:
        return _NEAR if self._periods.turned_within(local - 2 * _DAY, local + 2 * _DAY) else 0

    def _of(self, local: int) -> list[int]:
        passes = self._periods.passes(local)
        if not passes:
            skipped = not self._fixed or self._dst == "skip"
            return [] if skipped else [self._periods.after_gap(local)]
        return passes[:1] if self._fixed and self._dst != "both" else passes

    def _locals(self, start: int) -> Iterator[int]:
        first = start // _DAY
        for number in range(first, first + 80 * 366):
            if self._matches(date.fromordinal(number + _EPOCH)):
                yield from self._times(number * _DAY, start)

    def _times(self, midnight: int, start: int) -> Iterator[int]:
        for hour in self._hours:
            if midnight + hour * 3600 + 3600 <= start:
                continue
            for minute in self._minutes:
                for second in self._seconds:
                    yield midnight + hour * 3600 + minute * 60 + second

    def _matches(self, day: date) -> bool:
        if day.month not in self._months:
            return False
        if self._both:
            return self._is_day(day) and self._is_weekday(day)
        return self._is_day(day) or self._is_weekday(day)

    def _is_day(self, day: date) -> bool:
        return any(_is_day(item, day) for item in self._day.split(","))

    def _is_weekday(self, day: date) -> bool:
        return any(_is_weekday(item, day) for item in self._weekday.split(","))


def _is_day(item: str, day: date) -> bool:
    length = monthrange(day.year, day.month)[1]
    if item == "L":
        return day.day == length
    if not item.endswith("W"):
        return day.day in _values(item, 1, 31)
    wanted = length if item == "LW" else int(item[:-1])
    weekdays = [each for each in range(1, length + 1) if date(day.year, day.month, each).weekday() < 5]
    # The nearest, and of two that are as near (there are none) the earlier.
    return wanted <= length and day.day == min(weekdays, key=lambda each: (abs(each - wanted), each))


def _is_weekday(item: str, day: date) -> bool:
    number = day.isoweekday() % 7
    if item.endswith("L"):
        return int(item[:-1]) % 7 == number and (day + timedelta(days=7)).month != day.month
    name, _, nth = item.partition("#")
    return number in weekdays(name) and (not nth or (day.day + 6) // 7 == int(nth))
