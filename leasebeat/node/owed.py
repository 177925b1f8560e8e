"""Which instants were due, and what becomes of one that has no row. Pure.

The calendar of the past, the definition of the present: whether an instant was due is decided by
the version that was in force at it; whether it may still run, by the newest version.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from leasebeat.model.instant import SECOND, Instant, to_text
from leasebeat.model.run import ReasonCode, RunKey
from leasebeat.node.catalog import Entry, entry_of
from leasebeat.node.opening import open_rows, what_changed
from leasebeat.node.places import places
from leasebeat.node.ranking import Ranking
from leasebeat.store.base import OpenRow, Version
from leasebeat.triggers import Trigger, TriggerKey, in_window, instants, jitter_of, trigger_key

SPAN = 1000
"""Missed instants in a row of one schedule that get rows of their own; older ones share one."""

_BREATH = 2048
"""Instants walked between two calls of `breathe`: some ten milliseconds."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A due instant; with `until`, all `count` instants of the schedule from it to there."""

    key: RunKey
    until: Instant | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Window:
    """What the auditor looks at: (after, cut]. `catch_up`: it was so long that misfire policies apply."""

    after: Instant
    cut: Instant
    now: Instant
    catch_up: bool


class Walker:
    """The instants of (after, until], each trigger walked once however many schedules share it.

    `breathe` is called every few milliseconds of a long walk.
    """

    def __init__(self, after: Instant, until: Instant, breathe: Callable[[], None] = lambda: None) -> None:
        self.after = after
        self.until = until
        self._breathe = breathe
        self._walked: dict[TriggerKey, list[Instant]] = {}

    def owed_by(self, entry: Entry, after: Instant, until: Instant) -> list[Instant]:
        """The instants of (after, until], a part of the walk, at which this version, if in force, was due."""
        if not entry.fires or entry.schedule is None or entry.trigger is None:
            return []
        key = trigger_key(entry.schedule)
        if key not in self._walked:
            self._walked[key] = self._walk(entry.trigger)
        found = self._walked[key]
        part = found[bisect_right(found, after) : bisect_right(found, until)]
        return [instant for instant in part if in_window(entry.schedule, instant)]

    def _walk(self, trigger: Trigger) -> list[Instant]:
        found: list[Instant] = []
        after = self.after
        while part := instants(trigger, after, self.until, _BREATH):
            found += part
            after = part[-1]
            self._breathe()
        return found


def owed_by_history(versions: Sequence[Version], walker: Walker) -> Iterator[tuple[int, Instant]]:
    """(schedule_id, instant) due in the walk, by versions sorted by (schedule_id, valid_from, id).

    A version is in force for valid_from < f <= the next one's valid_from.
    """
    for index, version in enumerate(versions):
        following = versions[index + 1] if index + 1 < len(versions) else None
        same = following is not None and following.schedule_id == version.schedule_id
        end = min(walker.until, following.valid_from) if same and following else walker.until
        begin = max(walker.after, version.valid_from)
        if begin < end:
            for instant in walker.owed_by(entry_of(version, version.valid_from), begin, end):
                yield version.schedule_id, instant


def spans(schedule_id: int, found: Sequence[Instant]) -> list[Owed]:
    """The instants of one schedule as they are recorded: the newest SPAN singly, the older ones as one."""
    older = len(found) - SPAN
    singly = [Owed(RunKey(instant, schedule_id)) for instant in found[max(0, older) :]]
    if older <= 0:
        return singly
    return [Owed(RunKey(found[0], schedule_id), found[older - 1], older), *singly]


def audit_rows(owed: Owed, newest: Entry | None, window: Window, ranking: Ranking) -> list[OpenRow]:
    """What becomes of a due instant without a row: a row for each shard, ready as its jitter wants.

    In a catch-up with `misfire = all` the instants run one after the other, whatever the overlap.
    """
    status, code, reason = _verdict(owed, newest, window)
    schedule = newest.schedule if newest else None
    fire_at = owed.key.fire_at
    one_by_one = window.catch_up and schedule and schedule.misfire == "all" and schedule.overlap != "allow"
    return open_rows(
        newest,
        fire_at,
        status,
        code,
        reason,
        schedule_id=owed.key.schedule_id,
        delay=max(0, fire_at + jitter_of(schedule) - window.now) if schedule else 0,
        overlap="queue" if one_by_one else None,
        found=places(schedule, fire_at, ranking) if schedule else (),
        until=owed.until,
        missed_count=owed.count if owed.until is not None else None,
    )


def _verdict(owed: Owed, newest: Entry | None, window: Window) -> tuple[str, str | None, str | None]:
    if change := _change(owed.key.fire_at, newest):
        return "skipped", ReasonCode.DEFINITION_CHANGED, f"definition changed: {change}"
    assert newest is not None
    assert newest.schedule is not None
    schedule = newest.schedule
    late = (window.now - owed.key.fire_at) / SECOND
    if owed.until is not None:
        return _missed(f"{owed.count} instants until {to_text(owed.until)} were missed")
    if late > schedule.misfire_grace_s:
        return _missed(f"found {late:.0f} s late, misfire_grace_s is {schedule.misfire_grace_s:g}")
    if window.catch_up and schedule.misfire == "skip":
        return _missed(f"found {late:.0f} s late, and misfire is skip")
    if window.catch_up and schedule.misfire == "once" and not _latest(owed.key.fire_at, newest, window):
        return _missed(f"found {late:.0f} s late; misfire is once, and a later instant was missed, too")
    return "queued", None, None


def _missed(reason: str) -> tuple[str, str, str]:
    return "missed", ReasonCode.MISFIRE, reason


def _change(instant: Instant, newest: Entry | None) -> str | None:
    """How the newest version differs so that the instant may not run any more."""
    if change := what_changed(newest):
        return change
    if newest is None or not newest.has(instant):
        return "the newest version does not have this instant"
    return None


def _latest(instant: Instant, newest: Entry, window: Window) -> bool:
    """Whether the schedule has no later instant up to the cut: no memory between batches is needed."""
    assert newest.trigger is not None
    assert newest.schedule is not None
    following = newest.trigger.next(instant)
    return following is None or following > window.cut or not in_window(newest.schedule, following)
