"""What every trigger is: a pure function from one instant to the next.

A trigger keeps no clock, no state and no host setting, so that every node computes the same fires.
Triggers are APScheduler triggers (they work in its schedulers too), with three habits of that
library left out: nothing starts counting at "now", nothing is random, nothing is a float.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime

from apscheduler.triggers.base import BaseTrigger

from leasebeat.model.instant import Instant, from_datetime, to_datetime


class Trigger(BaseTrigger):
    """When a schedule fires. Safe to share between threads."""

    __slots__ = ()

    @abstractmethod
    def next(self, after: Instant) -> Instant | None:
        """The first instant strictly after `after`; None when there is none any more."""

    def get_next_fire_time(  # pyright: ignore[reportIncompatibleMethodOverride] - untyped there
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        """APScheduler's question: what follows the previous fire, or, before the first, `now` inclusive."""
        after = from_datetime(now) - 1 if previous_fire_time is None else from_datetime(previous_fire_time)
        found = self.next(after)
        return None if found is None else to_datetime(found)


def instants(trigger: Trigger, after: Instant, until: Instant, limit: int) -> list[Instant]:
    """The instants of (after, until], oldest first, at most `limit` of them."""
    found: list[Instant] = []
    while len(found) < limit:
        instant = trigger.next(after)
        if instant is None or instant > until:
            break
        found.append(instant)
        after = instant
    return found
