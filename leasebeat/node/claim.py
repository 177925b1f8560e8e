"""Opening the fires of one instant: gate, claim, and finding out what became of the rest.

    gate        SET NX for all of them in one call; a "no" ends it here, an error goes on to the store
    claim       one INSERT of all fires of one shard; as many rows as were sent: all are ours
    claim_rest  the others: fires of several shards, each whole, and rows whose serial an open run wants
    then        `claim_answer` says of each row whose it is, or why it is not there

What may still be ours is opened again, at most `MOST_TRIES` times: `early` when the store's clock
is there, `stale` after reading the row again, `again` at once. What is left is the audit's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from leasebeat import faults
from leasebeat.errors import Busy, GateUnavailable, Unknown
from leasebeat.gate.base import Gate
from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.model.run import RunKey
from leasebeat.model.schedule import Schedule
from leasebeat.node.catalog import Catalog, Entry, entry_of
from leasebeat.node.dispatch import Dispatch, Grant
from leasebeat.node.opening import grace
from leasebeat.node.places import places
from leasebeat.node.standing import Standing
from leasebeat.store.base import BATCH, Answer, ClaimAnswer, Claimed, ClaimRow, Place, Store
from leasebeat.triggers import jitter_of

MOST_TRIES = 4

_POLL_AGE: Micros = 3 * SECOND
"""A run is born running only on a node that has looked around so lately; else queued, and pulled."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Fires of one instant that this node means to open. `passed` = the gate has said yes already."""

    fire_at: Instant
    schedule_ids: tuple[int, ...]
    tries: int = 0
    passed: bool = False


Later = tuple[Micros, Opening]
"""Open it again after that long."""


class Claimer:
    """Used by the due service's thread alone."""

    def __init__(  # the ports it stands between
        self,
        store: Store,
        gate: Gate,
        standing: Standing,
        catalog: Catalog,
        dispatch: Dispatch,
        queued: Callable[[Instant], None],
    ) -> None:
        self._store = store
        self._gate = gate
        self._standing = standing
        self._catalog = catalog
        self._dispatch = dispatch
        self._runs_as: dict[int, int] = {}  #: of the versions in the claim that is being made
        self._queued = queued  #: called when rows were born queued, with when they are ready

    def open(self, opening: Opening) -> list[Later]:
        """Try to open them; what should be tried again, and when.

        Raises Unavailable and Unknown (a read-back failed too): then nothing is known of them, and
        rows that were inserted all the same are found by this node's next look at its own rows.
        """
        later: list[Later] = []
        node_id = self._standing.node_id
        if node_id is None:
            return later
        faults.point("after_tick")
        ids = opening.schedule_ids if opening.passed else self._ask_gate(opening, node_id)
        for part in self._batches(ids):
            later += self._open_batch(node_id, replace(opening, schedule_ids=part))
        return later

    def _batches(self, ids: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """At most BATCH rows at a time; a fire is never cut."""
        part: list[int] = []
        size = 0
        for schedule_id in ids:
            more = self._shards(schedule_id)
            if part and size + more > BATCH:
                yield tuple(part)
                part, size = [], 0
            part.append(schedule_id)
            size += more
        if part:
            yield tuple(part)

    def _shards(self, schedule_id: int) -> int:
        entry = self._catalog.get(schedule_id)
        schedule = entry.schedule if entry else None
        if schedule is None or schedule.route != "all":
            return schedule.shards if schedule else 1
        return len(places(schedule, 0, self._standing.ranking)) or 1

    def _open_batch(self, node_id: str, opening: Opening) -> list[Later]:
        due = self._due(self._entries(opening.schedule_ids, opening), opening.fire_at)
        faults.point("after_gate")
        rows = self._rows(node_id, opening.fire_at, due)
        if not rows:
            return []
        answers: list[ClaimAnswer] = []
        asked = self._dispatch.asking()
        try:
            answers = self._claim(node_id, opening.fire_at, rows)
        finally:
            self._settle(node_id, opening.fire_at, rows, answers, asked)
        return self._again(opening, answers)

    def _entries(self, ids: Sequence[int], opening: Opening) -> list[Entry]:
        """Those that still have the instant: an edit may have been read since the heap gave it."""
        found = [entry for schedule_id in ids if (entry := self._catalog.get(schedule_id)) is not None]
        fire_at = opening.fire_at
        # Schedules with one trigger text share one trigger: it is asked once for all of them.
        triggers = {entry.trigger for entry in found if entry.trigger is not None}
        on_time = {trigger for trigger in triggers if trigger.next(fire_at - 1) == fire_at}
        return [entry for entry in found if entry.trigger in on_time and entry.runs_at(fire_at)]

    def _ask_gate(self, opening: Opening, node_id: str) -> list[int]:
        """Those that nobody else has. Without an answer the store decides alone."""
        fires = [RunKey(opening.fire_at, schedule_id) for schedule_id in opening.schedule_ids]
        try:
            won = self._gate.ask(fires, node_id)
        except GateUnavailable:
            return list(opening.schedule_ids)
        return [schedule_id for schedule_id, yes in zip(opening.schedule_ids, won, strict=True) if yes]

    def _rows(self, node_id: str, fire_at: Instant, due: Sequence[tuple[Entry, int]]) -> list[ClaimRow]:
        """A row for each shard, running for as many as there are free slots, queued for the rest.

        A fire for all nodes of a queue that has none is left to the audit, which says so.
        """
        self._runs_as = {entry.version.id: entry.version.runs_as for entry, _ in due}
        ranking = self._standing.ranking
        shared = [(entry, in_force, places(_schedule(entry), fire_at, ranking)) for entry, in_force in due]
        paused = self._paused()
        wanted = Counter[str]()
        for entry, _, found in shared:
            schedule = _schedule(entry)
            if paused is not None and schedule.queue not in paused and self._runs_at_once(schedule):
                wanted[schedule.queue] += sum(place.pinned_node_id in (None, node_id) for place in found)
        room = {queue: self._dispatch.reserve(queue, count) for queue, count in wanted.items()}
        rows: list[ClaimRow] = []
        for entry, in_force, found in shared:
            schedule = _schedule(entry)
            at_once = room.get(schedule.queue, 0) > 0 and self._runs_at_once(schedule)
            for place in found:
                run = at_once and room[schedule.queue] > 0 and place.pinned_node_id in (None, node_id)
                room[schedule.queue] = room.get(schedule.queue, 0) - run
                rows.append(_claim_row(schedule, entry.version.id, in_force, place, len(found), run))
        return rows

    def _paused(self) -> frozenset[str] | None:
        """The paused queues; None on a node that has not looked around lately, which knows of none."""
        poll = self._standing.poll
        if poll is None or self._standing.clock.now() - poll.now > _POLL_AGE:
            return None
        return poll.paused | self._standing.paused_queues

    def _runs_at_once(self, schedule: Schedule) -> bool:
        """Whether its runs may be born running on this node; what may not is pulled, here or elsewhere."""
        return (
            schedule.route != "any"
            and schedule.lane is None
            and not schedule.jitter_s
            and schedule.node_name in (None, self._standing.facts.name)
        )

    def _due(self, entries: Sequence[Entry], fire_at: Instant) -> list[tuple[Entry, int]]:
        """Each with the version in force at the instant, if that one has the instant, too."""
        in_force = [(entry, self._in_force(entry, fire_at)) for entry in entries]
        return [(entry, version) for entry, version in in_force if version is not None]

    def _in_force(self, entry: Entry, fire_at: Instant) -> int | None:
        """The present version; after an edit the one before it. None where the instant was not due."""
        version = entry.version
        if version.valid_from < fire_at:
            return version.id
        history = self._store.history(fire_at, [version.schedule_id])
        former = [entry_of(v, entry.as_of) for v in history if v.valid_from < fire_at]
        return former[-1].version.id if former and former[-1].has(fire_at) else None

    def _claim(self, node_id: str, fire_at: Instant, rows: Sequence[ClaimRow]) -> list[ClaimAnswer]:
        """Who else may be doing this now: the other ranks, the auditor. The primary key decides."""
        single = [row for row in rows if row.shards == 1]
        try:
            claimed = self._store.claim(node_id, fire_at, single) if single else Claimed(0, 0)
            faults.point("after_insert")
            if claimed.count == len(rows):
                return [ClaimAnswer(r.schedule_id, r.shard, _born(r), 1, claimed.claimed_at) for r in rows]
            blocked = claimed.count < len(single)
            rest = [row for row in rows if row.shards > 1 or (blocked and row.serial is not None)]
            if rest:
                self._store.claim_rest(node_id, fire_at, rest)
        except (Busy, Unknown):
            # Busy: nothing was applied, `again`. Unknown: the read-back tells what it can; a row that
            # is committed later is found when this node looks at its own rows.
            pass
        return self._store.claim_answer(node_id, fire_at, rows)

    def _settle(
        self,
        node_id: str,
        fire_at: Instant,
        rows: Sequence[ClaimRow],
        answers: Sequence[ClaimAnswer],
        asked: float,
    ) -> None:
        """Start what is ours, give back the slots of what is not."""
        mine = {(a.schedule_id, a.shard): a for a in answers if a.answer == "mine" and a.attempt == 1}
        grants: list[Grant] = []
        for row in rows:
            answer = mine.get((row.schedule_id, row.shard))
            if not row.run:
                continue
            if answer is None:
                self._dispatch.release(row.queue, 1)
                continue
            grants.append(self._grant(node_id, fire_at, row, answer))
        self._dispatch.take(grants, asked)
        for delay in {row.delay for row in rows if not row.run}:
            self._queued(fire_at + delay)

    def _grant(self, node_id: str, fire_at: Instant, row: ClaimRow, answer: ClaimAnswer) -> Grant:
        key = RunKey(fire_at, row.schedule_id, row.shard)
        # A row that was read back may have been opened from another version: by an earlier try of this
        # node, committed late, or by the auditor.
        version = answer.version or self._runs_as[row.version]
        return Grant(node_id, key, answer.attempt, answer.claimed_at, version, row.queue, shards=row.shards)

    def _again(self, opening: Opening, answers: Sequence[ClaimAnswer]) -> list[Later]:
        """What is worth another try."""
        if opening.tries + 1 >= MOST_TRIES:
            return []
        if any(answer.answer in ("stale", "paused", "deleted") for answer in answers):
            if opening.tries:  # read again already, and still not what the store has
                self._catalog.doubt()
            self._catalog.refresh()
        waits: dict[Micros, dict[int, None]] = {}
        for answer in answers:
            if answer.answer in ("early", "stale", "again"):
                waits.setdefault(answer.wait, {})[answer.schedule_id] = None
        return [
            (wait, Opening(opening.fire_at, tuple(ids), opening.tries + 1, passed=True))
            for wait, ids in waits.items()
        ]


def _claim_row(  # one for each of many: no copies on the way
    schedule: Schedule, version: int, due: int, place: Place, shards: int, run: bool
) -> ClaimRow:
    """The row that opens one shard of a schedule's fire."""
    return ClaimRow(
        schedule_id=schedule.id,
        shard=place.shard,
        version=version,
        due=due,
        run=run,
        queue=schedule.queue,
        priority=schedule.priority,
        delay=jitter_of(schedule),
        grace=grace(schedule),
        serial=place.serial,
        overlap=schedule.overlap,
        lane=schedule.lane,
        shards=shards,
        pinned_node_id=place.pinned_node_id,
    )


def _born(row: ClaimRow) -> Answer:
    return "mine" if row.run else "other"


def _schedule(entry: Entry) -> Schedule:
    assert entry.schedule is not None  # `Entry.fires` was asked first
    return entry.schedule
