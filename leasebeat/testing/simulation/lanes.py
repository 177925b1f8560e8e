"""What must hold of lanes: never more of them at once than the size says, and in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.model.run import RunKey
from leasebeat.store.base import CLAIM_REACH
from leasebeat.testing.invariants import invariant
from leasebeat.testing.simstore.base import RowChange
from leasebeat.testing.simstore.tables import Run, RunChange
from leasebeat.testing.simulation.evidence import Evidence, Violation, key_of
from leasebeat.testing.simulation.tasks import TaskBegin, TaskEnd

OVERLOOKED: Micros = 20 * SECOND
"""A look at the queue and the pull that follows it may lie this far apart, on rough links."""


LOCKED: Micros = 15 * SECOND
"""No statement holds a row for longer."""


@invariant("I21")
def lanes_keep_their_size(evidence: Evidence) -> Iterator[Violation]:
    """Tasks of a lane that run at once; those that outlive a lost node (`finish`) excepted."""
    running: dict[str, dict[tuple[RunKey, int], TaskBegin]] = defaultdict(dict)
    for entry in evidence.journal:
        if entry.__class__ not in (TaskBegin, TaskEnd):
            continue
        lane = evidence.schedule_of(entry.key).get("lane")
        if lane is None:
            continue
        if entry.__class__ is TaskEnd:
            running[lane].pop((entry.key, entry.attempt), None)
            continue
        size = evidence.lane_sizes.get(lane, 1)
        beside = sum(task.leashed for task in running[lane].values())
        running[lane][entry.key, entry.attempt] = entry
        if beside >= size:
            what = f"{key_of(entry.key)} began beside {beside} of lane {lane}, whose size is {size}"
            yield Violation("lanes keep their size", what, entry.at)


@dataclass(slots=True)
class _Lane:
    """The runs of a lane that wait: when each was committed so, and when the first one overtook it."""

    waiting: dict[RunKey, RunChange] = field(default_factory=dict[RunKey, RunChange])
    overtaken: dict[RunKey, Instant] = field(default_factory=dict[RunKey, Instant])


def lanes_keep_their_order(evidence: Evidence) -> Iterator[Violation]:
    """Who is pulled was the first of its lane, of those in its queue that might have been pulled instead."""
    lanes: dict[str, _Lane] = defaultdict(_Lane)
    serials: dict[str, set[RunKey]] = defaultdict(set)
    paused_at: dict[int, Instant] = {}  #: when each schedule was last edited
    for entry in evidence.journal:
        if entry.__class__ is RowChange:
            paused_at[entry.schedule_id] = entry.at
        if entry.__class__ is not RunChange:
            continue
        run = evidence.rows[entry.key]
        schedule = evidence.schedule(run.version)
        serial = f"{run.key.schedule_id}:{run.key.shard}" if schedule.get("overlap") != "allow" else None
        is_open = entry.status in ("queued", "running")
        if serial is not None:
            (serials[serial].add if is_open else serials[serial].discard)(entry.key)
        if run.lane is None:
            continue
        lane = lanes[run.lane]
        lane.waiting.pop(entry.key, None)
        lane.overtaken.pop(entry.key, None)
        if entry.status == "queued":
            lane.waiting[entry.key] = entry
        elif entry.status == "running":
            for key, since in lane.waiting.items():
                other = evidence.rows[key]
                edited = paused_at.get(key.schedule_id, 0)
                if edited >= since.at or not _was_first(evidence, entry, run, other, since, serials):
                    continue
                # Passed over while another node's statement has it locked; but not again and again.
                if entry.at - lane.overtaken.setdefault(key, entry.at) > LOCKED:
                    what = f"{key_of(entry.key)} began before {key_of(key)} in lane {run.lane}"
                    yield Violation("lanes keep their order", what, entry.at)


def _was_first(
    evidence: Evidence,
    pulled: RunChange,
    run: Run,
    other: Run,
    since: RunChange,
    serials: dict[str, set[RunKey]],
) -> bool:
    """Whether another run that waited should have been pulled, and could have been by the same node."""
    if _order(other) >= _order(run) or other.queue != run.queue or other.origin == "manual":
        return False
    if pulled.at - since.at < OVERLOOKED or pulled.now - since.ready_at < OVERLOOKED:
        return False
    if since.ready_at > pulled.ready_at:
        return False  # a retry is ready later than all that has queued meanwhile: looks are short
    expired = other.attempt == 0 and other.expires_at is not None and other.expires_at <= pulled.now
    late = other.origin == "audit" and since.ready_at >= other.key.fire_at + CLAIM_REACH
    if other.kill_requested or expired or late or since.reason_code == "start_failed":
        return False
    schedule = evidence.schedule(other.version)
    if schedule["overlap"] != "allow" and len(serials[f"{other.key.schedule_id}:{other.key.shard}"]) > 1:
        return False
    node = evidence.nodes.get(pulled.node_id or "")
    if schedule["route"] == "all" or node is None:
        return False
    return not schedule["route"].startswith("node:") or schedule["route"] == f"node:{node.name}"


def _order(run: Run) -> tuple[int, RunKey]:
    return -run.priority, run.key
