"""Runs as records and as lines of a table; the parts of a fire as one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from leasebeat.cli.output import Column, plain
from leasebeat.explain.present import WORST
from leasebeat.model.instant import SECOND, to_text
from leasebeat.model.run import RunKey, Status, key_text
from leasebeat.store.session import Record

if TYPE_CHECKING:
    from leasebeat.store.desk import Desk

__all__ = ["RUN_COLUMNS", "fire_records", "parts_record", "run_cells", "run_record"]

RUN_COLUMNS = [
    Column("KEY", "fold"),
    Column("STATUS"),
    Column("NODE", "cut"),
    Column("TOOK", right=True),
    Column("REASON", "cut"),
]

_MOST_ROWS = 100_000
_OF_ONE_PART = (
    "node",
    "node_id",
    "pinned_node_id",
    "exit_code",
    "result",
    "reason_code",
    "serial",
    "serial_held",
)
"""What each part of a fire has for itself."""


def run_record(row: Record) -> dict[str, object]:
    """A run as JSON has it."""
    key = RunKey(row["fire_at"], row["schedule_id"], row["shard"])
    return plain(row) | {"key": key_text(row["schedule"], key)}


def run_cells(record: Mapping[str, Any]) -> list[object]:
    """The cells of a run, or of a fire, under `RUN_COLUMNS`."""
    duration = record["duration_s"]
    took = None if duration is None else f"{duration:.1f}s"
    # What a running one has there is how the attempt before it ended.
    again = record["status"] == Status.RUNNING and record["node"] and record["attempt"] > 1
    why = record["reason"] or record["reason_code"]
    told = f"attempt {record['attempt']}; before: {why}" if again and why else why
    return [record["key"], record["status"], record["node"], took, told]


def fire_records(desk: Desk, look: Callable[[int], Sequence[Record]], count: int) -> list[dict[str, object]]:
    """The newest `count` fires of what `look` finds, the newest first, each as one."""
    asked = count
    while True:
        rows = look(asked)
        fires = {(row["fire_at"], row["schedule_id"]): row for row in reversed(rows)}
        if len(fires) >= count or len(rows) < asked or asked >= _MOST_ROWS:
            break
        asked = min(_MOST_ROWS, asked * 4)
    newest = sorted(fires.values(), key=lambda row: (row["fire_at"], row["schedule_id"]), reverse=True)
    return [parts_record(desk, row) if row["shards"] > 1 else run_record(row) for row in newest[:count]]


def parts_record(desk: Desk, row: Record) -> dict[str, object]:
    """All parts of the fire of a run as one."""
    parts = desk.parts(row["schedule_id"], row["fire_at"])
    counts = {Status(part["status"]): part["parts"] for part in parts}
    whole, done = max(part["shards"] for part in parts), counts.get(Status.SUCCEEDED, 0)
    others = [f"{counts[status]} {status}" for status in WORST if status in counts and status != "succeeded"]
    began = min((part["started_at"] for part in parts if part["started_at"] is not None), default=None)
    ended = [part["finished_at"] for part in parts]
    over = began is not None and all(end is not None for end in ended)
    return run_record({**row, "shard": 0}) | {
        "status": str(min(counts, key=WORST.index)),
        **dict.fromkeys(_OF_ONE_PART),
        "finished_at": to_text(max(ended)) if over else None,
        "duration_s": (max(ended) - began) / SECOND if over and began is not None else None,
        "reason": ", ".join([f"{done}/{whole} succeeded", *others]),
    }
