"""Deleting what is old enough, by the auditor alone, in small batches in key order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from leasebeat.logs import event
from leasebeat.model.instant import DAY, Instant
from leasebeat.node.loop import Turn
from leasebeat.node.standing import Standing
from leasebeat.runtime import Runtime
from leasebeat.store.base import BATCH, Store

_EVERY_S = 60.0
_BATCHES_A_TURN = 20


@dataclass(frozen=True, slots=True)
class Ages:
    """How long rows are kept, in days, and how many runs at most."""

    succeeded: float = 14.0  #: succeeded and skipped
    failed: float = 90.0  #: failed, timed_out, killed, lost, missed
    output_succeeded: float = 3.0
    output_failed: float = 30.0
    most_runs: int = 20_000_000


class Retention:
    """Each turn deletes a bounded number of rows; a turn that found many asks for the next soon."""

    name = "retention"

    def __init__(
        self, runtime: Runtime, store: Store, standing: Standing, leads: Callable[[], bool], ages: Ages
    ) -> None:
        self.waiter = runtime.waiter()
        self._store = store
        self._standing = standing
        self._leads = leads
        self._ages = ages

    def run_once(self) -> Turn:
        """Delete what is over its age."""
        if not self._leads() or not self._standing.clock.known:
            return Turn(_EVERY_S)
        now = self._standing.clock.now()
        removed = self._remove_runs(now) + self._remove_rest(now) + self._remove_surplus()
        if removed:
            event("INFO", "retention", "old rows removed", rows=removed)
        return Turn(1.0 if removed >= BATCH else _EVERY_S, removed)

    def _remove_runs(self, now: Instant) -> int:
        removed = 0
        for status in ("succeeded", "skipped"):
            removed += self._store.remove_runs(status, _before(now, self._ages.succeeded), BATCH)
        for status in ("failed", "timed_out", "killed", "lost", "missed"):
            removed += self._store.remove_runs(status, _before(now, self._ages.failed), BATCH)
        return removed

    def _remove_rest(self, now: Instant) -> int:
        oldest = max(self._ages.succeeded, self._ages.failed)
        return (
            self._store.remove_outputs(_before(now, self._ages.output_succeeded), True, BATCH)
            + self._store.remove_outputs(_before(now, self._ages.output_failed), False, BATCH)
            + self._store.remove_attempts(_before(now, oldest), BATCH)
            + self._store.remove_nodes(_before(now, 1.0), BATCH)
        )

    def _remove_surplus(self) -> int:
        surplus = self._store.count_runs() - self._ages.most_runs
        removed = 0
        for _ in range(min(_BATCHES_A_TURN, max(0, surplus) // BATCH)):
            removed += self._store.remove_oldest_successes(BATCH)
        return removed


def _before(now: Instant, days: float) -> Instant:
    return now - round(days * DAY)
