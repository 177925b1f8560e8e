"""Telling people of queues that grow: runs that are ready, and that nobody has a free slot for."""

from __future__ import annotations

from collections.abc import Callable

from leasebeat.logs import event
from leasebeat.model.instant import SECOND, Instant
from leasebeat.node.loop import Turn
from leasebeat.node.standing import Standing
from leasebeat.runtime import Runtime
from leasebeat.store.base import QueueWait, Store

_EVERY_S = 60.0


class Backlog:
    """The auditor's, so that it is told once. `told` is called for each queue that has waited too long."""

    name = "backlog"

    def __init__(  # the ports it stands between
        self,
        runtime: Runtime,
        store: Store,
        standing: Standing,
        leads: Callable[[], bool],
        longest_s: float,
        told: Callable[[str, str], None],
    ) -> None:
        self.waiter = runtime.waiter()
        self._store = store
        self._standing = standing
        self._leads = leads
        self._longest_s = longest_s
        self._told = told

    def run_once(self) -> Turn:
        """Look at the oldest ready run of each queue."""
        if self._longest_s and self._leads() and self._standing.clock.known:
            now = self._standing.clock.now()
            for wait in self._store.queue_waits():
                self._look_at(wait, now)
        return Turn(_EVERY_S)

    def _look_at(self, wait: QueueWait, now: Instant) -> None:
        seconds = (now - wait.oldest) / SECOND
        if seconds <= self._longest_s or wait.paused:
            return
        text = f"{wait.runs} runs wait in queue {wait.queue}, the oldest for {seconds:.0f} s"
        event("WARNING", "queue_waits", text, queue=wait.queue, runs=wait.runs)
        self._told(wait.queue, text)
