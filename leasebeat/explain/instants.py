"""The instants that a schedule had, by the versions that were in force. Pure.

Also those that it would have had, were it not paused, or outside its window, or left out by a calendar
or a change of the clocks: they are what people ask about.
"""

from __future__ import annotations

from leasebeat.explain.reigns import History, Reign, previous
from leasebeat.model.instant import Instant
from leasebeat.triggers import Trigger, instants

__all__ = ["had", "last_had"]


def had(history: History, begin: Instant, end: Instant, limit: int) -> list[Instant]:
    """The instants of [begin, end], oldest first; of more than `limit` the first ones."""
    found: list[Instant] = []
    for reign in history.reigns:
        after = max(reign.since, begin - 1)
        until = end if reign.until is None else min(end, reign.until)
        if after < until and len(found) < limit:
            found += sorted({at for each in _triggers(reign) for at in instants(each, after, until, limit)})
    return found[:limit]


def last_had(history: History, moment: Instant) -> Instant | None:
    """The last one up to a moment."""
    for reign in reversed(history.reigns):
        end = moment if reign.until is None else min(moment, reign.until)
        found = [at for each in _triggers(reign) if (at := previous(each, end + 1)) is not None]
        if found and max(found) > reign.since:
            return max(found)
    return None


def _triggers(reign: Reign) -> list[Trigger]:
    both = () if reign.deleted else (reign.trigger, reign.bare, reign.generous)
    return [each for each in both if each is not None]
