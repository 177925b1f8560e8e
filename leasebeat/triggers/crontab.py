"""Cron fields in a time zone, as Debian's cron daemon treats them.

`cronsim` answers which local times match; it is only ever asked about naive local time. What becomes
of a local time that does not exist or exists twice is decided here, by the daemon's two rules:

* *Fixed* times (no time field begins with `*`) are about the clock on the wall. One that the clocks
  jump over fires right after the jump, one that comes twice fires the first time only.
* *Real-time* expressions (`*/10 * * * *`) are about time that passes. What is jumped over never was,
  what comes twice fires twice.

The daemon knows five fields; with six the same rules hold, the seconds counting as a time field.
(cronsim's own zone arithmetic is left aside: it drops the first rule for six fields, and steps over
matches where the clocks move by half an hour.)
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from leasebeat.model.instant import Instant, from_datetime, to_datetime
from leasebeat.triggers.trigger import Trigger

_AT_ONCE = timedelta(0)
_MINUTE = timedelta(minutes=1)
_FIRST_YEAR = datetime(2024, 1, 1)  # noqa: DTZ001 - local times are naive on purpose
_EIGHT_YEARS_ON = datetime(2032, 1, 1)  # noqa: DTZ001
_END: Instant = from_datetime(datetime(9900, 1, 1, tzinfo=UTC))
"""Nothing fires from here on: the search would run into the end of the calendar."""


class CrontabTrigger(Trigger):
    """Fires where five fields, or six with the seconds first, match the local time of a zone.

    The fields are in cronsim's language; `language.parse` brings people's texts into it. Raises
    CronSimError for fields that it cannot read.
    """

    __slots__ = ("_cron", "_fixed", "_utc", "_zone")

    def __init__(self, fields: str, zone: ZoneInfo) -> None:
        self._cron = CronSim(fields, _FIRST_YEAR)
        self._fixed = not any(field.startswith("*") for field in self._cron.parts[:3])
        self._zone = zone
        self._utc = zone.key == "UTC"

    def next(self, after: Instant) -> Instant | None:
        """The first matching instant, a whole second, after `after`."""
        if after >= _END:
            return None
        if self._utc:
            found = next(self._matches(to_datetime(after).replace(tzinfo=None)), None)
            return None if found is None else from_datetime(found.replace(tzinfo=UTC))
        here = to_datetime(after).astimezone(self._zone)
        return self._next_fixed(here, after) if self._fixed else self._next_real(here, after)

    def ever_fires(self) -> bool:
        """Whether it fires within eight years.

        The years are always the same eight, 2024 to 2031: the verdict may not depend on the day on
        which a node reads the row.
        """
        found = next(self._matches(_FIRST_YEAR - _MINUTE), None)
        return found is not None and found < _EIGHT_YEARS_ON

    def _matches(self, local: datetime) -> Iterator[datetime]:
        """The matching naive local times after `local`. A copy does the walking: the trigger is shared."""
        walk = copy(self._cron)
        walk.dt = local.replace(microsecond=0)
        return walk

    def _next_fixed(self, here: datetime, after: Instant) -> Instant | None:
        for local in self._matches(here.replace(tzinfo=None)):
            instant = from_datetime(existing(local, self._zone))
            # In the hour that comes twice, matches of its first pass lie behind us.
            if instant > after:
                return instant
        return None

    def _next_real(self, here: datetime, after: Instant) -> Instant | None:
        local = here.replace(tzinfo=None, fold=0)
        found = self._first_real(local, after)
        if here.fold or _turned(local, self._zone) <= _AT_ONCE:
            return found
        # In the first pass of an hour that comes twice: the matches of its second pass begin again at
        # the start of that hour, and come before those of the hours that follow.
        while _turned(local, self._zone) > _AT_ONCE:
            local -= _MINUTE
        again = self._first_real(local, after)
        return min((instant for instant in (found, again) if instant is not None), default=None)

    def _first_real(self, local: datetime, after: Instant) -> Instant | None:
        """The first pass after `after` of the first match after `local` that has one."""
        for match in self._matches(local):
            if _turned(match, self._zone) < _AT_ONCE:
                continue  # the clocks jump over it
            for fold in (0, 1):
                instant = from_datetime(match.replace(tzinfo=self._zone, fold=fold))
                if instant > after:
                    return instant
        return None


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
