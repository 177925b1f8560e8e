"""Joining, beating, and noticing in time that one may no longer be believed.

Birth: a row in `nodes` under a new id. Beat: one UPDATE of it. No row matched: this node was
purged; it stops its work and is born again. The lease is counted from the start of the last beat
that was accepted (`lease.py`); the watchdog, in its own thread because a beat may hang in a socket,
kills the tasks when it runs out, and so does the guardian if this whole process is stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from leasebeat.coordination.base import Coordinator
from leasebeat.errors import Duplicate, NameTaken, StoreError
from leasebeat.executors.base import Leash
from leasebeat.logs import event
from leasebeat.model.node import Member, NodeFacts, Vitals
from leasebeat.node.dispatch import Dispatch
from leasebeat.node.finish import Outbox
from leasebeat.node.loop import Turn
from leasebeat.node.standing import Standing
from leasebeat.runtime import Runtime
from leasebeat.store.base import Store

_SOON_S = 0.1
_NAME_TAKEN_S = 1.0


class Heartbeat:
    """Joins, then beats every `beat_s`."""

    name = "heartbeat"

    def __init__(  # the ports it stands between
        self,
        runtime: Runtime,
        store: Store,
        standing: Standing,
        coordinator: Coordinator,
        dispatch: Dispatch,
        outbox: Outbox,
        is_gone: Callable[[NodeFacts], bool],
        vitals: Callable[[], Vitals],
    ) -> None:
        self.waiter = runtime.waiter()
        self._runtime = runtime
        self._store = store
        self._standing = standing
        self._coordinator = coordinator  # the membership's; it has no row to look for before the join
        self._dispatch = dispatch
        self._outbox = outbox
        self._is_gone = is_gone
        self._vitals = vitals
        self._told_taken = False
        self.joined: Callable[[str], None] = lambda _: None  #: called with the id after each join

    def run_once(self) -> Turn:
        """Join if this node has no row, else beat."""
        if self._standing.leaving or (self._standing.draining and self._standing.node_id is None):
            return Turn()
        node_id = self._standing.node_id
        if node_id is None:
            return self._join()
        if not self._coordinator.present:
            return self._void(node_id, "its znode is gone")
        return self._beat(node_id)

    def _join(self) -> Turn:
        # A new id only after the old life's tasks are dead: they would run beside their successors.
        if self._dispatch.running(leashed_only=True):
            self._dispatch.lose()
            return Turn(_SOON_S)
        started = self._runtime.boottime()
        facts = replace(self._standing.facts, id=self._runtime.new_id(), state=self._standing.state)
        try:
            # First the znode, then the row that names it: a row whose znode is missing is a dead node's.
            facts = replace(facts, czxid=self._coordinator.enter(facts))
            self._store.join(facts)
        except (Duplicate, NameTaken):
            return self._name_taken(facts.name)
        self._standing.lease.begin(started)
        self._standing.joined(facts.id, facts.state)
        self._told_taken = False
        event("INFO", "node_joined", "joined", node=facts.name, node_id=facts.id)
        self.joined(facts.id)
        return Turn(self._standing.facts.beat_s)

    def _name_taken(self, name: str) -> Turn:
        """A present node has this name: a predecessor that is dead is purged, others are waited for."""
        known = self._store.node_named(name)
        if known is None:
            return Turn(_SOON_S)
        member, facts = known
        # Or it is this very process, and the reply to an earlier join was lost: nothing ran under that id.
        gone = self._is_gone(facts) or _process(facts) == _process(self._standing.facts)
        # First what it had ended, from the journal: a purged node's runs are taken back, and run again.
        if gone and not self._outbox.holds(member.id):
            self._coordinator.evict(name)
            self._store.purge(member.id, member.beat_seq, watched=False)
            event(
                "INFO", "predecessor_purged", "this name's former node is dead", node=name, node_id=member.id
            )
            return Turn(0.0)
        if self._stood_still(member):
            return Turn(0.0)
        if gone:
            return Turn(_SOON_S)
        if not self._told_taken:
            self._told_taken = True
            where = f"host {facts.host}, pid {facts.pid}"
            advice = "waiting until it has left or been purged; give each node its own [node] name"
            event("WARNING", "name_taken", f"{name!r} is taken ({where}): {advice}", node_id=member.id)
        return Turn(min(_NAME_TAKEN_S, facts.beat_s / 2))

    def _stood_still(self, member: Member) -> bool:
        """Where no other node is left to purge it, this one watches it for a lease, by the rule of all."""
        at = self._runtime.boottime()
        self._coordinator.look([member], at)
        dead = any(
            self._store.purge(found.id, found.beat_seq, watched=found.czxid is None)
            for found in self._coordinator.dead(at)
        )
        if dead:
            event("WARNING", "node_purged", "missed three beats: purged", node=member.name, node_id=member.id)
        return dead

    def _beat(self, node_id: str) -> Turn:
        started = self._runtime.boottime()
        try:
            accepted = self._store.beat(node_id, self._vitals())
        except StoreError:
            self._give_up_if_over()
            raise
        if not accepted:
            return Turn() if self._standing.leaving else self._void(node_id, "purged")
        if self._standing.lease.renew(started):
            return Turn(max(0.0, self._standing.facts.beat_s - (self._runtime.boottime() - started)))
        return self._back_from_a_lapse(started)

    def _void(self, node_id: str, why: str) -> Turn:
        event("ERROR", "node_purged", f"{why}; joining again under a new id", node_id=node_id)
        self._standing.gone()
        self._standing.lease.end()
        self._dispatch.lose()
        self._coordinator.withdraw()
        return Turn(0.0)

    def _give_up_if_over(self) -> None:
        """Live means both: who cannot beat for three beats is gone from ZooKeeper, too, once nothing runs."""
        if not self._standing.lease.holds() and not self._dispatch.running(leashed_only=True):
            self._coordinator.leave()

    def _back_from_a_lapse(self, started: float) -> Turn:
        """The row stands, but the lease had run out: what was started under it is stopped first."""
        self._standing.lease.lapse()
        if self._dispatch.running(leashed_only=True):
            self._dispatch.lose()
            return Turn(_SOON_S)
        self._standing.lease.begin(started)
        return Turn(self._standing.facts.beat_s)


def _process(facts: NodeFacts) -> tuple[object, ...]:
    """What tells one process from every other that ever was."""
    return facts.host, facts.boot_id, facts.pid_namespace, facts.pid, facts.process_start


class Watchdog:
    """Kills what is on the leash when the trust window closes, and replaces a guardian that died.

    It never waits for the store, and looks for a guardian only after the lease.
    """

    name = "watchdog"

    def __init__(self, runtime: Runtime, standing: Standing, dispatch: Dispatch, leash: Leash) -> None:
        self.waiter = runtime.waiter()
        self._standing = standing
        self._dispatch = dispatch
        self._leash = leash

    def run_once(self) -> Turn:
        """Look at the lease, then at the leash."""
        turn = self._look_at_lease()
        if not self._leash.alive():
            event("ERROR", "guardian_died", "the guardian died, and the tasks with it; starting another")
            self._leash.restore()
        return turn

    def _look_at_lease(self) -> Turn:
        lease = self._standing.lease
        if lease.holds():
            return Turn(max(0.01, min(0.5, lease.remaining())))
        if lease.lapse() and self._standing.node_id is not None:
            self._dispatch.lose()
        return Turn(0.5)
