"""From a schedule to its trigger."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from leasebeat.errors import ExpressionError
from leasebeat.model.instant import Instant, Micros, from_seconds
from leasebeat.model.schedule import Dst, Schedule
from leasebeat.triggers.calendars import CalendarTrigger, Days, days_of
from leasebeat.triggers.language import parse, resolved
from leasebeat.triggers.trigger import Trigger
from leasebeat.triggers.words import AfterEndTrigger
from leasebeat.triggers.zones import zone


class TriggerKey(NamedTuple):
    """All that shapes the instants of a schedule. Equal keys share one trigger."""

    cron: str
    timezone: str
    anchor: Instant | None
    dst: Dst
    days: Days | None


def trigger_key(schedule: Schedule) -> TriggerKey:
    """The key of a schedule. `starts_at` belongs to it only where instants are counted from there.

    Of its name only what `H` stands for belongs to it, so that equal times share a trigger.
    """
    counted = schedule.cron.lstrip().lower().startswith("@every")
    return TriggerKey(
        cron=resolved(schedule.cron, schedule.name),
        timezone=schedule.timezone,
        anchor=schedule.starts_at if counted else None,
        dst=schedule.dst,
        days=days_of(schedule.calendar_days) if schedule.calendar_days else None,
    )


def trigger_for(schedule: Schedule) -> Trigger:
    """The trigger of a schedule, shared with all of the same key. Raises ExpressionError."""
    return _trigger(trigger_key(schedule))


def after_end_delay(schedule: Schedule) -> Micros | None:
    """How long after the end of its last run a schedule fires; None where instants are known beforehand.

    Raises ExpressionError.
    """
    trigger = trigger_for(schedule)
    return trigger.delay if isinstance(trigger, AfterEndTrigger) else None


def in_window(schedule: Schedule, instant: Instant) -> bool:
    """Whether an instant lies in [starts_at, ends_at) of a schedule."""
    if schedule.starts_at is not None and instant < schedule.starts_at:
        return False
    return schedule.ends_at is None or instant < schedule.ends_at


def jitter_of(schedule: Schedule) -> Micros:
    """How long after its instants a schedule starts: always the same for a name, in [0, jitter_s)."""
    most = from_seconds(schedule.jitter_s)
    return int.from_bytes(blake2b(schedule.name.encode(), digest_size=8).digest()) % most if most else 0


@lru_cache(maxsize=1024)
def _trigger(key: TriggerKey) -> Trigger:
    trigger = parse(key.cron, timezone=key.timezone, starts_at=key.anchor, dst=key.dst)
    if key.days is None:
        return trigger
    if isinstance(trigger, AfterEndTrigger):
        raise ExpressionError(
            f"cron {key.cron!r} has a calendar, but its instants follow its own runs; expected no calendar"
        )
    return CalendarTrigger(trigger, zone(key.timezone), key.days)
