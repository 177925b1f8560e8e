"""Purging dead nodes, and taking back what nobody holds any more.

The purge is only a flip of the node's state, on an unchanged beat counter. Taking back its runs is
a separate step, repeated by any node for as long as there are any: a claim may commit on a node
after its purge (docs/protocol.md, A1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leasebeat.coordination.base import Coordinator
from leasebeat.errors import Duplicate
from leasebeat.gate.base import Gate
from leasebeat.logs import event
from leasebeat.model.instant import to_text
from leasebeat.model.node import Member
from leasebeat.model.run import ReasonCode, RunKey
from leasebeat.model.schedule import Schedule
from leasebeat.node.catalog import Catalog, Entry
from leasebeat.node.loop import AT_ONCE, WOKEN_S, Turn
from leasebeat.node.places import places
from leasebeat.node.standing import Standing
from leasebeat.node.verdict import MOST_TAKE_OVERS
from leasebeat.runtime import Runtime
from leasebeat.store.base import BATCH, DressRow, Orphan, Place, Poll, ReclaimRow, SettleRow, Store, Undressed

_THOROUGH_S = 30.0


class Purge:
    """Works when a poll has shown that there is something to do, and looks around by itself every 30 s."""

    name = "purge"

    def __init__(  # the ports it stands between
        self,
        runtime: Runtime,
        store: Store,
        gate: Gate,
        standing: Standing,
        coordinator: Coordinator,
        catalog: Catalog,
        purged: Callable[[Member], None],
        lost: Callable[[Orphan], None],
    ) -> None:
        self.waiter = runtime.waiter()
        self._runtime = runtime
        self._store = store
        self._gate = gate
        self._standing = standing
        self._coordinator = coordinator
        self._catalog = catalog
        self._purged = purged
        self._lost = lost
        self._seen: Poll | None = None
        self._thorough = float("-inf")
        self.requeued: Callable[[], None] = lambda: None  #: called when runs went back to the queue

    def run_once(self) -> Turn:
        """Purge, take back, sweep: whatever the last poll has shown."""
        poll = self._standing.poll
        if poll is None:
            return Turn(WOKEN_S)
        dead = self._purge_dead()
        took = self._take_back() if dead or self._wants(poll, poll.orphans) or self._thorough_due() else 0
        swept = self._sweep() if self._wants(poll, poll.sweep) else 0
        if took < BATCH:
            self._seen = poll
        if took:
            self.requeued()
            self._gate.notify("queue")
        return AT_ONCE if took >= BATCH else Turn(WOKEN_S, dead + took + swept)

    def _wants(self, poll: Poll, shown: bool) -> bool:
        return shown and poll is not self._seen

    def _purge_dead(self) -> int:
        """Who else may be purging it now: everybody. The flip is a compare-and-swap on its beat counter."""
        count = 0
        for member in self._coordinator.dead(self._runtime.boottime()):
            # ZooKeeper's word is final, three beats or not.
            if self._store.purge(member.id, member.beat_seq, watched=member.czxid is None):
                count += 1
                event(
                    "WARNING",
                    "node_purged",
                    f"{missed(member)}: purged",
                    node=member.name,
                    node_id=member.id,
                )
                self._purged(member)
        return count

    def _thorough_due(self) -> bool:
        return self._runtime.monotonic() - self._thorough >= _THOROUGH_S

    def _take_back(self) -> int:
        thorough = self._thorough_due()
        orphans = self._store.orphans(thorough)
        if thorough:
            self._thorough = self._runtime.monotonic()
        if not orphans:
            return 0
        rows = [_reclaim(orphan) for orphan in sorted(orphans, key=lambda orphan: orphan.key)]
        count = self._store.reclaim(rows)
        again = sum(row.again for row in rows)
        event(
            "WARNING",
            "runs_taken_back",
            "took back runs of nodes that are gone",
            requeued=again,
            runs=len(rows),
        )
        for orphan, row in zip(sorted(orphans, key=lambda orphan: orphan.key), rows, strict=True):
            if not row.again and count == len(rows):
                self._lost(orphan)
        return count

    # queued rows that nobody owns

    def _sweep(self) -> int:
        undressed = self._store.undressed()
        if undressed:
            self._dress(undressed)
        store = self._store
        closed = store.close_killed() + store.close_deleted() + store.close_pinned() + store.expire()
        if undressed:
            self._gate.notify("queue")
        return len(undressed) + closed

    def _dress(self, undressed: Sequence[Undressed]) -> None:
        """Rows put in by hand get what their schedule says; what cannot run ends with the reason."""
        self._catalog.refresh()
        keys = {row.key for row in undressed}
        for key in sorted(keys):
            entry = self._catalog.get(key.schedule_id)
            if entry is None or entry.schedule is None or entry.version.deleted:
                self._settle(key, ReasonCode.DEFINITION_CHANGED, "there is no usable schedule with that id")
            elif key.shard == 0 or key._replace(shard=0) not in keys:  # else dressed with its fire
                self._dress_fire(key, entry, entry.schedule)

    def _dress_fire(self, key: RunKey, entry: Entry, schedule: Schedule) -> None:
        """A row for shard 0 stands for its whole fire, any other for itself.

        Who else may be doing this now: any node that polls. What is dressed already stays as it is.
        """
        every = places(schedule, key.fire_at, self._standing.ranking)
        found = [place for place in every if place.shard == key.shard] if key.shard else every
        if not found and schedule.route == "all" and not key.shard:
            self._settle(key, ReasonCode.NO_NODE, "no live node served the queue", "missed")
            return
        if not found:
            reason = f"the schedule has no shard {key.shard}: it has {schedule.shards}, from 0"
            self._settle(key, ReasonCode.DEFINITION_CHANGED, reason)
            return
        if len(found) > 1:
            self._store.fan_out(key, found[1:])
        rows = [_dressed(key._replace(shard=place.shard), entry, place, len(every)) for place in found]
        try:
            self._store.dress(rows)
        except Duplicate:
            self._dress_one_by_one(rows)

    def _dress_one_by_one(self, rows: Sequence[DressRow]) -> None:
        for row in rows:
            try:
                self._store.dress([row])
            except Duplicate:
                self._settle(row.key, ReasonCode.OVERLAP, self._in_the_way(row.serial or ""))

    def _in_the_way(self, serial: str) -> str:
        """Who else may be doing something now: the holder, which may end before it is asked for."""
        holder = self._store.holder(serial)
        return f"the run of {to_text(holder.fire_at)} is still open" if holder else "another run was open"

    def _settle(self, key: RunKey, code: ReasonCode, reason: str, status: str = "skipped") -> None:
        self._store.settle([SettleRow(key, status, code, reason)])


def missed(member: Member) -> str:
    """By what a node was found to be dead."""
    return "missed three beats" if member.czxid is None else "its znode is gone"


def _dressed(key: RunKey, entry: Entry, place: Place, shards: int) -> DressRow:
    schedule = entry.schedule
    assert schedule is not None
    return DressRow(
        key=key,
        version=entry.version.runs_as,
        queue=schedule.queue,
        priority=schedule.priority,
        serial=place.serial,
        waits=schedule.overlap in ("wait", "replace"),
        lane=schedule.lane,
        shards=shards,
        pinned_node_id=place.pinned_node_id,
    )


def _reclaim(orphan: Orphan) -> ReclaimRow:
    # Only `fail` and `finish` have their start written before the process begins.
    rerun = orphan.on_node_loss == "rerun"
    again = orphan.take_overs < MOST_TAKE_OVERS if rerun else not orphan.started
    reason = f"node gone: {orphan.node_id}"
    if orphan.route == "all":  # its run was for that node alone
        return ReclaimRow(orphan.key, orphan.attempt, orphan.node_id, False, f"{reason}; route is all")
    if rerun and not again:
        reason += f"; taken over {orphan.take_overs} times without an outcome"
    return ReclaimRow(orphan.key, orphan.attempt, orphan.node_id, again, reason)
