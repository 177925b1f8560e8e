"""`doctor`: what is wrong with this installation, and what to do about it.

Each check is a small function that looks and gives one `Finding`. What the store must be like is
checked by `store.schema`, which workers ask at their start, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from leasebeat.model.instant import SECOND, Instant, to_text
from leasebeat.settings import Settings
from leasebeat.store.session import Record

__all__ = ["Finding", "doctor"]

OFFSET_MS = 1000.0
"""How far clocks may be apart before people will misread logs; leases do not care."""

LATE_S = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one check. `advice` says what to do where it is not ok."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def clock_offset(store: Instant, host: Instant) -> Finding:
    """Whether this host and the store agree on the time."""
    offset_ms = (store - host) / 1000
    return Finding(
        "clock offset",
        abs(offset_ms) <= OFFSET_MS,
        f"the store is {offset_ms:+.0f} ms from this host",
        "run a time service (chrony) on both; leases are safe, but the times in logs mislead",
    )


def node_clocks(nodes: Sequence[Record]) -> Finding:
    """Whether the nodes and the store agree on the time."""
    off = [f"{node['name']} {node['clock_offset_ms']:+.0f} ms" for node in nodes]
    far = [text for text, node in zip(off, nodes, strict=True) if abs(node["clock_offset_ms"]) > OFFSET_MS]
    return Finding(
        "clocks of nodes",
        not far,
        ", ".join(far) or f"{len(nodes)} nodes within {OFFSET_MS:g} ms",
        "run a time service (chrony) on these hosts",
    )


def time_zone_data(own: str, nodes: Sequence[Record]) -> Finding:
    """Whether all nodes know the same time zone rules."""
    releases = Counter(str(node["tzdata"]) for node in nodes)
    held = ", ".join(f"{release} on {count}" for release, count in sorted(releases.items()))
    return Finding(
        "tzdata",
        set(releases) <= {own},
        f"{own} here; nodes: {held or 'none'}",
        "install the same tzdata package on every node: they must agree on every instant",
    )


def definitions(nodes: Sequence[Record]) -> Finding:
    """Whether all nodes hold the same versions of the schedules."""
    digests = Counter(str(node["digest"]) for node in nodes if node["digest"])
    return Finding(
        "definitions held",
        len(digests) <= 1,
        f"{len(digests)} different sets on {digests.total()} nodes",
        "wait for three beats and look again; if it stays, restart the nodes that are few",
    )


def live_nodes(nodes: Sequence[Record]) -> Finding:
    """Whether anybody runs schedules."""
    live = [str(node["name"]) for node in nodes if node["state"] == "live"]
    return Finding("live nodes", bool(live), f"{len(live)} of {len(nodes)} nodes", "start `python worker.py`")


def auditor(role: Record | None, now: Instant, any_live: bool) -> Finding:
    """Whether somebody checks that every due fire has its row."""
    if role is None:
        return Finding(
            "roles row", False, "no row `auditor` in `roles`", "run `python scheduler.py init` again"
        )
    expires = role["expires_at"]
    held = role["holder"] is not None and expires is not None and expires > now
    watermark = "never" if role["watermark"] is None else to_text(role["watermark"])
    return Finding(
        "roles row",
        held or not any_live,
        f"term {role['term']}, {'held' if held else 'not held'}, watermark {watermark}",
        "no live node holds the role: look for `action=audit` in the logs of the nodes",
    )


def queues(schedules: Sequence[Record], nodes: Sequence[Record], served: Sequence[frozenset[str]]) -> Finding:
    """Whether each queue in use has a live node."""
    live = {q for node, names in zip(nodes, served, strict=True) if node["state"] == "live" for q in names}
    bare = sorted({str(row["queue"]) for row in schedules if row["enabled"]} - live)
    return Finding(
        "queues without a node",
        not bare,
        ", ".join(bare) or "none",
        "start a worker with --queues, or change the `queue` of these schedules",
    )


def pinned(schedules: Sequence[Record], nodes: Sequence[Record]) -> Finding:
    """Whether nodes that schedules are pinned to are live."""
    wanted = {
        str(row["route"])[5:] for row in schedules if row["enabled"] and str(row["route"]).startswith("node:")
    }
    gone = sorted(wanted - {str(node["name"]) for node in nodes if node["state"] == "live"})
    return Finding(
        "pinned names not live",
        not gone,
        ", ".join(gone) or "none",
        "start these nodes, or change the `route`",
    )


def problems(schedules: Sequence[Record]) -> Finding:
    """Whether every row can be used."""
    broken = [str(row["name"]) for row in schedules if row["problem"]]
    return Finding(
        "problem rows", not broken, ", ".join(broken) or "none", "`leasebeat show NAME` says what is wrong"
    )


def shared_user(schedules: Sequence[Record], settings: Settings) -> Finding:
    """Whether tasks run as the user who can read the worker's passwords."""
    sharing = [row for row in schedules if row["enabled"] and row["kind"] != "http" and not row["run_as"]]
    secret = bool(settings.secrets())
    return Finding(
        "tasks sharing the worker's uid",
        not (secret and sharing),
        f"{len(sharing)} schedules without `run_as`; the settings {'hold' if secret else 'hold no'} passwords",
        "such tasks can read what the worker can: give them a `run_as` and list it in [node] allow_users",
    )


def late(runs: Sequence[Record], now: Instant) -> Finding:
    """Whether queued runs wait that should have started."""
    waiting = [row for row in runs if row["ready_at"] < now - LATE_S * SECOND]
    oldest = min((row["ready_at"] for row in waiting), default=None)
    return Finding(
        f"due > {LATE_S} s and not started",
        not waiting,
        f"{len(waiting)} runs" + (f", the oldest since {to_text(oldest)}" if oldest else ""),
        "look for free slots (`leasebeat nodes`), paused queues and queues without a node",
    )
