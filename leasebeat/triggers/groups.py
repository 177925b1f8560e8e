"""Which schedules are due: a heap of (next instant, group of schedules with one trigger).

Ten thousand rows with `0 3 * * *` are one group: one evaluation of the trigger, and one entry with
ten thousand schedules when it is due. Belongs to one thread; has no clock.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from leasebeat.model.instant import Instant
from leasebeat.triggers.trigger import Trigger


class Due(NamedTuple):
    """The schedules that fire at one instant, in the order of their ids."""

    instant: Instant
    schedule_ids: tuple[int, ...]


@dataclass(slots=True)
class _Group:
    key: Hashable
    trigger: Trigger
    number: int
    at: Instant | None = None  #: its next instant; None = never again
    served: Instant | None = None  #: the last instant it gave, or let go
    members: dict[int, Instant] = field(default_factory=dict[int, Instant])  #: id -> fires after this

    def take(self, instant: Instant) -> list[int]:
        """The members that fire at its next instant; it moves on to the one after."""
        self.pass_by(instant)
        return [schedule_id for schedule_id, after in self.members.items() if after < instant]

    def pass_by(self, instant: Instant) -> None:
        self.served = instant
        self.at = self.trigger.next(instant)

    def admit(self, schedule_id: int, after: Instant) -> None:
        """Take in a member. The group goes back for it if it has already given what that one is owed."""
        if self.served is not None and after < self.served:
            for other, since in self.members.items():
                self.members[other] = max(since, self.served)
            self.served = after
        self.members[schedule_id] = after
        first = self.trigger.next(after)
        if first is not None and (self.at is None or first < self.at):
            self.at = first


class TriggerGroups:
    """The schedules that a node holds, by when they fire next."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, _Group] = {}
        self._group_of: dict[int, _Group] = {}
        self._heap: list[tuple[Instant, int, _Group]] = []
        self._numbers = 0

    def __len__(self) -> int:
        """How many schedules there are."""
        return len(self._group_of)

    def put(self, schedule_id: int, key: Hashable, trigger: Trigger, after: Instant) -> None:
        """Add a schedule, or move it: it fires at the instants of `trigger` strictly after `after`.

        Equal keys promise equal triggers.
        """
        self.remove(schedule_id)
        group = self._groups.get(key)
        if group is None:
            self._numbers += 1
            group = self._groups[key] = _Group(key, trigger, self._numbers)
        before = group.at
        group.admit(schedule_id, after)
        self._group_of[schedule_id] = group
        if group.at != before:
            self._push(group)

    def remove(self, schedule_id: int) -> None:
        """Forget a schedule; nothing happens if it is not there."""
        group = self._group_of.pop(schedule_id, None)
        if group is None:
            return
        del group.members[schedule_id]
        if not group.members:
            del self._groups[group.key]
            group.at = None

    def due(self, now: Instant, not_before: Instant, limit: int) -> list[Due]:
        """What is due at `now`, oldest first: at most `limit` instants; ask again for more.

        Each is given once. Instants older than `not_before` are let go without being walked one by
        one: whoever was away so long leaves them to the audit.
        """
        found: list[Due] = []
        while len(found) < limit and (instant := self.next_instant()) is not None and instant <= now:
            if instant < not_before:
                self._let_go(not_before)
            elif ids := self._take(instant):
                found.append(Due(instant, tuple(sorted(ids))))
        return found

    def next_instant(self) -> Instant | None:
        """When something is due next; None when nothing ever is."""
        while self._heap and self._heap[0][2].at != self._heap[0][0]:
            heapq.heappop(self._heap)  # its group moved or is gone since this was written
        return self._heap[0][0] if self._heap else None

    def _take(self, instant: Instant) -> list[int]:
        ids: list[int] = []
        while self.next_instant() == instant:
            group = heapq.heappop(self._heap)[2]
            ids += group.take(instant)
            self._push(group)
        return ids

    def _let_go(self, not_before: Instant) -> None:
        group = heapq.heappop(self._heap)[2]
        group.pass_by(not_before - 1)
        self._push(group)

    def _push(self, group: _Group) -> None:
        if group.at is not None:
            heapq.heappush(self._heap, (group.at, group.number, group))
        if len(self._heap) > 2 * len(self._groups) + 64:
            self._heap = [
                (each.at, each.number, each) for each in self._groups.values() if each.at is not None
            ]
            heapq.heapify(self._heap)
