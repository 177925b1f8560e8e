"""Statements on `nodes`, and the one look a second at everything."""

from __future__ import annotations

from collections.abc import Sequence

from leasebeat.errors import Duplicate
from leasebeat.model.instant import Instant
from leasebeat.model.node import Member, NodeFacts, NodeState, Vitals
from leasebeat.store.base import Poll, Role
from leasebeat.testing.simstore.base import NodeChange
from leasebeat.testing.simstore.following import FollowStatements
from leasebeat.testing.simstore.locks import GAP, Statement
from leasebeat.testing.simstore.tables import PRESENT_STATES, NodeRow

_UNSEEN: tuple[Instant, Instant, tuple[Member, ...]] = (1, 0, ())


class NodeStatements(FollowStatements):
    """Nodes join, beat, and are declared dead."""

    _seen = _UNSEEN  #: (from, until) in store time, and the members that a look between them shows

    def poll(self, node_id: str, queues: Sequence[str]) -> Poll:
        now, role = self.now(), self.role
        mine = self.runs.running.get(node_id, {})
        ready = sweep = False
        for run in self.runs.queued.values():
            sweep = sweep or self.wants_sweep(run, now)
            if not ready and run.ready_at <= now and run.queue in queues:
                ready = run.queue not in self.paused_queues and self.may_pull(node_id, run, now)
        return Poll(
            now,
            self.schedules.digest,
            self._members(now),
            len(mine),
            bool(self.runs.kills) and any(run.kill_requested for run in mine.values()),
            ready,
            any(node not in self.present for node in self.runs.running),
            sweep,
            Role(role.holder, role.term, role.expires_at is None or role.expires_at < now, role.watermark),
            bool(self.runs.following),
            frozenset(self.paused_queues),
            coordinator=self.coordinator,
        )

    def _members(self, now: Instant) -> tuple[Member, ...]:
        """The present nodes as a look shows them; made anew after a change, or when one grows stale."""
        begin, end, members = self._seen
        if begin <= now < end:
            return members
        members = tuple(node.seen(now) for node in self.present.values())
        edges = [node.beat_at + node.lease + 1 for node in self.present.values()]
        begin = max((edge for edge in edges if edge <= now), default=0)
        end = min((edge for edge in edges if edge > now), default=1 << 62)
        self._seen = begin, end, members
        return members

    def _forget_members(self, node: NodeRow) -> None:
        node.member, self._seen = None, _UNSEEN

    def join(self, facts: NodeFacts) -> Statement[None]:
        txn = self.begin()
        try:
            yield GAP
            yield from txn.take([("name", facts.name)])
            if any(node.name == facts.name for node in self.present.values()):
                raise Duplicate(f"node {facts.name!r} is there")
            yield GAP
            row = self.nodes[facts.id] = NodeRow(facts, self.now())
            self.present[facts.id] = row
            row.beat_true = self.true_now()
            self._forget_members(row)
            self._journal_node(row, None, watched=False)
        finally:
            txn.release()

    def beat(self, node_id: str, vitals: Vitals) -> Statement[bool]:
        now, began = self.now(), self.true_now()
        txn = self.begin()
        try:
            yield from txn.take([("node", node_id)])
            node = self.present.get(node_id)
            if node is None:
                return False
            yield GAP
            node.beat_at, node.beat_true, node.vitals = now, began, vitals
            self._forget_members(node)
            node.beat_seq += 1
            return True
        finally:
            txn.release()

    def set_state(self, node_id: str, state: NodeState) -> Statement[bool]:
        txn = self.begin()
        try:
            yield from txn.take([("node", node_id)])
            node = self.present.get(node_id)
            if node is None:
                return False
            yield GAP
            self._become(node, str(state), watched=False)
            return True
        finally:
            txn.release()

    def node_named(self, name: str) -> tuple[Member, NodeFacts] | None:
        now = self.now()
        found = next((node for node in self.present.values() if node.name == name), None)
        return (found.seen(now), found.facts) if found else None

    def purge(self, node_id: str, beat_seq: int, watched: bool = True) -> Statement[bool]:
        now = self.now()
        txn = self.begin()
        try:
            yield from txn.take([("node", node_id)])
            node = self.present.get(node_id)
            if node is None or node.beat_seq != beat_seq or (watched and not self._is_stale(node, now)):
                return False
            yield GAP
            self._become(node, "purged", watched=watched)
            return True
        finally:
            txn.release()

    def order(self, name: str, state: str) -> bool:
        """UPDATE nodes SET state = ... by hand, of a node that is present and not leaving."""
        node = next((node for node in self.present.values() if node.name == name), None)
        if node is None or node.state in ("draining", state):
            return False
        self._become(node, state, watched=False)
        return True

    def _is_stale(self, node: NodeRow, now: Instant) -> bool:
        return "stale" in self.without or node.beat_at < now - node.lease

    def _become(self, node: NodeRow, state: str, watched: bool) -> None:
        was, node.state = node.state, state
        self._forget_members(node)
        if state not in PRESENT_STATES:
            del self.present[node.id]
        self._journal_node(node, was, watched)

    def _journal_node(self, node: NodeRow, was: str | None, watched: bool) -> None:
        self.journal.append(NodeChange(self.true_now(), node.id, was, node.state, node.beat_true, watched))
