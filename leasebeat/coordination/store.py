"""Coordination by the store: a node is dead once it has been *watched* standing still for a lease.

The store's time only pre-selects. What convicts is this node's own CLOCK_BOOTTIME over looks that
were all answered, no more than a beat and a half apart: so after an outage, a pause of this node or
a jump of the store's clock nobody living is declared dead, and a purge always comes later than the
moment at which the purged node stopped trusting itself (docs/protocol.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leasebeat.coordination.base import Trust
from leasebeat.model.node import Member, NodeFacts
from leasebeat.model.tuning import Tuning

_GAP_BEATS = 1.5
"""Looks further apart than this many beats of the watched node start its watch again."""


@dataclass(slots=True)
class _Watch:
    member: Member
    since: float
    last: float


class StoreCoordinator:
    """Watches the members that the polls show. Belongs to the membership thread."""

    name = "store"
    present = True  #: what its row says, its own beat finds out
    turns = None  #: the polls show all there is

    def __init__(self) -> None:
        self._watched: dict[str, _Watch] = {}

    def bind(self, trust: Trust, noticed: Callable[[], None], tuned: Callable[[Tuning], None]) -> None:
        """The beats alone say how long the node is trusted."""

    def enter(self, facts: NodeFacts) -> None:
        """The row says it all."""

    def evict(self, name: str) -> None:
        """There is nothing but the row."""

    def leave(self) -> None:
        """The row says it all."""

    def close(self) -> None:
        """Nothing is open."""

    def look(self, members: Sequence[Member], at: float) -> None:
        """Take in one look at `nodes`, answered at `at` (CLOCK_BOOTTIME, seconds)."""
        seen: dict[str, _Watch] = {}
        for member in members:
            watch = self._watched.get(member.id)
            if watch is None or _moved(watch, member, at):
                # Counted from this answer. The beat that it shows was committed before, nobody knows how
                # long before, and so the wait can only be too long.
                watch = _Watch(member, at, at)
            seen[member.id] = _Watch(member, watch.since, at)
        self._watched = seen

    def missed_look(self) -> None:
        """A look failed: whatever was watched before it counts no more."""
        self._watched = {}

    def dead(self, at: float) -> list[Member]:
        """The members watched standing still for a whole lease, that the store's clock calls stale, too."""
        return [
            watch.member
            for watch in self._watched.values()
            if watch.member.stale
            and watch.last - watch.since >= watch.member.lease_s
            and at - watch.last < 1.0
        ]

    def may_lead(self) -> bool:
        """Any node may try for the auditor's role."""
        return True

    def withdraw(self) -> None:
        """The role's lease runs out by itself."""


def _moved(watch: _Watch, member: Member, at: float) -> bool:
    return member.beat_seq != watch.member.beat_seq or at - watch.last > _GAP_BEATS * member.beat_s
