"""Rows for fires that nobody has claimed: what the audit finds missing, and followers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from leasebeat.model.instant import Instant, Micros, from_seconds
from leasebeat.model.run import ReasonCode, RunKey
from leasebeat.model.schedule import Schedule
from leasebeat.node.catalog import Entry
from leasebeat.store.base import BATCH, OpenRow, Place

PULLED_GRACE: Micros = from_seconds(5)
"""A run that is always born queued is given this long at least to be pulled."""


def grace(schedule: Schedule) -> Micros:
    """How long after it is ready a run may begin."""
    pulled = (
        schedule.route in ("any", "all")
        or schedule.lane is not None
        or schedule.shards > 1
        or schedule.jitter_s > 0
        or bool(schedule.after)
    )
    return max(from_seconds(schedule.misfire_grace_s), PULLED_GRACE if pulled else 0)


def what_changed(newest: Entry | None) -> str | None:
    """How the newest version differs so that nothing of the schedule may be opened any more."""
    if newest is None or newest.version.deleted:
        return "the schedule was deleted before the run was opened"
    if not newest.version.enabled:
        return "the schedule was paused before the run was opened"
    if newest.schedule is None:
        return "the schedule's row cannot be used any more"
    return None


def open_rows(
    newest: Entry | None,
    fire_at: Instant,
    status: str,
    code: str | None = None,
    reason: str | None = None,
    *,
    schedule_id: int | None = None,
    delay: Micros = 0,
    overlap: str | None = None,
    found: Sequence[Place] = (),
    until: Instant | None = None,
    missed_count: int | None = None,
) -> list[OpenRow]:
    """The rows of a fire: one for each place where it is queued, a single one where it is over already."""
    schedule = newest.schedule if newest else None
    if status == "queued" and not found:
        status, code, reason = "missed", ReasonCode.NO_NODE, "no live node served the queue"
    lying = list(found) if status == "queued" else [Place(0, None, None)]
    return [
        OpenRow(
            key=RunKey(fire_at, newest.version.schedule_id if newest else schedule_id or 0, place.shard),
            version=newest.version.id if newest and not newest.version.deleted else None,
            status=status,
            reason_code=code,
            reason=reason,
            queue=schedule.queue if schedule else "default",
            priority=schedule.priority if schedule else 0,
            delay=delay,
            grace=grace(schedule) if schedule else 0,
            serial=place.serial,
            overlap=overlap or (schedule.overlap if schedule else "allow"),
            until=until,
            missed_count=missed_count,
            lane=schedule.lane if schedule and status == "queued" else None,
            shards=len(lying),
            pinned_node_id=place.pinned_node_id,
        )
        for place in lying
    ]


def one_of_each_serial(rows: Sequence[OpenRow]) -> Iterator[list[OpenRow]]:
    """Batches in key order, in each at most one row that wants a given serial; a fire is never cut."""
    batch: list[OpenRow] = []
    serials: set[str] = set()
    for fire in _by_fire(rows):
        wanted = {row.serial for row in fire if row.serial is not None}
        if batch and (len(batch) + len(fire) > BATCH or serials & wanted):
            yield batch
            batch, serials = [], set()
        batch += fire
        serials |= wanted
    if batch:
        yield batch


def _by_fire(rows: Sequence[OpenRow]) -> Iterator[list[OpenRow]]:
    fire: list[OpenRow] = []
    for row in sorted(rows, key=lambda row: row.key):
        if fire and fire[0].key[:2] != row.key[:2]:
            yield fire
            fire = []
        fire.append(row)
    if fire:
        yield fire
