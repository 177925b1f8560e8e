"""Cron fields in a time zone, as Debian's cron daemon treats them.

`cronsim` answers which local times match; it is only ever asked about naive local time. What becomes
of a local time that does not exist or exists twice is decided here, by the daemon's two rules:

* *Fixed* times (no time field begins with `*`) are about the clock on the wall. One that the clocks
  jump over fires right after the jump, one that comes twice fires the first time only.
* *Real-time* expressions (`*/10 * * * *`) are about time that passes. What is jumped over never was,
  what comes twice fires twice.

The daemon knows five fields; with six the same rules hold, the seconds counting as a time field.
A schedule may ask for other rules for its fixed times: `skip` leaves out what the clocks jump over,
`both` fires in both passes of what comes twice.
(cronsim's own zone arithmetic is left aside: it drops the first rule for six fields, and steps over
matches where the clocks move by half an hour.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from leasebeat.model.instant import Instant, from_datetime, to_datetime
from leasebeat.model.schedule import Dst
from leasebeat.triggers.fields import for_cronsim, near_days
from leasebeat.triggers.trigger import Trigger

_AT_ONCE = timedelta(0)
_MINUTE = timedelta(minutes=1)
_FIRST_YEAR = datetime(2024, 1, 1)  # noqa: DTZ001 - local times are naive on purpose
_EIGHT_YEARS_ON = datetime(2032, 1, 1)  # noqa: DTZ001
_END: Instant = from_datetime(datetime(9900, 1, 1, tzinfo=UTC))
"""Nothing fires from here on: the search would run into the end of the calendar."""


class CrontabTrigger(Trigger):
    """Fires where five fields, or six with the seconds first, match the local time of a zone.

    `parts` are fields that `fields.problem` found good, without an `H`; `years`, in order, are those that
    it fires in, None: all. Raises CronSimError for a date that no month has.
    """

    __slots__ = ("_dst", "_fixed", "_parts", "_utc", "_walk", "_years", "_zone")

    def __init__(
        self, parts: Sequence[str], zone: ZoneInfo, dst: Dst = "cron", years: Sequence[int] | None = None
    ) -> None:
        self._parts = list(parts)
        self._walk = _Walk(self._parts)
        self._fixed = not any(field.startswith("*") for field in self._walk.parts[:3])
        self._zone = zone
        self._utc = zone.key == "UTC"
        self._dst: Dst = dst
        self._years = years

    def next(self, after: Instant) -> Instant | None:
        """The first matching instant, a whole second, after `after`."""
        if after >= _END:
            return None
        if self._utc:
            found = next(self._matches(to_datetime(after).replace(tzinfo=None)), None)
            return None if found is None else from_datetime(found.replace(tzinfo=UTC))
        here = to_datetime(after).astimezone(self._zone)
        if self._fixed and self._dst != "both":
            return self._next_once(here, after)
        return self._next_in_each_pass(here, after)

    def daily(self) -> CrontabTrigger:
        """The same times of day, every day."""
        return CrontabTrigger([*self._parts[:-3], "*", "*", "*"], self._zone, self._dst)

    def ever_fires(self) -> bool:
        """Whether it fires within eight years, or in one of the years that it names.

        The years are always the same eight, 2024 to 2031: the verdict may not depend on the day on
        which a node reads the row.
        """
        if self._years is not None:
            return next(self._matches(datetime(1970, 1, 1) - _MINUTE), None) is not None  # noqa: DTZ001
        found = next(self._matches(_FIRST_YEAR - _MINUTE), None)
        return found is not None and found < _EIGHT_YEARS_ON

    def _matches(self, local: datetime) -> Iterator[datetime]:
        """The matching naive local times after `local`."""
        local = local.replace(microsecond=0)
        if self._years is None:
            yield from self._walk.after(local)
            return
        for year in (year for year in self._years if year >= local.year):
            start = max(local, datetime(year, 1, 1) - timedelta(seconds=1))  # noqa: DTZ001
            for match in self._walk.after(start):
                if match.year > year:
                    break
                yield match
            else:
                return  # the search gave up: there is none in fifty years

    def _next_once(self, here: datetime, after: Instant) -> Instant | None:
        """Each match once: in the first pass where it comes twice."""
        for local in self._matches(here.replace(tzinfo=None)):
            if self._dst == "skip" and _turned(local, self._zone) < _AT_ONCE:
                continue
            instant = from_datetime(existing(local, self._zone))
            # In the hour that comes twice, matches of its first pass lie behind us.
            if instant > after:
                return instant
        return None

    def _next_in_each_pass(self, here: datetime, after: Instant) -> Instant | None:
        local = here.replace(tzinfo=None, fold=0)
        found = self._first_pass(local, after)
        if here.fold or _turned(local, self._zone) <= _AT_ONCE:
            return found
        # In the first pass of an hour that comes twice: the matches of its second pass begin again at
        # the start of that hour, and come before those of the hours that follow.
        while _turned(local, self._zone) > _AT_ONCE:
            local -= _MINUTE
        again = self._first_pass(local, after)
        return min((instant for instant in (found, again) if instant is not None), default=None)

    def _first_pass(self, local: datetime, after: Instant) -> Instant | None:
        """The first pass after `after` of the first match after `local` that has one."""
        for match in self._matches(local):
            if _turned(match, self._zone) < _AT_ONCE:  # the clocks jump over it
                passes = [existing(match, self._zone)] if self._fixed else []
            else:
                passes = [match.replace(tzinfo=self._zone, fold=fold) for fold in (0, 1)]
            for instant in map(from_datetime, passes):
                if instant > after:
                    return instant
        return None


class _Walk(CronSim):
    """cronsim, and the days that it has no word for."""

    def __init__(self, parts: Sequence[str]) -> None:
        super().__init__(" ".join(for_cronsim(parts)), _FIRST_YEAR)
        days = parts[-3]
        self._near = near_days(parts)
        if len(self._near) == days.count(",") + 1:
            self.days = set[int]()  # the stand-in
        self.day_and = days.startswith(("*", "?")) or parts[-1].startswith(("*", "?"))

    def after(self, local: datetime) -> Iterator[datetime]:
        """The matching local times after `local`, a whole second. A copy does the walking: it is shared."""
        walk = copy(self)
        walk.dt = local
        return walk

    def match_dom(self, d: date) -> bool:
        """Whether the day of month matches."""
        return super().match_dom(d) or any(near.matches(d) for near in self._near)


def existing(local: datetime, zone: ZoneInfo) -> datetime:
    """The naive `local` in `zone`: moved to the end of the gap it lies in; the first where it comes twice."""
    if _turned(local, zone) < _AT_ONCE:
        local = local.replace(second=0, microsecond=0)
        while _turned(local, zone) < _AT_ONCE:
            local += _MINUTE
    return local.replace(tzinfo=zone, fold=0)


def _turned(local: datetime, zone: ZoneInfo) -> timedelta:
    """How far the clocks are turned there: negative in a gap, positive where `local` comes twice, else 0."""
    before = local.replace(tzinfo=zone, fold=0).utcoffset() or _AT_ONCE
    return before - (local.replace(tzinfo=zone, fold=1).utcoffset() or _AT_ONCE)
