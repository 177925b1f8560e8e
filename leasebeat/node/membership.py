"""The one statement a second: what time it is, who is there, what changed, what runs here.

Everything that a node must notice comes in with it: edits (the digest of `schedules`), queued runs,
requests to kill, its own state, the others' beats, work of nodes that are gone. What it finds is
handed to the service whose job it is. It also holds the store's list of the runs of this node
against the node's own.
"""

from __future__ import annotations

from collections.abc import Callable

from leasebeat.coordination.base import Coordinator
from leasebeat.errors import StoreError
from leasebeat.gate.base import Gate
from leasebeat.logs import event
from leasebeat.model.node import Member, NodeState
from leasebeat.model.run import OutcomeKind
from leasebeat.node.catalog import Catalog
from leasebeat.node.dispatch import Dispatch
from leasebeat.node.loop import IDLE_S, Turn
from leasebeat.node.pull import SETTLE, Pull, grants_of
from leasebeat.node.ranking import Ranking
from leasebeat.node.standing import Standing
from leasebeat.runtime import Runtime, Waiter
from leasebeat.store.base import OwnRun, Poll, Store


class Membership:
    """Polls, and passes on what it learns."""

    name = "membership"

    def __init__(  # the ports it stands between
        self,
        runtime: Runtime,
        store: Store,
        gate: Gate,
        standing: Standing,
        coordinator: Coordinator,
        catalog: Catalog,
        dispatch: Dispatch,
        pull: Pull,
        purge: Waiter,
    ) -> None:
        self.waiter = runtime.waiter()
        self._runtime = runtime
        self._store = store
        self._standing = standing
        self._coordinator = coordinator
        self._catalog = catalog
        self._dispatch = dispatch
        self._pull = pull
        self._purge = purge
        self._reconciled = float("-inf")
        self.draining: Callable[[], None] = lambda: None  #: called when somebody set this node to draining
        self.ended: Callable[[], None] = lambda: None  #: called when ended runs may have followers
        self.foreign: Callable[[str], None] = lambda _: None  #: called when the fleet has another coordinator
        gate.listen(self._heard)

    def run_once(self) -> Turn:
        """Poll once."""
        node_id = self._standing.node_id
        if node_id is None:
            return Turn()
        sent = self._runtime.monotonic()
        try:
            poll = self._store.poll(node_id, self._standing.pulls_from)
        except StoreError:
            self._coordinator.missed_look()
            raise
        self._standing.clock.observe(sent, poll.now)
        # When it was answered, not when it was asked: a beat that it shows may be younger than the question.
        self._take_in(node_id, poll, self._runtime.boottime())
        self._catalog.audited(poll.auditor.watermark if poll.auditor else None)
        # First: kill requests and take-overs must not wait for a row that cannot be read.
        if self._should_reconcile(poll):
            self._reconcile(node_id)
        if poll.digest != self._catalog.digest:
            self._catalog.refresh()
        else:
            self._catalog.unchanged(poll.digest, poll.now)
        # Often enough that looks are never more than a beat and a half apart.
        return Turn(min(IDLE_S, self._standing.facts.beat_s / 2))

    def _heard(self, topic: str) -> None:
        """A node said over Redis that something is new. The poll finds out what."""
        if topic == "queue":
            self._pull.hint()
        else:
            self.waiter.wake()

    def _take_in(self, node_id: str, poll: Poll, at: float) -> None:
        if node_id != self._standing.node_id:
            return  # purged and born again while the poll was under way
        if poll.coordinator != self._coordinator.name:
            self.foreign(poll.coordinator)
        self._standing.poll = poll
        ranking = Ranking(poll.members, poll.now)
        if ranking.key != self._standing.ranking.key:
            self._standing.ranking = ranking
        own = next((member for member in poll.members if member.id == node_id), None)
        if own is not None:
            self._follow_state(own)
        self._coordinator.look(poll.members, at)
        if poll.ready:
            self._pull.hint()
        if poll.follow and poll.auditor and poll.auditor.holder == node_id:
            self.ended()  # left over: whoever ended those runs looks by itself
        if poll.orphans or poll.sweep or self._coordinator.dead(at):
            self._purge.wake()

    def _follow_state(self, own: Member) -> None:
        """Somebody may have cordoned, resumed or drained this node by its row."""
        self._standing.row_state = own.state
        if own.state == self._standing.state or self._standing.draining:
            return
        event("INFO", "node_state", f"this node is {own.state} now", node=own.name, was=self._standing.state)
        if own.state == NodeState.DRAINING:
            self.draining()
        self._standing.state = own.state

    # own rows

    def _should_reconcile(self, poll: Poll) -> bool:
        due = self._runtime.monotonic() - self._reconciled >= self._standing.facts.beat_s
        return due or poll.kills or poll.running != len(self._dispatch.ids())

    def _reconcile(self, node_id: str) -> None:
        """Hold what the store says runs here against what does.

        A claim or a pull of this very node may be under way now. What this look shows and the node
        does not hold is left alone until no statement can still be bringing it (`settled`); what the
        node held before the look and the look does not show was taken over. What is not on the leash is
        left to end all the same: a node that was purged while it stood still may look before it knows.
        """
        held, asked = self._dispatch.ids(), self._dispatch.asking()
        runs = self._store.mine(node_id, SETTLE)
        self._reconciled = self._runtime.monotonic()
        shown = {(run.key, run.attempt) for run in runs}
        for launch_id in (held - shown).intersection(self._dispatch.running(leashed_only=True)):
            event("WARNING", "run_taken_over", "run was taken over; killing it here", key=launch_id[0])
            self._dispatch.kill(launch_id, OutcomeKind.LOST, 0.0)
        for run in runs:
            if run.kill_requested:
                self._dispatch.kill((run.key, run.attempt), OutcomeKind.KILLED)
        strays = [run for run in runs if run.settled and (run.key, run.attempt) not in held]
        self._adopt(node_id, strays, asked)

    def _adopt(self, node_id: str, strays: list[OwnRun], asked: float) -> None:
        """Rows that a lost reply or a late commit left with this node: start them here."""
        for run in strays:
            schedule = self._catalog.schedule_of(run.version)
            queue = schedule.queue if schedule else "default"
            event("WARNING", "run_adopted", "found a run of this node that it had not heard of", key=run.key)
            self._dispatch.adopt(grants_of(node_id, queue, [run])[0], asked)
