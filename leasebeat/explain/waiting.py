"""What a queued run waits for. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator

from leasebeat.explain.codes import Code
from leasebeat.explain.reigns import Record
from leasebeat.explain.scene import Fire, Scene, Verdict, gap_at, nodes_for, span_text
from leasebeat.model.instant import SECOND, to_text
from leasebeat.model.node import LEASE_BEATS, NodeState
from leasebeat.model.schedule import Schedule

__all__ = ["waiting"]


def waiting(scene: Scene, fire: Fire, row: Record) -> Verdict:
    """The first thing that stands in the way; what else does is said after it."""
    found = list(_obstacles(scene, fire, row))
    if not found:
        found = [(Code.WAITS_PULL, "nothing stands in its way: a node takes it within seconds")]
    code, text = found[0]
    verdict = Verdict(
        row["fire_at"], code, f"queued: {text}", tuple(f"also: {text}" for _, text in found[1:])
    )
    expires = row["expires_at"] if not row["attempt"] else None
    return verdict.plus(f"it is missed if it has not begun by {to_text(expires)}" if expires else "")


def _obstacles(scene: Scene, fire: Fire, row: Record) -> Iterator[tuple[Code, str]]:
    """(code, text) of each, the one that must go first before the others."""
    here = [node for node in nodes_for(scene.nodes, "execute", row["queue"]) if _takes(node, scene)]
    if row["kill_requested"]:
        yield Code.CLOSING, "it was asked to end, and a node closes it within seconds"
    if row["version"] is None:
        yield Code.WAITS_READING, "put in by hand, and no node has read it yet"
    if row["ready_at"] > scene.now:
        yield _until(row)
    if row["queue"] in scene.paused:
        yield Code.WAITS_QUEUE, f"its queue {row['queue']!r} is paused"
    if not row["attempt"] and (newest := scene.history.newest) and not newest.enabled:
        yield (
            Code.WAITS_RESUME,
            f"its schedule is paused since {to_text(scene.history.alike_since(newest).since)}",
        )
    if not here:
        nodes = nodes_for(scene.nodes, "execute", row["queue"])
        gap = gap_at(nodes, scene.now, scene.now)
        yield (
            Code.WAITS_NODE,
            f"no live node serves queue {row['queue']!r}" + (f" ({span_text(gap)})" if gap else ""),
        )
    yield from _bound_to(scene, row, here)
    if row["serial"] is not None and row["serial_held"] != row["serial"]:
        yield Code.WAITS_TURN, f"its turn has not come: {_holder(fire) or 'an earlier run is open'}"
    if row["lane"] is not None and len(fire.lane_holders) >= scene.lanes.get(row["lane"], 1):
        holders = ", ".join(str(holder["key"]) for holder in fire.lane_holders[:3])
        yield Code.WAITS_LANE, f"lane {row['lane']!r} is full: {holders}"
    if here and all(node["running"] >= _room(node, row["queue"]) for node in here):
        names = ", ".join(sorted(node["name"] for node in here))
        yield Code.WAITS_SLOT, f"no free slot at the last beats of {names}"


def _until(row: Record) -> tuple[Code, str]:
    at = to_text(row["ready_at"])
    if row["attempt"]:
        return Code.WAITS_RETRY, f"attempt {row['attempt'] + 1} is due at {at}"
    return Code.WAITS_DELAY, f"not before {at} (jitter, or a catch-up that is spread)"


def _takes(node: Record, scene: Scene) -> bool:
    """Live, and not silent for a whole lease."""
    silent = scene.now - node["beat_at"] > LEASE_BEATS * node["beat_s"] * SECOND
    return node["state"] == NodeState.LIVE and not silent


def _room(node: Record, queue: str) -> int:
    limit: int | None = json.loads(node["queues"]).get(queue)
    return node["slots"] if limit is None else min(limit, node["slots"])


def _bound_to(scene: Scene, row: Record, here: list[Record]) -> Iterator[tuple[Code, str]]:
    """Rows that one node only may run."""
    schedule = _schedule(scene)
    name = schedule.node_name if schedule else None
    if name is not None and name not in {node["name"] for node in here}:
        yield (
            Code.WAITS_NODE,
            f"route is node:{name}, and that node is not there, or does not serve its queue",
        )
    pinned = row["pinned_node_id"]
    if pinned is not None and pinned not in {node["id"] for node in here}:
        known = next((node["name"] for node in scene.nodes if node["id"] == pinned), pinned)
        yield Code.WAITS_NODE, f"it is meant for node {known}, which takes nothing now"


def _schedule(scene: Scene) -> Schedule | None:
    return scene.history.newest.schedule if scene.history.newest else None


def _holder(fire: Fire) -> str:
    return ", ".join(f"{row['key']} is {row['status']}" for row in fire.others)
