"""Nodes: the running workers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from leasebeat.model.instant import Instant

LEASE_BEATS = 3
"""A node is stale after this many missed beats."""

TRUST_MARGIN_S = 1.5
"""How long before its lease ends, by its own CLOCK_BOOTTIME, a node stops trusting it.

Watchdog period 0.5 s, reaping 0.1 s, and reserve; there is no kill grace in it: on lease loss tasks
are killed with SIGKILL."""


class NodeState(StrEnum):
    """What a node's row says of it."""

    LIVE = "live"  #: beats and takes work
    CORDONED = "cordoned"  #: beats, takes no work, may be resumed
    DRAINING = "draining"  #: beats until its work has ended, then leaves
    LEFT = "left"  #: went away by itself
    PURGED = "purged"  #: declared dead by another node


PRESENT = frozenset({NodeState.LIVE, NodeState.CORDONED, NodeState.DRAINING})
"""The states in which a node beats."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node as the others see it in one look at `nodes`.

    `queues` maps a queue's name to its limit; None = no limit of its own.
    """

    id: str
    name: str
    state: NodeState
    beat_seq: int
    beat_at: Instant
    beat_s: float
    slots: int
    queues: dict[str, int | None]
    roles: frozenset[str] = frozenset({"dispatch", "execute"})
    stale: bool = False  #: `beat_at` is more than a lease old by the store's clock
    czxid: int | None = None  #: of its znode; None under the store coordinator

    @property
    def lease_s(self) -> float:
        """Seconds without a beat after which it may be purged."""
        return LEASE_BEATS * self.beat_s


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node writes about itself when it joins."""

    id: str
    name: str
    host: str
    address: str
    pid: int
    boot_id: str  #: of the kernel, so that "the same pid" can be told from a reused one
    pid_namespace: str
    process_start: int  #: clock ticks after boot, field 22 of /proc/PID/stat
    slots: int
    beat_s: float
    queues: dict[str, int | None]
    roles: tuple[str, ...]
    version: str
    tzdata: str
    state: NodeState = NodeState.LIVE
    czxid: int | None = None  #: of its znode; None under the store coordinator


@dataclass(frozen=True, slots=True)
class Vitals:
    """What each beat carries."""

    running: int = 0
    cpu_pct: float = 0.0
    memory_bytes: int = 0
    clock_offset_ms: float = 0.0
    digest: str = ""
    slots: int | None = None  #: None: as the row says
    beat_s: float | None = None
