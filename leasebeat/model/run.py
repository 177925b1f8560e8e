"""Runs: what became of each fire."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from leasebeat.model.instant import Instant, from_text, to_text


class Status(StrEnum):
    """The life of a run. The same words in SQL, commands and logs."""

    QUEUED = "queued"  #: opened, waits for a slot, a retry or its turn
    RUNNING = "running"  #: a node holds it: (run, attempt) is that node's lease
    SUCCEEDED = "succeeded"  #: the task ended as its schedule calls success
    FAILED = "failed"  #: the task ended otherwise, and no retry is left
    TIMED_OUT = "timed_out"  #: stopped for running longer than `timeout_s`, and no retry is left
    KILLED = "killed"  #: stopped because somebody asked for it
    LOST = "lost"  #: its node went away, and nobody knows how it ended
    SKIPPED = "skipped"  #: not run on purpose: overlap, or a changed definition
    MISSED = "missed"  #: not run because nobody could in time


TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.KILLED, Status.MISSED, Status.LOST, Status.SKIPPED}),
    Status.RUNNING: frozenset(
        {
            Status.QUEUED,  # a retry, or a take-over: the next attempt
            Status.SUCCEEDED,
            Status.FAILED,
            Status.TIMED_OUT,
            Status.KILLED,
            Status.LOST,
        }
    ),
    Status.SUCCEEDED: frozenset(),
    # `retry` reopens what ended otherwise.
    Status.FAILED: frozenset({Status.QUEUED}),
    Status.TIMED_OUT: frozenset({Status.QUEUED}),
    Status.KILLED: frozenset({Status.QUEUED}),
    Status.LOST: frozenset({Status.QUEUED}),
    Status.SKIPPED: frozenset({Status.QUEUED}),
    Status.MISSED: frozenset({Status.QUEUED}),
}
"""Which status may follow which. Every statement that writes `runs.status` keeps to it."""

ENDED = frozenset(Status) - {Status.QUEUED, Status.RUNNING}
"""The statuses of a run that is over."""


class ReasonCode(StrEnum):
    """Why a run is what it is: one word for programs; `runs.reason` has the sentence."""

    OVERLAP = "overlap"  #: skipped: an earlier run of the schedule was still open
    REPLACED = "replaced"  #: skipped or killed: a later fire of the schedule takes its place
    UPSTREAM = "upstream"  #: skipped: what it follows did not end as its after_rule wants
    DEFINITION_CHANGED = "definition_changed"  #: skipped: the newest version no longer has the instant
    MISFIRE = "misfire"  #: missed: found too late, or an older one of several that were
    NO_SLOT = "no_slot"  #: missed: no node with a free slot took it in time
    NO_NODE = "no_node"  #: missed: no live node served the queue
    EXIT_CODE = "exit_code"  #: failed: the exit or HTTP status code is not one of success
    EXCEPTION = "exception"  #: failed: the Python function raised
    SIGNAL = "signal"  #: failed: the process was ended by a signal that was not ours
    START_FAILED = "start_failed"  #: failed: the task could not be started on any node tried
    TIMEOUT = "timeout"  #: timed out
    KILL_REQUESTED = "kill_requested"  #: killed: somebody asked for it
    DRAIN = "drain"  #: handed back or lost: its node was shut down
    NODE_LOST = "node_lost"  #: lost or taken over: its node was purged or left
    LEASE_LOST = "lease_lost"  #: lost or handed back: its node could not renew its lease
    ALREADY_STARTED = "already_started"  #: lost: its host had started it before, and the store forgot
    SCHEDULE_DELETED = "schedule_deleted"  #: killed: its schedule is gone


class RunKey(NamedTuple):
    """The identity of a run: (fire_at, schedule_id, shard), the primary key of `runs`."""

    fire_at: Instant
    schedule_id: int
    shard: int = 0


def key_text(schedule: str, key: RunKey) -> str:
    """The key that people read and type: `backup@2026-11-20T03:00:00Z`, shard 3 `...Z#3`."""
    shard = f"#{key.shard}" if key.shard else ""
    return f"{schedule}@{to_text(key.fire_at)}{shard}"


def parse_key(text: str) -> tuple[str, Instant, int]:
    """The parts of a text key: schedule name, instant, shard.

    Raises ValueError when `text` is not of the form NAME@INSTANT or NAME@INSTANT#SHARD.
    """
    name, at, rest = text.rpartition("@")
    moment, _, shard = rest.partition("#")
    if not name or not at:
        raise ValueError(f"{text!r} is no run key; expected NAME@INSTANT, like backup@2026-11-20T03:00:00Z")
    return name, from_text(moment), int(shard or 0)


class OutcomeKind(StrEnum):
    """How one attempt ended, as its executor saw it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    KILLED = "killed"  #: stopped on request
    LOST = "lost"  #: stopped because the node's lease lapsed or the node shuts down
    START_FAILED = "start_failed"  #: never began (126, 127, ENOENT, ...): another node may try


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    `output` is the bounded tail of what it printed, as bytes; `output_bytes` the true size.
    """

    kind: OutcomeKind
    exit_code: int | None = None
    reason_code: ReasonCode | None = None
    reason: str = ""
    output: bytes = b""
    output_bytes: int = 0
    result: str | None = None  #: JSON text, at most 64 KiB
