"""What is due: a heap of instants by the store's clock, and of openings to be tried (again)."""

from __future__ import annotations

import heapq
from collections import deque

from leasebeat.errors import StoreError
from leasebeat.logs import event
from leasebeat.model.instant import SECOND, Instant
from leasebeat.node.catalog import Catalog, Changes
from leasebeat.node.claim import Claimer, Opening
from leasebeat.node.loop import IDLE_S, Turn
from leasebeat.node.places import bucket
from leasebeat.node.ranking import RANK_DELAY
from leasebeat.node.standing import Standing
from leasebeat.runtime import Runtime
from leasebeat.store.base import CLAIM_REACH
from leasebeat.triggers import Due as DueFires
from leasebeat.triggers import TriggerGroups, in_window, trigger_key

_INSTANTS_A_TURN = 64


class Due:
    """Opens each fire at its instant, or a little later where this node is not the first choice."""

    name = "due"

    def __init__(self, runtime: Runtime, standing: Standing, catalog: Catalog, claimer: Claimer) -> None:
        self.waiter = runtime.waiter()
        self._standing = standing
        self._catalog = catalog
        self._claimer = claimer
        self._groups = TriggerGroups()
        self._changes: deque[Changes] = deque()
        self._openings: list[tuple[Instant, int, Opening]] = []
        self._numbers = 0
        self._since: Instant | None = None  #: fires up to here belong to the audit
        catalog.listen(self._heard)

    def run_once(self) -> Turn:
        """Open what is due now; wait for the next instant."""
        clock = self._standing.clock
        if not clock.known:
            return Turn()
        if self._since is None:
            self._since = clock.now()
        self._take_in_changes()
        if not (self._standing.takes_work and self._standing.dispatches):
            return Turn()
        now = clock.now()
        found = self._groups.due(now, now - CLAIM_REACH, _INSTANTS_A_TURN)
        for due in found:
            self._rank(due)
        opened = self._open_ready(now)
        return Turn(self._pause(), opened)

    def _heard(self, changes: Changes) -> None:
        self._changes.append(changes)
        self.waiter.wake()

    def _take_in_changes(self) -> None:
        while self._changes:
            for entry in self._changes.popleft():
                schedule_id = entry.version.schedule_id
                if entry.fires and entry.schedule and entry.trigger:
                    # What lies between the edit and now was nobody's yet: the version says from when.
                    after = max(self._since or 0, entry.version.valid_from)
                    self._groups.put(schedule_id, trigger_key(entry.schedule), entry.trigger, after)
                else:
                    self._groups.remove(schedule_id)

    def _rank(self, due: DueFires) -> None:
        """Sort the schedules of one instant by this node's rank for them."""
        self._since = max(self._since or 0, due.instant)
        ranked: dict[int, list[int]] = {}
        for schedule_id in due.schedule_ids:
            rank = self._rank_of(schedule_id, due.instant)
            if rank is not None:
                ranked.setdefault(rank, []).append(schedule_id)
        for rank, ids in ranked.items():
            self._push(due.instant + rank * RANK_DELAY, Opening(due.instant, tuple(ids)))

    def _rank_of(self, schedule_id: int, instant: Instant) -> int | None:
        entry = self._catalog.get(schedule_id)
        if entry is None or entry.schedule is None or not in_window(entry.schedule, instant):
            return None
        schedule = entry.schedule
        return self._standing.ranking.of(
            self._standing.node_id or "", schedule.queue, bucket(schedule, instant), schedule.node_name
        )

    def _push(self, at: Instant, opening: Opening) -> None:
        self._numbers += 1
        heapq.heappush(self._openings, (at, self._numbers, opening))

    def _open_ready(self, now: Instant) -> int:
        opened = 0
        while self._openings and self._openings[0][0] <= now:
            opening = heapq.heappop(self._openings)[2]
            opened += len(opening.schedule_ids)
            try:
                for wait, again in self._claimer.open(opening):
                    self._push(self._standing.clock.now() + wait, again)
            except StoreError as problem:
                # Nothing is known of these fires. Rows that exist are found by the look at the own
                # rows, those that do not by the audit.
                event("WARNING", "claim_failed", "fires not opened; left to the audit", error=problem)
        return opened

    def _pause(self) -> float:
        upcoming = [at for at in (self._groups.next_instant(), self._next_opening()) if at is not None]
        if not upcoming:
            return IDLE_S
        return max(0.0, min(IDLE_S, (min(upcoming) - self._standing.clock.now()) / SECOND))

    def _next_opening(self) -> Instant | None:
        return self._openings[0][0] if self._openings else None
