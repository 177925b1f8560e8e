"""The triggers behind `@every`, `@at`, `@after_end` and `@manual`.

APScheduler's own Interval and Date triggers are not used: the first anchors itself at the start of
the process and counts in floats, the second answers with its date even when that is over.
"""

from __future__ import annotations

from leasebeat.model.instant import Instant, Micros
from leasebeat.triggers.trigger import Trigger


class EveryTrigger(Trigger):
    """Fires at `anchor` and every `interval` microseconds of real time after it. A day is 24 hours."""

    __slots__ = ("anchor", "interval")

    def __init__(self, interval: Micros, anchor: Instant = 0) -> None:
        self.interval = interval
        self.anchor = anchor

    def next(self, after: Instant) -> Instant | None:
        """The first multiple of the interval after `after`, never before the anchor."""
        passed = (after - self.anchor) // self.interval
        return self.anchor + max(0, passed + 1) * self.interval


class AtTrigger(Trigger):
    """Fires once."""

    __slots__ = ("instant",)

    def __init__(self, instant: Instant) -> None:
        self.instant = instant

    def next(self, after: Instant) -> Instant | None:
        """The one instant, until it is over."""
        return self.instant if self.instant > after else None


class AfterEndTrigger(Trigger):
    """Fires `delay` microseconds after the last run ended: at no instant that is known beforehand."""

    __slots__ = ("delay",)

    def __init__(self, delay: Micros) -> None:
        self.delay = delay

    def next(self, after: Instant) -> Instant | None:
        """None, always: its instants come from runs, and the auditor opens them."""
        del after


class ManualTrigger(Trigger):
    """Never fires by itself: runs are asked for, or follow others."""

    __slots__ = ()

    def next(self, after: Instant) -> Instant | None:
        """None, always."""
        del after
