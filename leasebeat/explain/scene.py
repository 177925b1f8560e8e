"""What a verdict is made from, and what it is. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from leasebeat.explain.reigns import History, Record
from leasebeat.model.instant import DAY, SECOND, Instant, Micros, to_datetime, to_text
from leasebeat.model.node import LEASE_BEATS, PRESENT
from leasebeat.triggers.zones import zone

__all__ = ["Fire", "Gap", "Kept", "Scene", "Verdict", "gap_at", "local_day", "nodes_for", "span_text"]

_NODES_KEPT: Micros = DAY
"""Rows of nodes that are gone are kept so long: of what lies further back nobody knows who was there."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an instant. `code` is one of the table in docs/explain.md; `more` are sentences."""

    instant: Instant
    code: str
    text: str
    more: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict[str, object])

    def plus(self, *more: str, **facts: object) -> Verdict:
        """The same with more to say; empty sentences are left out."""
        said = (*self.more, *(each for each in more if each))
        return Verdict(self.instant, self.code, self.text, said, {**self.facts, **facts})


@dataclass(frozen=True, slots=True)
class Kept:
    """How long runs are kept, in microseconds."""

    succeeded: Micros
    failed: Micros


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known of a schedule and its fleet, whatever the instant."""

    name: str
    now: Instant
    history: History
    kept: Kept
    watermark: Instant | None = None
    created_at: Instant | None = None  #: of a row that is there
    cannot: str | None = None  #: why it cannot follow, by the schedules as they stand together now
    nodes: Sequence[Record] = ()  #: all rows of `nodes`
    paused: frozenset[str] = frozenset()  #: queues
    lanes: Mapping[str, int] = field(default_factory=dict[str, int])
    notes: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """By calendar and ISO date: what people noted there."""


@dataclass(frozen=True, slots=True)
class Fire:
    """What the tables hold about one instant of the schedule."""

    instant: Instant
    rows: Sequence[Record] = ()
    span: Record | None = None  #: a row with `until` that stands for this instant
    attempts: Sequence[Record] = ()  #: earlier ones, of all shards
    upstreams: Mapping[str, Sequence[Record]] = field(default_factory=dict[str, Sequence[Record]])
    others: Sequence[Record] = ()  #: runs of the schedule that were open at the instant, or came after it
    lane_holders: Sequence[Record] = ()
    pauses: Sequence[Record] = ()  #: rows of `activity` about its queue, the newest first


# --- who was there ------------------------------------------------------------------------------


class Gap(NamedTuple):
    """A time without a node: from the last beat to the next start; None: unknown, and not yet."""

    since: Instant | None
    until: Instant | None


def nodes_for(nodes: Sequence[Record], role: str, queue: str | None = None) -> list[Record]:
    """Those with that role, and serving that queue."""
    return [
        node
        for node in nodes
        if role in json.loads(node["roles"]) and (queue is None or queue in json.loads(node["queues"]))
    ]


def gap_at(nodes: Sequence[Record], moment: Instant, now: Instant) -> Gap | None:
    """The gap around a moment in which none of these nodes was there; None: one was, or nobody knows."""
    if moment < now - _NODES_KEPT:
        return None
    spans = sorted((node["started_at"], _last_seen(node, now)) for node in nodes)
    if any(start <= moment <= end for start, end in spans):
        return None
    since = max((end for _, end in spans if end < moment), default=None)
    return Gap(since, min((start for start, _ in spans if start > moment), default=None))


def _last_seen(node: Record, now: Instant) -> Instant:
    """A node that is there and beats is seen now."""
    lease = LEASE_BEATS * node["beat_s"] * SECOND
    here = node["state"] in PRESENT and now - node["beat_at"] <= lease
    return now if here else node["beat_at"]


def span_text(gap: Gap) -> str:
    """`from ... to ...`."""
    until = "now" if gap.until is None else to_text(gap.until)
    return f"until {until}" if gap.since is None else f"from {to_text(gap.since)} to {until}"


def local_day(instant: Instant, timezone: str) -> date:
    """The date of an instant by the clock of a zone."""
    return to_datetime(instant).astimezone(zone(timezone)).date()
