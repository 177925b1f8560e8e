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
        fresh = [m for m in members if m.state == NodeState.LIVE]
        fresh = [m for m in fresh if now - m.beat_at < _FRESH_BEATS * m.beat_s * SECOND]
        self._dispatching = [m for m in fresh if "dispatch" in m.roles]
        self._executing = [m for m in fresh if "execute" in m.roles]
        self.key = tuple(sorted((m.id, m.name, m.slots, *sorted(m.roles), *sorted(m.queues)) for m in fresh))
        self._ranks: dict[tuple[str, int, str | None], tuple[str, ...]] = {}

    def of(self, node_id: str, queue: str, bucket: int, first: str | None = None) -> int | None:
        """The node's rank for a fire in that bucket: 0, 1, 2, or None. The node named `first` goes first."""
        ranks = self._ranks.get((queue, bucket, first))
        if ranks is None:
            ranks = self._ranks[queue, bucket, first] = self._rank(queue, bucket, first)
        return ranks.index(node_id) if node_id in ranks else None

    def executing(self, queue: str) -> list[Member]:
        """The nodes that may run what is in the queue."""
        return [m for m in self._executing if queue in m.queues]

    def order(self, queue: str, bucket: int) -> list[Member]:
        """The same nodes, by their rank for that bucket."""
        return _by_score(self.executing(queue), bucket)

    def _rank(self, queue: str, bucket: int, first: str | None) -> tuple[str, ...]:
        ordered = _by_score([m for m in self._dispatching if queue in m.queues], bucket)
        ordered.sort(key=lambda m: m.name != first)
        return tuple(m.id for m in ordered[:RANKS])


def _by_score(members: list[Member], bucket: int) -> list[Member]:
    if len(members) > 1:  # a node on its own is first for everything
        members.sort(key=lambda m: (_score(m, bucket), m.id), reverse=True)
    return members


def bucket_of(*parts: object) -> int:
    """The bucket of a schedule (its id: sticky) or of a fire (id and instant: spread)."""
    return _hash("/".join(map(str, parts))) % BUCKETS


def _score(member: Member, bucket: int) -> float:
    # The name, not the id: a restarted node gets its schedules back.
    drawn = (_hash(f"{member.name}/{bucket}") + 1) / (2**64 + 2)
    return -member.slots / math.log(drawn)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
