"""Taking queued runs (overflow, retries, take-overs, run-now) into free slots."""

from __future__ import annotations

from collections.abc import Sequence

from leasebeat.errors import Busy
from leasebeat.model.instant import Micros, from_seconds
from leasebeat.node.dispatch import Dispatch, Grant
from leasebeat.node.loop import WOKEN_S, Turn
from leasebeat.node.standing import Standing
from leasebeat.runtime import Runtime
from leasebeat.store.base import BATCH, OwnRun, Store

SETTLE: Micros = from_seconds(6)
"""Twice the longest time-out of a statement: what is older than this is no longer under way."""

_SURPLUS = 4
"""Candidates looked at for each free slot: the surplus is for those that other nodes take first."""


class Pull:
    """Asks the store only when there is a hint that something is queued, and a slot to run it in."""

    name = "pull"

    def __init__(self, runtime: Runtime, store: Store, standing: Standing, dispatch: Dispatch) -> None:
        self.waiter = runtime.waiter()
        self._store = store
        self._standing = standing
        self._dispatch = dispatch
        self._hinted = False

    def hint(self) -> None:
        """Something may be queued. From any thread."""
        self._hinted = True
        self.waiter.wake()

    def slot_freed(self) -> None:
        """A slot became free. From any thread."""
        if self._hinted:
            self.waiter.wake()

    def run_once(self) -> Turn:
        """Pull from each queue until the slots are full or nothing is left."""
        node_id = self._standing.node_id
        if not self._hinted:
            return Turn(WOKEN_S)
        if not self._standing.takes_work or node_id is None:
            return Turn()
        if self._dispatch.busy >= self._standing.facts.slots:
            return Turn()  # the hint stays; a slot that becomes free wakes this service
        self._hinted = False
        took = sum(self._pull(node_id, queue) for queue in self._standing.facts.queues)
        return Turn(0.0 if self._hinted else WOKEN_S, took)

    def _pull(self, node_id: str, queue: str) -> int:
        """Who else may be pulling the same rows: every node. SKIP LOCKED and the attempt decide."""
        reserved = self._dispatch.reserve(queue, BATCH)
        unused = reserved
        try:
            if not reserved:
                return 0
            limit = min(BATCH, _SURPLUS * reserved)
            candidates = self._store.pull_look(node_id, queue, limit)
            if not candidates:
                return 0
            if not self._store.pull(node_id, candidates, reserved):
                return 0  # others were first, or hold them now; the next poll hints again if any are left
            self._hinted = True
            sought = {(c.key, c.attempt + 1) for c in candidates}
            asked = self._dispatch.asking()
            ours = [run for run in self._store.mine(node_id, SETTLE) if (run.key, run.attempt) in sought]
            unused -= min(unused, len(ours))
            return self._dispatch.take(grants_of(node_id, queue, ours[:reserved]), asked)
        except Busy:
            self._hinted = True
            raise
        finally:
            self._dispatch.release(queue, unused)


def grants_of(node_id: str, queue: str, runs: Sequence[OwnRun]) -> list[Grant]:
    """Own rows as grants."""
    return [
        Grant(
            node_id=node_id,
            key=run.key,
            attempt=run.attempt,
            fence=run.claimed_at,
            version=run.version,
            queue=queue,
            args=run.args,
            failures=run.failures,
            take_overs=run.take_overs,
            former_reason=run.reason_code,
        )
        for run in runs
    ]
