"""Which definition was in force when, by the edits as they were committed.

The definition in force at instant T is the one whose commit came last before T, on the store's
clock. Where that clock jumps, or an edit hides its time (`updated_at` kept, or a transaction left
open), several versions may rule an instant: then any of them may be right, since the watermark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.testing.simstore.base import RowChange
from leasebeat.testing.simulation.calendars import BROKEN, is_due

SLACK: Micros = 5 * SECOND

Seen = Set[tuple[object, object, object]]
"""(schedule_id, version, updated_at) of every recorded version."""

Clock = Sequence[tuple[Instant, Micros]]
_FOREVER: Instant = 1 << 60


@dataclass(frozen=True, slots=True)
class Era:
    """A committed state of a schedule's row, and the spans (after, until] of store time that it may rule."""

    row: dict[str, object] | None
    spans: tuple[tuple[Instant, Instant], ...]

    def may_rule(self, instant: Instant) -> bool:
        """Whether it may have been in force at that instant."""
        return any(begin < instant <= end for begin, end in self.spans)

    def has(self, instant: Instant) -> bool:
        """Whether it makes that instant due."""
        return self.row is not None and is_due(self.row, instant)


def eras_of(edits: Iterable[RowChange], clock: Clock, seen: Seen) -> dict[int, list[Era]]:
    """The eras of each schedule, in order. A broken row leaves the former definition in force.

    A state that no node has ever read (edited again at once) may have been in force, or the one before it.
    """
    by_schedule: dict[int, list[RowChange]] = {}
    for edit in edits:
        by_schedule.setdefault(edit.schedule_id, []).append(edit)
    return {schedule_id: _eras(found, clock, seen) for schedule_id, found in by_schedule.items()}


def _eras(edits: Sequence[RowChange], clock: Clock, seen: Seen) -> list[Era]:
    # Before the first edit there was no row; when the clock is set back, that may be said of an instant, too.
    eras = [Era(None, tuple(_store_spans(0, edits[0].at, clock)))]
    former: set[tuple[object, object, object]] = set()
    known = 0  # the last era that some node has read
    good: dict[str, object] | None = None
    for index, edit in enumerate(edits):
        until = edits[index + 1].at if index + 1 < len(edits) else _FOREVER
        spans = list(_store_spans(edit.at, until, clock))
        if (begin := _believed(edit)) < edit.now:
            spans.append((begin, edit.now))
        seen_it = edit.row is None or _identity(edit) in seen
        row = edit.row
        if row is not None and row["cron"] in BROKEN:
            row = None if good is None else {**good, "enabled": row["enabled"], "ends_at": row["ends_at"]}
        elif seen_it:
            good = row
        eras.append(Era(row, tuple(spans)))
        # What was edited back to may be on record and not be recorded again: the state before it rules on.
        if known > 0 and (not seen_it or (edit.row is not None and _identity(edit) in former)):
            eras[known] = Era(eras[known].row, (*eras[known].spans, *spans))
        if seen_it:
            known = index + 1
        if edit.row is not None:
            former.add(_identity(edit))
    return eras


def _identity(edit: RowChange) -> tuple[object, object, object]:
    assert edit.row is not None
    return edit.schedule_id, edit.row["version"], edit.row["updated_at"]


def _believed(edit: RowChange) -> Instant:
    """Since when an edit may be believed to be in force: no edit is older than the watermark at its commit.

    (Or a little more, where a node did not hear of the watermark in time.)
    """
    updated_at = edit.row["updated_at"] if edit.row is not None else edit.now
    assert isinstance(updated_at, int)
    return max(updated_at, 0 if edit.watermark is None else edit.watermark - SLACK)


def _store_spans(begin: Instant, end: Instant, clock: Clock) -> Iterable[tuple[Instant, Instant]]:
    """What the store's clock showed from one true time to another. A jump ahead leaves nothing out."""
    for index, (since, offset) in enumerate(clock):
        until = clock[index + 1][0] if index + 1 < len(clock) else _FOREVER
        first, last = max(begin, since), min(end, until)
        if first < last:
            ahead = clock[index + 1][1] - offset if index + 1 < len(clock) and last == until else 0
            yield first + offset, last + offset + max(0, ahead)
