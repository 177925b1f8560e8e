"""Days of the month that cronsim has no word for."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date
from typing import NamedTuple

_SATURDAY, _SUNDAY = 5, 6
_FORM = re.compile(r"(?:(\d+)|L(?:-(\d+))?)(W?)", re.ASCII)


class NearDay(NamedTuple):
    """`15W`, `L-3`, `L-3W`: a day, or the weekday (Monday to Friday) nearest to it within its month."""

    day: int  #: of the month; 0 is the last one, -3 the third before it
    weekday: bool

    def matches(self, day: date) -> bool:
        """Whether it is that day. A month that does not have it has nothing near it either."""
        length = monthrange(day.year, day.month)[1]
        wanted = self.day if self.day > 0 else length + self.day
        if not 1 <= wanted <= length:
            return False
        return day.day == (_weekday_near(day.replace(day=wanted), length) if self.weekday else wanted)


def near_day(item: str) -> NearDay | None:
    """What an item of the day of month, in capitals, says in these words; None: cronsim knows it."""
    form = _FORM.fullmatch(item)
    if form is None:
        return None
    day, before_last, weekday = form.groups()
    if day is not None:
        return NearDay(int(day), weekday=True) if weekday else None
    return NearDay(-int(before_last), bool(weekday)) if before_last is not None else None


def _weekday_near(day: date, length: int) -> int:
    if day.weekday() == _SATURDAY:
        return day.day - 1 if day.day > 1 else 3
    if day.weekday() == _SUNDAY:
        return day.day + 1 if day.day < length else length - 2
    return day.day
