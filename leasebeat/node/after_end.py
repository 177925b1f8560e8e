"""`@after_end`: the next instant of a schedule is the end of its last run plus a delay.

The auditor opens it, for such an instant is in no calendar and the watermark cannot tell that it is
missing: where no run is open, the next one is. The same end gives the same instant, so that two
auditors that overlap for a moment mean the same row.
"""

from __future__ import annotations

from collections.abc import Sequence

from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.node.catalog import Catalog, Changes, Entry
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
        self._delays: dict[int, Micros] | None = None  #: by schedule; None: to be read anew
        catalog.listen(self._heard)

    def _heard(self, changes: Changes) -> None:
        del changes
        self._delays = None

    def open_due(self, node_id: str, now: Instant) -> tuple[int, float]:
        """Open what is due: how many rows, and the seconds until the next one is."""
        if self._delays is None:
            self._delays = self._read()
        if not self._delays:
            return 0, IDLE_S
        pause, rows = IDLE_S, list[OpenRow]()
        for last in self._store.last_ends(sorted(self._delays)):
            entry = self._catalog.get(last.schedule_id)
            if last.open or entry is None or entry.schedule is None or not entry.fires:
                continue
            instant = self._instant(entry, last)
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

    def _instant(self, entry: Entry, last: LastEnd) -> Instant:
        """Nothing is owed from before the version: a schedule that was paused goes on when it is resumed."""
        assert self._delays is not None
        assert entry.schedule is not None
        ended = 0 if last.finished_at is None else last.finished_at + self._delays[last.schedule_id]
        return max(ended, entry.version.valid_from, entry.schedule.starts_at or 0)

    def _read(self) -> dict[int, Micros]:
        delays: dict[int, Micros] = {}
        for entry in self._catalog.entries():
            if entry.fires and entry.schedule is not None:
                delay = after_end_delay(entry.schedule)
                if delay is not None:
                    delays[entry.version.schedule_id] = delay
        return delays
