"""When all has been quiet for long enough, whatever still waits must have a reason to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from leasebeat.model.instant import SECOND, to_text
from leasebeat.testing.invariants import invariant
from leasebeat.testing.simstore.tables import NodeRow, Run
from leasebeat.testing.simulation.evidence import Evidence, Violation, key_of


@invariant("I17")
def nothing_is_stuck(evidence: Evidence) -> Iterator[Violation]:
    """A queued run waits for its serial, its lane, a slot, a node that serves its queue, or a person."""
    yard = _Yard(evidence)
    patience = evidence.lease + 60 * SECOND
    for run in evidence.rows.values():
        if run.status != "queued" or run.key.schedule_id not in evidence.enabled:
            continue
        if evidence.store_now - max(run.ready_at, evidence.calm_since) <= patience or yard.excuses(run):
            continue
        yield Violation("nothing is stuck", f"{key_of(run.key)} is queued since {to_text(run.ready_at)}")


class _Yard:
    """What is open at the end, by what it may be waiting for."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        rows = [run for run in evidence.rows.values() if run.open]
        self._open = rows
        self._held = Counter(run.lane for run in rows if run.lane_slot is not None)
        self._busy = Counter(run.node_id for run in rows if run.status == "running")
        self._in_queue = Counter((run.node_id, run.queue) for run in rows if run.status == "running")

    def excuses(self, run: Run) -> bool:
        """Whether it waits with good reason; what it waits for is asked the same."""
        evidence = self._evidence
        if run.queue in evidence.paused:
            return True
        if any(o.serial == run.serial and self._before(o, run) for o in self._open if run.serial is not None):
            return True
        if run.lane is not None:
            if self._held[run.lane] >= evidence.lane_sizes.get(run.lane, 1):
                return True
            if any(
                o.lane == run.lane and o.status == "queued" and _order(o) < _order(run) for o in self._open
            ):
                return True
        return not any(
            self._has_room(node, run.queue) for node in evidence.nodes.values() if self._may(node, run)
        )

    def _before(self, other: Run, run: Run) -> bool:
        return other is not run and (other.status == "running" or other.key.fire_at < run.key.fire_at)

    def _may(self, node: NodeRow, run: Run) -> bool:
        route = self._evidence.schedule(run.version).get("route", "any")
        if node.state != "live" or run.queue not in node.facts.queues or "execute" not in node.facts.roles:
            return False
        if str(route).startswith("node:"):
            return route == f"node:{node.name}"
        return route != "all" or run.pinned_node_id == node.id

    def _has_room(self, node: NodeRow, queue: str) -> bool:
        limit = node.facts.queues[queue]
        if limit is not None and self._in_queue[node.id, queue] >= limit:
            return False
        # A slot that has just become free is taken by somebody else: only a node that is half idle has room.
        return self._busy[node.id] <= node.facts.slots // 2


def _order(run: Run) -> tuple[int, int, int]:
    return -run.priority, run.key.fire_at, run.key.schedule_id
