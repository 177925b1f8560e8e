"""From a schedule to its trigger."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from leasebeat.model.instant import Instant, Micros, from_seconds
from leasebeat.model.schedule import Schedule
from leasebeat.triggers.language import parse
from leasebeat.triggers.trigger import Trigger


class TriggerKey(NamedTuple):
    """All that shapes the instants of a schedule. Equal keys share one trigger."""

    cron: str
    timezone: str
    anchor: Instant | None


def trigger_key(schedule: Schedule) -> TriggerKey:
    """The key of a schedule. `starts_at` belongs to it only where instants are counted from there."""
    counted = schedule.cron.lstrip().lower().startswith("@every")
    return TriggerKey(schedule.cron, schedule.timezone, schedule.starts_at if counted else None)


def trigger_for(schedule: Schedule) -> Trigger:
    """The trigger of a schedule, shared with all of the same key. Raises ExpressionError."""
    return _trigger(trigger_key(schedule))


def in_window(schedule: Schedule, instant: Instant) -> bool:
    """Whether an instant lies in [starts_at, ends_at) of a schedule."""
    if schedule.starts_at is not None and instant < schedule.starts_at:
        return False
    return schedule.ends_at is None or instant < schedule.ends_at


def jitter_of(schedule: Schedule) -> Micros:
    """How long after its instants a schedule starts: always the same for a name, in [0, jitter_s)."""
    most = from_seconds(schedule.jitter_s)
    drawn = int.from_bytes(blake2b(schedule.name.encode(), digest_size=8).digest())
    return drawn % most if most else 0


@lru_cache(maxsize=1024)
def _trigger(key: TriggerKey) -> Trigger:
    return parse(key.cron, timezone=key.timezone, starts_at=key.anchor)
