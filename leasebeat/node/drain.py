"""Leaving in good order: take nothing new, let what runs end, hand back the rest, beat until the last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from leasebeat.coordination.base import Coordinator
from leasebeat.errors import LeasebeatError
from leasebeat.logs import event
from leasebeat.model.node import NodeState
from leasebeat.node.dispatch import Dispatch
from leasebeat.node.finish import Outbox
from leasebeat.node.loop import WOKEN_S, Turn
from leasebeat.node.standing import Standing
from leasebeat.runtime import Runtime
from leasebeat.store.base import Store

_SOON_S = 0.1
_HURRY_S = 2.0
_GIVE_UP_S = 30.0
"""How long after the last task the outbox may wait for the store; then the other nodes take the runs back."""


@dataclass(slots=True)
class _Progress:
    deadline: float
    killed_at: float | None = None
    said: bool = False  #: in the log
    written: bool = False  #: in the node's row


class Drain:
    """Does nothing until `request` is called; then ends the node."""

    name = "drain"

    def __init__(  # the ports it stands between
        self,
        runtime: Runtime,
        store: Store,
        standing: Standing,
        coordinator: Coordinator,
        dispatch: Dispatch,
        outbox: Outbox,
        drain_s: float,
        grace_s: float,
        ended: Callable[[], None],
    ) -> None:
        self.waiter = runtime.waiter()
        self._runtime = runtime
        self._store = store
        self._standing = standing
        self._coordinator = coordinator
        self._dispatch = dispatch
        self._outbox = outbox
        self._drain_s = drain_s
        self._grace_s = grace_s
        self._ended = ended
        self._progress: _Progress | None = None
        self._hurry = False

    def request(self, hurry: bool = False) -> None:
        """Begin, or with `hurry` (a second SIGTERM) kill at once. Safe in a signal handler."""
        self._hurry = self._hurry or hurry
        self._standing.draining = True
        if self._progress is None:
            self._progress = _Progress(self._runtime.monotonic() + self._drain_s)
        self.waiter.wake()

    def run_once(self) -> Turn:
        """One step towards the end."""
        if self._progress is None:
            return Turn(WOKEN_S)
        self._announce(self._progress)
        running = self._dispatch.running()
        if running:
            return self._wait_or_kill(self._progress, len(running))
        if len(self._outbox) and not self._gave_up(self._progress):
            return Turn(_SOON_S)
        try:
            self._leave()
        except LeasebeatError as problem:
            if not self._gave_up(self._progress):
                raise
            event(
                "WARNING",
                "left_unsaid",
                "left, but could not say so; another node will purge it",
                error=problem,
            )
        self._standing.gone()
        self._ended()
        return Turn()

    def _announce(self, progress: _Progress) -> None:
        """Refuse work at once in this process, and by the row for what the others reckon with."""
        self._standing.state = NodeState.DRAINING
        if not progress.said:
            progress.said = True
            running = len(self._dispatch.running())
            event("INFO", "node_draining", "draining", running=running, seconds=self._drain_s)
        node_id = self._standing.node_id
        if node_id is None or (progress.written and self._standing.row_state in (None, NodeState.DRAINING)):
            return
        try:
            self._store.set_state(node_id, NodeState.DRAINING)
        except LeasebeatError as problem:
            event(
                "DEBUG", "draining_unsaid", "the store does not know yet that this node drains", error=problem
            )
            return
        progress.written, self._standing.row_state = True, None

    def _wait_or_kill(self, progress: _Progress, running: int) -> Turn:
        now = self._runtime.monotonic()
        if progress.killed_at is None and (self._hurry or now >= progress.deadline):
            progress.killed_at = now
            event(
                "WARNING",
                "drain_over",
                "killing what still runs; on_node_loss says what becomes of it",
                runs=running,
            )
            self._dispatch.drain(0.0 if self._hurry else self._grace_s)
        return Turn(_SOON_S)

    def _gave_up(self, progress: _Progress) -> bool:
        patience = _HURRY_S if self._hurry else _GIVE_UP_S
        return self._runtime.monotonic() > (progress.killed_at or progress.deadline) + patience

    def _leave(self) -> None:
        self._standing.leaving = True
        node_id = self._standing.node_id
        if node_id is not None:
            self._store.set_state(node_id, NodeState.LEFT)
            self._coordinator.leave()  # last: while it is seen, nobody takes what is being handed back
            event("INFO", "node_left", "left", node=self._standing.facts.name, node_id=node_id)
