"""What is to come: fires by queue and time, likely overlaps, what clock changes and calendars do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from statistics import median, quantiles
from zoneinfo import ZoneInfo

from leasebeat.explain.scene import local_day
from leasebeat.model.instant import DAY, SECOND, Instant, Micros, from_seconds, to_datetime
from leasebeat.model.schedule import Dst, Schedule
from leasebeat.triggers import TriggerKey, in_window, instants, trigger_for, trigger_key
from leasebeat.triggers.zones import zone

__all__ = [
    "CalendarEffect",
    "ClockEffect",
    "Load",
    "Overlap",
    "Peak",
    "Taken",
    "TooMany",
    "calendar_effects",
    "clock_effects",
    "fires_of",
    "loads",
    "overlaps",
    "peaks",
    "taken_of",
]

MOST = 1_000_000
"""So many fires are looked at."""

_FELT: Micros = 3 * 3600 * SECOND
"""No clocks are turned by more than this."""


class TooMany(Exception):
    """More fires than are looked at."""


Fires = Mapping[str, Sequence[Instant]]
"""The instants of each schedule, by name, oldest first."""


@dataclass(frozen=True, slots=True)
class Taken:
    """How long runs of a schedule usually take, in seconds; by `count` of its last successes."""

    median: float = 0.0
    p95: float = 0.0
    count: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """The runs of a queue that become due in a span of time."""

    at: Instant
    queue: str
    fires: int


@dataclass(frozen=True, slots=True)
class Peak:
    """When most runs of a queue are under way at once, if they take as long as usual and none waits."""

    queue: str
    at: Instant
    at_once: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """A schedule of which 1 run in 20 lasts until its next instant, or longer."""

    schedule: str
    overlap: str
    p95_s: float
    shortest_s: float  #: between two of its instants
    fires: int  #: that may find an earlier run in their way


@dataclass(frozen=True, slots=True)
class ClockEffect:
    """What a change of the clocks does to one instant.

    `what`: moved (to right after what is jumped over), left_out, twice (in both passes), or once (in the
    first of two).
    """

    schedule: str
    timezone: str
    at: Instant
    what: str


@dataclass(frozen=True, slots=True)
class CalendarEffect:
    """A date that differs for a schedule: `left_out` or `added`, and how many fires."""

    schedule: str
    calendar: str
    day: str
    what: str
    fires: int


# --- which instants -----------------------------------------------------------------------------


@dataclass(slots=True)
class _Walk:
    begin: Instant
    end: Instant
    left: int
    known: dict[TriggerKey, list[Instant]] = field(default_factory=dict[TriggerKey, list[Instant]])

    def of(self, schedule: Schedule) -> list[Instant]:
        """Schedules of one trigger share the walk."""
        key = trigger_key(schedule)
        if key not in self.known:
            self.known[key] = instants(trigger_for(schedule), self.begin - 1, self.end, MOST)
        found = [at for at in self.known[key] if in_window(schedule, at)]
        self.left -= len(found)
        if self.left < 0:
            raise TooMany
        return found


def fires_of(
    schedules: Iterable[Schedule], begin: Instant, end: Instant, most: int = MOST
) -> dict[str, list[Instant]]:
    """The instants of [begin, end] of each schedule that is enabled and has some. Raises TooMany.

    Followers have those that all of their upstreams have.
    """
    by_name = {schedule.name: schedule for schedule in schedules if schedule.enabled}
    walk, found = _Walk(begin, end, most), dict[str, list[Instant]]()

    def look(name: str, path: tuple[str, ...]) -> list[Instant]:
        schedule = by_name.get(name)
        if schedule is None or name in path:
            return []
        if name not in found:
            own = walk.of(schedule)
            shared = [set(look(up, (*path, name))) for up in schedule.after]
            followed = set[Instant].intersection(*shared) if shared else set[Instant]()
            found[name] = sorted({at for at in followed if in_window(schedule, at)}.union(own))
        return found[name]

    for name in by_name:
        look(name, ())
    return {name: at for name, at in sorted(found.items()) if at}


# --- load ---------------------------------------------------------------------------------------


def taken_of(seconds: Sequence[float]) -> Taken:
    """From how long the last successes took."""
    if len(seconds) < 2:
        one = seconds[0] if seconds else 0.0
        return Taken(one, one, len(seconds))
    return Taken(median(seconds), quantiles(seconds, n=20, method="inclusive")[18], len(seconds))


def loads(fires: Fires, schedules: Mapping[str, Schedule], begin: Instant, step: Micros) -> list[Load]:
    """Runs by time and queue, only where there are some. A fire of n shards is n runs."""
    counts: dict[tuple[Instant, str], int] = {}
    for name, found in fires.items():
        schedule = schedules[name]
        for at in found:
            key = begin + (at - begin) // step * step, schedule.queue
            counts[key] = counts.get(key, 0) + schedule.shards
    return [Load(at, queue, count) for (at, queue), count in sorted(counts.items())]


def peaks(fires: Fires, schedules: Mapping[str, Schedule], taken: Mapping[str, Taken]) -> list[Peak]:
    """Of each queue the first moment with the most runs at once."""
    changes: dict[str, list[tuple[Instant, int]]] = {}
    for name, found in fires.items():
        schedule, lasts = schedules[name], max(1, from_seconds(taken[name].median))
        for at in found:
            changes.setdefault(schedule.queue, []).append((at, schedule.shards))
            changes[schedule.queue].append((at + lasts, -schedule.shards))
    return [_peak(queue, sorted(both)) for queue, both in sorted(changes.items())]


def _peak(queue: str, changes: Sequence[tuple[Instant, int]]) -> Peak:
    running, best, when = 0, 0, 0
    for at, change in changes:
        running += change
        if running > best:
            best, when = running, at
    return Peak(queue, when, best)


def overlaps(fires: Fires, schedules: Mapping[str, Schedule], taken: Mapping[str, Taken]) -> list[Overlap]:
    """The schedules that usually meet themselves, the worst first."""
    found: list[Overlap] = []
    for name, at in fires.items():
        gaps = [after - before for before, after in pairwise(at)]
        met = sum(gap < from_seconds(taken[name].p95) for gap in gaps)
        if met:
            overlap = schedules[name].overlap
            found.append(Overlap(name, overlap, taken[name].p95, min(gaps) / SECOND, met))
    return sorted(found, key=lambda each: (-each.fires, each.schedule))


# --- clocks and calendars -----------------------------------------------------------------------


def clock_effects(schedules: Iterable[Schedule], begin: Instant, end: Instant) -> list[ClockEffect]:
    """What the clock changes of [begin, end] do to schedules that name times of day."""
    turned: dict[str, list[Instant]] = {}
    known: dict[TriggerKey, list[tuple[Instant, str]]] = {}
    found: list[ClockEffect] = []
    for schedule in schedules:
        name, key = schedule.timezone, trigger_key(schedule)
        if name not in turned:
            turned[name] = list(_changes(zone(name), begin, end))
        if key not in known:
            known[key] = [effect for change in turned[name] for effect in _effects(schedule, change)]
        found += [
            ClockEffect(schedule.name, name, at, what) for at, what in known[key] if in_window(schedule, at)
        ]
    return sorted(found, key=lambda each: (each.at, each.schedule))


def _changes(local: ZoneInfo, begin: Instant, end: Instant) -> Iterator[Instant]:
    """The moments at which the clocks of a zone are turned."""
    for start in range(begin, end, DAY):
        low, high = start, min(start + DAY, end)
        if _offset(local, low) == _offset(local, high):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset(local, middle) == _offset(local, low) else (low, middle)
        yield high


def _offset(local: ZoneInfo, instant: Instant) -> timedelta | None:
    return to_datetime(instant).astimezone(local).utcoffset()


def _effects(schedule: Schedule, change: Instant) -> Iterator[tuple[Instant, str]]:
    """The choices of `dst` differ by exactly what a change does: from then on, for some hours."""
    near: dict[Dst, set[Instant]] = {}
    for dst in ("cron", "skip", "both"):
        trigger = trigger_for(replace(schedule, dst=dst))
        near[dst] = set(instants(trigger, change - 1, change + _FELT, MOST))
    own = near[schedule.dst]
    sorts = {
        "moved": own & (near["cron"] - near["skip"]),
        "left_out": near["cron"] - own,
        "twice": own - near["cron"],
        "once": (near["both"] - near["cron"]) - own,
    }
    for what, found in sorts.items():
        yield from ((at, what) for at in sorted(found))


def calendar_effects(schedules: Iterable[Schedule], begin: Instant, end: Instant) -> list[CalendarEffect]:
    """What calendars leave out of [begin, end], and add to it."""
    found: list[CalendarEffect] = []
    for schedule in schedules:
        if schedule.calendar_days:
            bare = replace(schedule, calendar_days=None)
            both = [set(instants(trigger_for(each), begin - 1, end, MOST)) for each in (schedule, bare)]
            found += _days(schedule, "left_out", both[1] - both[0])
            found += _days(schedule, "added", both[0] - both[1])
    return sorted(found, key=lambda each: (each.day, each.schedule))


def _days(schedule: Schedule, what: str, found: Iterable[Instant]) -> Iterator[CalendarEffect]:
    counts: dict[str, int] = {}
    for at in found:
        if in_window(schedule, at):
            day = local_day(at, schedule.timezone).isoformat()
            counts[day] = counts.get(day, 0) + 1
    for day, count in counts.items():
        yield CalendarEffect(schedule.name, schedule.calendar or "", day, what, count)
