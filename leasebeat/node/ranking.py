"""Who opens which fire: weighted rendezvous hashing over the live nodes.

Every node computes the same ranking from the same rows, so that one of them claims at the instant
and the others need not ask. Views may differ for a while; then a fire is tried more than once, or
by nobody: the store's key and the audit take care of that. (Weights: Schindelhauer and Schomaker,
"Weighted Distributed Hash Tables", 2005.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.model.node import Member, NodeState

BUCKETS = 16_384
RANKS = 3
"""How many nodes try for a fire; the rest do nothing."""

RANK_DELAY: Micros = SECOND // 5
"""Rank n claims this much times n after the instant."""

_FRESH_BEATS = 2
"""A node that has missed this many beats leaves the ranking, before anybody may purge it."""


class Ranking:
    """The ranking by the last look at `nodes`. Replaced whole; read from any thread."""

    def __init__(self, members: Sequence[Member] = (), now: Instant = 0) -> None:
        self._nodes = [m for m in members if m.state == NodeState.LIVE and "dispatch" in m.roles]
        self._nodes = [m for m in self._nodes if now - m.beat_at < _FRESH_BEATS * m.beat_s * SECOND]
        self.key = tuple(sorted((m.id, m.name, m.slots, *sorted(m.queues)) for m in self._nodes))
        self._ranks: dict[tuple[str, int], tuple[str, ...]] = {}

    def of(self, node_id: str, queue: str, bucket: int) -> int | None:
        """The node's rank for a fire in that bucket: 0, 1, 2, or None."""
        ranks = self._ranks.get((queue, bucket))
        if ranks is None:
            ranks = self._ranks[queue, bucket] = self._rank(queue, bucket)
        return ranks.index(node_id) if node_id in ranks else None

    def _rank(self, queue: str, bucket: int) -> tuple[str, ...]:
        serving = [m for m in self._nodes if queue in m.queues]
        if len(serving) > 1:  # a node on its own is first for everything
            serving.sort(key=lambda m: (_score(m, bucket), m.id), reverse=True)
        return tuple(m.id for m in serving[:RANKS])


def bucket_of(*parts: object) -> int:
    """The bucket of a schedule (its id: sticky) or of a fire (id and instant: spread)."""
    return _hash("/".join(map(str, parts))) % BUCKETS


def _score(member: Member, bucket: int) -> float:
    # The name, not the id: a restarted node gets its schedules back.
    drawn = (_hash(f"{member.name}/{bucket}") + 1) / (2**64 + 2)
    return -member.slots / math.log(drawn)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
