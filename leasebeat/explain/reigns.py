"""Which version of a schedule was in force at an instant, and what its cron says of it. Pure."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from leasebeat.errors import DefinitionError
from leasebeat.model.instant import DAY, Instant
from leasebeat.model.schedule import Schedule, schedule_from_row
from leasebeat.triggers import Trigger, trigger_for

__all__ = ["History", "Record", "Reign", "history_of", "previous"]

Record = Mapping[str, Any]
"""A row as the desk gives it: instants as integers, JSON as text."""

_FARTHEST = 9 * 366 * DAY
"""How far back a previous instant is looked for: what never fires within eight years is refused."""


@dataclass(frozen=True, slots=True)
class Reign:
    """A version of a schedule, in force for the instants of (since, until]; `until` None: still.

    `schedule` is what ran meanwhile: its own words, or those of its last good version; None: nothing.
    """

    id: int
    since: Instant
    until: Instant | None
    enabled: bool
    deleted: bool
    problem: str | None
    diff: Mapping[str, Sequence[object]] | None
    schedule: Schedule | None
    runs_as: int

    @property
    def trigger(self) -> Trigger | None:
        """Its instants; None where it has none that could be known."""
        return trigger_for(self.schedule) if self.schedule else None

    @property
    def bare(self) -> Trigger | None:
        """Its instants without what its calendar leaves out or adds."""
        return trigger_for(replace(self.schedule, calendar_days=None)) if self.schedule else None

    @property
    def generous(self) -> Trigger | None:
        """Its instants with everything that a change of the clocks could leave."""
        return trigger_for(replace(self.schedule, dst="both")) if self.schedule else None

    @property
    def change(self) -> str:
        """What it changed, in words; empty where nobody knows."""
        pairs = (self.diff or {}).items()
        return ", ".join(f"{name}: {_said(before)} -> {_said(after)}" for name, (before, after) in pairs)


def _said(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True, slots=True)
class History:
    """The versions of one schedule, oldest first. None: no node has read its row yet."""

    reigns: tuple[Reign, ...]

    def at(self, instant: Instant) -> Reign | None:
        """The version in force at an instant; None: there was none yet."""
        index = bisect_left([reign.since for reign in self.reigns], instant) - 1
        return self.reigns[index] if index >= 0 else None

    def alike_since(self, reign: Reign) -> Reign:
        """The first of the versions in a row that were paused (or gone) as this one was."""
        index = self.reigns.index(reign)
        while index > 0 and _state(self.reigns[index - 1]) == _state(reign):
            index -= 1
        return self.reigns[index]

    def after(self, reign: Reign) -> Iterator[Reign]:
        """Those that came after it."""
        return iter(self.reigns[self.reigns.index(reign) + 1 :])

    @property
    def newest(self) -> Reign | None:
        """The version in force now."""
        return self.reigns[-1] if self.reigns else None


def _state(reign: Reign) -> tuple[bool, bool]:
    return reign.enabled, reign.deleted


def history_of(rows: Sequence[Record]) -> History:
    """From rows of `schedule_history` of one schedule, in any order."""
    rows = sorted(rows, key=lambda row: (row["valid_from"], row["id"]))
    definitions = {row["id"]: row["definition"] for row in rows}
    ends: list[Instant | None] = [*(row["valid_from"] for row in rows), None][1:]
    reigns = [_reign(row, end, definitions) for row, end in zip(rows, ends, strict=True)]
    # Of versions valid from the same moment only the last was ever in force.
    return History(tuple(reign for reign in reigns if reign.until != reign.since))


def _reign(row: Record, end: Instant | None, definitions: Mapping[int, str]) -> Reign:
    runs_as = row["id"] if row["good_id"] is None else row["good_id"]
    return Reign(
        id=row["id"],
        since=row["valid_from"],
        until=end,
        enabled=bool(row["enabled"]),
        deleted=bool(row["deleted"]),
        problem=row["problem"],
        diff=json.loads(row["diff"]) if row["diff"] else None,
        schedule=_schedule(row, definitions.get(runs_as)),
        runs_as=runs_as,
    )


def _schedule(row: Record, definition: str | None) -> Schedule | None:
    """The end that the row names holds whatever else it says."""
    if definition is None:
        return None
    try:
        schedule = schedule_from_row(json.loads(definition))
        trigger_for(schedule)
    except DefinitionError:
        return None  # recorded by a node of another build
    return schedule if row["ends_at"] is None else replace(schedule, ends_at=row["ends_at"])


def previous(trigger: Trigger, instant: Instant) -> Instant | None:
    """The last instant of a trigger before that one; None: none within nine years.

    Triggers only look forward: the latest moment is searched whose next instant still lies before.
    """
    low, high = max(0, instant - _FARTHEST), instant
    first = trigger.next(low)
    if first is None or first >= instant:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        found = trigger.next(middle)
        low, high = (middle, high) if found is not None and found < instant else (low, middle)
    return trigger.next(low)
