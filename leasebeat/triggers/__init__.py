"""When schedules fire: pure functions of text, zone and instant, the same on every node."""

from leasebeat.triggers.groups import Due, TriggerGroups
from leasebeat.triggers.language import parse
from leasebeat.triggers.schedules import (
    TriggerKey,
    after_end_delay,
    in_window,
    jitter_of,
    trigger_for,
    trigger_key,
)
from leasebeat.triggers.trigger import Trigger, instants
from leasebeat.triggers.zones import tzdata_version

__all__ = [
    "Due",
    "Trigger",
    "TriggerGroups",
    "TriggerKey",
    "after_end_delay",
    "in_window",
    "instants",
    "jitter_of",
    "parse",
    "trigger_for",
    "trigger_key",
    "tzdata_version",
]
