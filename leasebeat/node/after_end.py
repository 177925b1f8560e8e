"""`@after_end`: the next instant of a schedule is the end of its last run plus a delay.

The auditor opens it, for such an instant is in no calendar and the watermark cannot tell that it is
missing: where no run is open, the next one is. The same end gives the same instant, so that two
auditors that overlap for a moment mean the same row.
"""

from __future__ import annotations

from collections.abc import Sequence

from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.model.schedule import Schedule
from leasebeat.node.catalog import Catalog, Changes
from leasebeat.node.loop import IDLE_S
from leasebeat.node.opening import one_of_each_serial, open_rows
from leasebeat.node.places import places
from leasebeat.node.standing import Standing
from leasebeat.store.base import LastEnd, OpenRow, Store
from leasebeat.triggers import after_end_delay, in_window, jitter_of


class AfterEnd:
    """The auditor's part of it."""

    def __init__(self, store: Store, standing: Standing, catalog: Catalog) -> None:
        self._store = store
        self._standing = standing
        self._catalog = catalog
        self._ids: list[int] = []
        self._changed = True  #: set by any thread that refreshes the catalog
        catalog.listen(self._heard)

    def _heard(self, changes: Changes) -> None:
        del changes
        self._changed = True

    def open_due(self, node_id: str, now: Instant) -> tuple[int, float]:
        """Open what is due: how many rows, and the seconds until the next one is."""
        if self._changed:
            self._changed = False  # first: another thread may say so again while this one reads
            self._ids = self._read()
        if not self._ids:
            return 0, IDLE_S
        pause, rows = IDLE_S, list[OpenRow]()
        for last in self._store.last_ends(self._ids):
            entry = self._catalog.get(last.schedule_id)
            if last.open or entry is None or entry.schedule is None or not entry.fires:
                continue
            delay = after_end_delay(entry.schedule)
            if delay is None:
                continue  # edited since the ids were read
            instant = _instant(entry.version.valid_from, entry.schedule, last, delay)
            if instant > now:
                pause = min(pause, (instant - now) / SECOND)
            elif in_window(entry.schedule, instant):
                found = places(entry.schedule, instant, self._standing.ranking)
                rows += open_rows(entry, instant, "queued", delay=jitter_of(entry.schedule), found=found)
        return self._open(node_id, rows), pause

    def _open(self, node_id: str, rows: Sequence[OpenRow]) -> int:
        for batch in one_of_each_serial(rows):
            self._store.open_followers(node_id, batch)
        return len(rows)

    def _read(self) -> list[int]:
        return sorted(
            entry.version.schedule_id
            for entry in self._catalog.entries()
            if entry.fires and entry.schedule is not None and after_end_delay(entry.schedule) is not None
        )


def _instant(valid_from: Instant, schedule: Schedule, last: LastEnd, delay: Micros) -> Instant:
    """Nothing is owed from before the version: a schedule that was paused goes on when it is resumed."""
    ended = 0 if last.finished_at is None else last.finished_at + delay
    return max(ended, valid_from, schedule.starts_at or 0)
