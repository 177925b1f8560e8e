"""When a schedule of the simulation is due, said twice: as a cron text, and as plain arithmetic.

The checkers never ask the shipped triggers: an instant is due when its second, modulo the period,
is one of the offsets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.model.schedule import RowDict


@dataclass(frozen=True, slots=True)
class Calendar:
    """Instants i with (i mod period) in offsets; all in microseconds of UTC."""

    period: Micros
    offsets: tuple[Micros, ...] = (0,)

    def has(self, instant: Instant) -> bool:
        """Whether the instant is one of them."""
        return instant % self.period in self.offsets

    def between(self, after: Instant, until: Instant) -> Iterator[Instant]:
        """The instants of (after, until], in order."""
        start = after - after % self.period
        while start <= until:
            for offset in self.offsets:
                if after < start + offset <= until:
                    yield start + offset
            start += self.period


def _seconds(period: float, *offsets: float) -> Calendar:
    return Calendar(int(period * SECOND), tuple(int(each * SECOND) for each in offsets) or (0,))


CALENDARS: dict[str, Calendar] = {
    "*/10 * * * * *": _seconds(10),
    "*/15 * * * * ?": _seconds(15),
    "0/20 * * * * *": _seconds(20),
    "*/30 * * * * *": _seconds(30),
    "5,6,50 * * * * *": _seconds(60, 5, 6, 50),
    "@every 7s": _seconds(7),
    "@every 12s500ms": _seconds(12.5),
    "@every 20s": _seconds(20),
    "@every 45s": _seconds(45),
    "@every 1m30s": _seconds(90),
    "* * * * *": _seconds(60),
    "@minutely": _seconds(60),
    "*/2 * * * *": _seconds(120),
}
"""Every usable cron text of the simulation."""

FAST: dict[str, Calendar] = {
    "* * * * * *": _seconds(1),
    "*/2 * * * * *": _seconds(2),
    "*/3 * * * * ?": _seconds(3),
    "0/4 * * * * *": _seconds(4),
    "@every 700ms": _seconds(0.7),
    "@every 1s500ms": _seconds(1.5),
    "@every 2s": _seconds(2),
    "@every 5s": _seconds(5),
}
"""The same for the rings that run in real time."""

_KNOWN = CALENDARS | FAST

BROKEN = ("61 * * * *", "* * *", "@every 0s", "@sometimes")
"""Texts that no node may accept."""

NEVER = "@manual"


def instants_of(row: RowDict, after: Instant, until: Instant) -> list[Instant]:
    """The due instants of a row of `schedules` in (after, until], were it in force all the time."""
    calendar = _KNOWN.get(str(row["cron"]))
    if calendar is None or not row["enabled"]:
        return []
    anchor = _anchor(row)
    found = (instant + anchor for instant in calendar.between(after - anchor, until - anchor))
    return [instant for instant in found if in_window(row, instant)]


def is_due(row: RowDict, instant: Instant) -> bool:
    """Whether the instant is one of the row's."""
    calendar = _KNOWN.get(str(row["cron"]))
    if calendar is None or not row["enabled"] or not in_window(row, instant):
        return False
    return calendar.has(instant - _anchor(row))


def _anchor(row: RowDict) -> Instant:
    """`@every` counts from `starts_at` where there is one."""
    starts_at = row["starts_at"]
    return starts_at if isinstance(starts_at, int) and str(row["cron"]).startswith("@every") else 0


def in_window(row: RowDict, instant: Instant) -> bool:
    """Whether it lies in [starts_at, ends_at)."""
    starts_at, ends_at = row["starts_at"], row["ends_at"]
    if isinstance(starts_at, int) and instant < starts_at:
        return False
    return not (isinstance(ends_at, int) and instant >= ends_at)
