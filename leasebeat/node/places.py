"""How a fire is divided: its shards, who should run each, and the serial that each wants. Pure.

    shards = 1          one place, for whoever takes it
    shards = n          n places, dealt evenly over the nodes that may run them, in the order of their rank
                        for the schedule (`sticky`) or for this fire (`spread`); a preference
    route = all         one place on every such node, by name; nobody else may run it

`any` and `node:NAME` deal nothing: the pull decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from leasebeat.model.instant import Instant
from leasebeat.model.node import Member
from leasebeat.model.schedule import Schedule
from leasebeat.node.ranking import Ranking, bucket_of
from leasebeat.store.base import Place


def places(schedule: Schedule, fire_at: Instant, ranking: Ranking) -> list[Place]:
    """The places of a fire, by shard. Empty where `route = all` and no live node serves the queue."""
    if schedule.route == "all":
        return _on_all(schedule, ranking.executing(schedule.queue))
    if schedule.shards == 1:
        return [Place(0, None, schedule.serial())]
    dealt_to = ranking.order(schedule.queue, bucket(schedule, fire_at)) if _deals(schedule) else []
    return [
        Place(shard, dealt_to[shard % len(dealt_to)].id if dealt_to else None, schedule.serial(shard))
        for shard in range(schedule.shards)
    ]


def bucket(schedule: Schedule, fire_at: Instant) -> int:
    """The bucket by which nodes are ranked for a fire."""
    return bucket_of(schedule.id) if schedule.route == "sticky" else bucket_of(schedule.id, fire_at)


def _deals(schedule: Schedule) -> bool:
    return schedule.route in ("sticky", "spread")


def _on_all(schedule: Schedule, nodes: Sequence[Member]) -> list[Place]:
    named = sorted(nodes, key=lambda member: member.name)
    return [Place(shard, member.id, schedule.serial_on(member.name)) for shard, member in enumerate(named)]
