"""Recording how attempts ended, in batches that form by themselves.

executor -> outbox, fresh -> the journal's writer -> outbox, written -> finish -> the store
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from leasebeat import faults
from leasebeat.errors import Busy, Duplicate, StoreError, Unavailable, Unknown
from leasebeat.journal.base import Ended as Outcome
from leasebeat.journal.base import Journal
from leasebeat.logs import event
from leasebeat.model.run import RunKey
from leasebeat.node.loop import AT_ONCE, WOKEN_S, Turn
from leasebeat.runtime import Runtime
from leasebeat.store.base import BATCH, Candidate, FinishRow, Store

Ended = Callable[[Sequence[FinishRow]], None]


class Outbox:
    """Outcomes that the store has not confirmed yet, in the order in which they came.

    It begins with those of a former worker of this name, which the journal had kept.
    """

    def __init__(self, runtime: Runtime, journal: Journal) -> None:
        self.journal = journal
        self.waiter = runtime.waiter()
        self.writer = runtime.waiter()
        self._fresh: deque[Outcome] = deque()
        self._rows: deque[Outcome] = deque(journal.left())

    def put(self, node_id: str, row: FinishRow) -> None:
        """Add one, ended while this node was `node_id`. From any thread."""
        self._fresh.append(Outcome(node_id, row))
        self.writer.wake()

    def fresh(self) -> list[Outcome]:
        """Those that the journal does not have yet. Only its writer asks."""
        return list(self._fresh)

    def written(self, outcomes: Sequence[Outcome]) -> None:
        """The journal has these, the oldest fresh ones: they may go to the store."""
        self._rows.extend(outcomes)
        for _ in outcomes:  # after they are among the others: a drain that counts finds them twice, not gone
            self._fresh.popleft()
        self.waiter.wake()

    def holds(self, node_id: str) -> bool:
        """Whether something that ended under that id waits for the store."""
        return any(outcome.node_id == node_id for outcome in [*self._rows, *self._fresh])

    def peek(self, limit: int) -> tuple[str, list[FinishRow]]:
        """The oldest ones that ended under one node id, at most `limit`. Only the finish service asks."""
        if not self._rows:
            return "", []
        first = self._rows[0][0]
        rows: list[FinishRow] = []
        for index in range(min(limit, len(self._rows))):
            node_id, row = self._rows[index]
            if node_id != first:
                break
            rows.append(row)
        return first, rows

    def drop(self, count: int) -> None:
        """Forget the oldest `count`: the store has answered for them."""
        for _ in range(count):
            self._rows.popleft()
        self.journal.recorded(count)

    def replace_first(self, row: FinishRow) -> None:
        """Put `row` in the place of the oldest."""
        self._rows[0] = Outcome(self._rows[0].node_id, row)

    def __len__(self) -> int:
        return len(self._fresh) + len(self._rows)


class Keep:
    """The service that writes outcomes to the journal. Not the finish itself: that may wait for the store."""

    name = "keep"

    def __init__(self, outbox: Outbox) -> None:
        self.waiter = outbox.writer
        self._outbox = outbox

    def run_once(self) -> Turn:
        """Write what is there, in one piece."""
        outcomes = self._outbox.fresh()
        if outcomes:
            self._outbox.journal.ended(outcomes)
            self._outbox.written(outcomes)
        return Turn(WOKEN_S, len(outcomes))


class Finish:
    """The service that empties the outbox.

    A lost reply needs no special case: the same batch is sent again, and what had been recorded is
    told from what was taken over by `finish_answer` (node_id stays on the row after its end).
    """

    name = "finish"

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        forget: Callable[[Sequence[tuple[RunKey, int]]], None],
        ended: Ended,
        requeued: Callable[[Sequence[FinishRow]], None],
    ) -> None:
        self.waiter = outbox.waiter
        self._store = store
        self._outbox = outbox
        self._forget = forget
        self._ended = ended
        self._requeued = requeued
        self._limit = BATCH

    def run_once(self) -> Turn:
        """Record the oldest batch. Raises what the store raises; the batch then stays."""
        node_id, rows = self._outbox.peek(self._limit)
        if not rows:
            return Turn(WOKEN_S)
        faults.point("before_update")
        batch = sorted(rows, key=lambda row: row.key)
        try:
            superseded = self._send(node_id, batch)
        except (Unknown, Unavailable):
            self._limit = max(1, len(rows) // 2)  # a batch may be too much for one answer in time
            raise
        except StoreError as problem:
            if isinstance(problem, Busy) and not isinstance(problem, Duplicate):
                raise
            self._poisoned(rows, problem)
            return AT_ONCE
        faults.point("after_update")
        self._limit = min(BATCH, 2 * self._limit)
        self._outbox.drop(len(rows))
        self._forget([(row.key, row.attempt) for row in rows])
        self._tell(rows, superseded)
        return Turn(0.0 if len(self._outbox) else WOKEN_S, len(rows))

    def _send(self, node_id: str, rows: Sequence[FinishRow]) -> set[tuple[RunKey, int]]:
        if self._store.finish(node_id, rows) == len(rows):
            return set()
        recorded = self._store.finish_answer(node_id, [Candidate(row.key, row.attempt) for row in rows])
        late = [row for row, ours in zip(rows, recorded, strict=True) if not ours]
        if late:
            self._store.note_superseded(node_id, late)
        return {(row.key, row.attempt) for row in late}

    def _poisoned(self, rows: Sequence[FinishRow], problem: StoreError) -> None:
        """The store refuses the batch itself: find the row, then record its end without what it printed."""
        if len(rows) > 1:
            self._limit = 1
            return
        event("ERROR", "outcome_refused", "the store refused an outcome; recording it bare", error=problem)
        if rows[0].output or rows[0].result or rows[0].reason:
            self._outbox.replace_first(replace(rows[0], output=b"", result=None, reason=None))
            return
        raise problem

    def _tell(self, rows: Sequence[FinishRow], superseded: set[tuple[RunKey, int]]) -> None:
        recorded = [row for row in rows if (row.key, row.attempt) not in superseded]
        for key, attempt in sorted(superseded):
            event(
                "WARNING",
                "outcome_superseded",
                "outcome came after the run was taken over",
                key=key,
                attempt=attempt,
            )
        self._ended(recorded)
        if again := [row for row in recorded if row.again]:
            self._requeued(again)
