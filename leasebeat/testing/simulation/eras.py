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

Identity = tuple[object, object, object]
"""(schedule_id, version, updated_at): all by which a node can tell two states of a row apart."""

Seen = Set[Identity]
"""Those that some node has recorded."""

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
    good: list[dict[str, object]] = []  #: what may be the newest usable state on record
    stand_ins: list[Era] = []
    first: dict[Identity, int] = {}  #: the first era of each state
    known = 0  # the last era that some node has read
    for index, edit in enumerate(edits, start=1):
        until = edits[index].at if index < len(edits) else _FOREVER
        spans = list(_store_spans(edit.at, until, clock))
        if (begin := _believed(edit)) < edit.now:
            spans.append((begin, edit.now))
        is_seen = edit.row is None or _identity(edit) in seen
        row = edit.row
        again = edit.row is not None and _identity(edit) in first
        if row is not None and row["cron"] in BROKEN:
            kept = {"enabled": row["enabled"], "ends_at": row["ends_at"]}
            stand_ins += [Era({**each, **kept}, tuple(spans)) for each in good[:-1]]
            row = {**good[-1], **kept} if good else None
        elif is_seen and row is not None:
            good = [*good, row] if again else [row]
        eras.append(Era(row, tuple(spans)))
        if not is_seen:
            _extend(eras, known, index)
        elif edit.row is not None and (former := first.setdefault(_identity(edit), index)) < index:
            # Edited back, and no trace of it: who has not read what was in between goes on as before,
            # and what was in between may be the last on record.
            for era in range(former, index):
                _extend(eras, era, index)
        known = index if is_seen else known
    return eras + stand_ins


def _extend(eras: list[Era], which: int, until: int) -> None:
    """The era may rule on, up to the end of another."""
    spans = [span for era in eras[which + 1 : until + 1] for span in era.spans]
    eras[which] = Era(eras[which].row, (*eras[which].spans, *spans))


def _identity(edit: RowChange) -> Identity:
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
