"""Opening the fires of one instant: gate, claim, and finding out what became of the rest.

    gate      SET NX for all of them in one call; a "no" ends it here, an error goes on to the store
    claim     one INSERT; as many rows as were sent: all are ours
    else      `claim_rest` writes the skipped ones, `claim_answer` says of each row why it is not ours

What may still be ours is opened again, at most `MOST_TRIES` times: `early` when the store's clock
is there, `stale` after reading the row again, `again` at once. What is left is the audit's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from leasebeat import faults
from leasebeat.errors import Busy, GateUnavailable, Unknown
from leasebeat.gate.base import Gate
from leasebeat.model.instant import Instant, Micros, from_seconds
from leasebeat.model.run import RunKey
from leasebeat.model.schedule import Schedule
from leasebeat.node.catalog import Catalog, Entry, entry_of
from leasebeat.node.dispatch import Dispatch, Grant
from leasebeat.node.standing import Standing
from leasebeat.store.base import BATCH, Answer, ClaimAnswer, ClaimRow, Store

MOST_TRIES = 4

ANY_GRACE: Micros = from_seconds(5)
"""A run that is always born queued is given this long at least to be taken by whoever is free."""


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
        queued: Callable[[], None],
    ) -> None:
        self._store = store
        self._gate = gate
        self._standing = standing
        self._catalog = catalog
        self._dispatch = dispatch
        self._runs_as: dict[int, int] = {}  #: of the versions in the claim that is being made
        self._queued = queued  #: called when rows were born queued

    def open(self, opening: Opening) -> list[Later]:
        """Try to open them; what should be tried again, and when.

        Raises Unavailable and Unknown (a read-back failed too): then nothing is known of them, and
        rows that were inserted all the same are found by this node's next look at its own rows.
        """
        later: list[Later] = []
        node_id = self._standing.node_id
        if node_id is None:
            return later
        ids = opening.schedule_ids if opening.passed else self._ask_gate(opening, node_id)
        for start in range(0, len(ids), BATCH):
            part = replace(opening, schedule_ids=tuple(ids[start : start + BATCH]))
            later += self._open_batch(node_id, part)
        return later

    def _open_batch(self, node_id: str, opening: Opening) -> list[Later]:
        due = self._due(self._entries(opening.schedule_ids, opening), opening.fire_at)
        if not due:
            return []
        faults.point("after_gate")
        rows = self._rows(due)
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

    def _rows(self, due: Sequence[tuple[Entry, int]]) -> list[ClaimRow]:
        """One row for each, running for as many as there are free slots, queued for the rest."""
        entries = [entry for entry, _ in due]
        self._runs_as = {entry.version.id: entry.version.runs_as for entry in entries}
        room: dict[str, int] = {}
        for entry in entries:
            queue = _schedule(entry).queue
            if queue not in room:
                wanted = sum(
                    1 for e in entries if _schedule(e).queue == queue and _schedule(e).route != "any"
                )
                room[queue] = self._dispatch.reserve(queue, wanted)
        rows: list[ClaimRow] = []
        for entry, in_force in due:
            schedule = _schedule(entry)
            run = schedule.route != "any" and room[schedule.queue] > 0
            room[schedule.queue] -= run
            rows.append(claim_row(entry, in_force, run))
        return rows

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
        try:
            claimed = self._store.claim(node_id, fire_at, rows)
        except (Busy, Unknown):
            # Busy: nothing was applied, `again`. Unknown: the read-back tells what it can; a row that
            # is committed later is found when this node looks at its own rows.
            return self._store.claim_answer(node_id, fire_at, rows)
        faults.point("after_insert")
        if claimed.count == len(rows):
            return [ClaimAnswer(r.schedule_id, r.shard, _born(r), 1, claimed.claimed_at) for r in rows]
        blocked = [row for row in rows if row.serial is not None]
        if blocked:
            self._store.claim_rest(node_id, fire_at, blocked)
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
        if any(not row.run for row in rows):
            self._queued()

    def _grant(self, node_id: str, fire_at: Instant, row: ClaimRow, answer: ClaimAnswer) -> Grant:
        key = RunKey(fire_at, row.schedule_id, row.shard)
        # A row that was read back may have been opened from another version: by an earlier try of this
        # node, committed late, or by the auditor.
        version = answer.version or self._runs_as[row.version]
        return Grant(node_id, key, answer.attempt, answer.claimed_at, version, row.queue)

    def _again(self, opening: Opening, answers: Sequence[ClaimAnswer]) -> list[Later]:
        """What is worth another try."""
        if opening.tries + 1 >= MOST_TRIES:
            return []
        if any(answer.answer in ("stale", "paused", "deleted") for answer in answers):
            if opening.tries:  # read again already, and still not what the store has
                self._catalog.doubt()
            self._catalog.refresh()
        waits: dict[Micros, list[int]] = {}
        for answer in answers:
            if answer.answer in ("early", "stale", "again"):
                waits.setdefault(answer.wait, []).append(answer.schedule_id)
        return [
            (wait, Opening(opening.fire_at, tuple(ids), opening.tries + 1, passed=True))
            for wait, ids in waits.items()
        ]


def claim_row(entry: Entry, due: int, run: bool) -> ClaimRow:
    """The row that opens a schedule's fire."""
    schedule = _schedule(entry)
    return ClaimRow(
        schedule_id=schedule.id,
        shard=0,
        version=entry.version.id,
        due=due,
        run=run,
        queue=schedule.queue,
        priority=schedule.priority,
        delay=0,
        grace=max(from_seconds(schedule.misfire_grace_s), ANY_GRACE if schedule.route == "any" else 0),
        serial=schedule.serial(),
        overlap=schedule.overlap,
    )


def _born(row: ClaimRow) -> Answer:
    return "mine" if row.run else "other"


def _schedule(entry: Entry) -> Schedule:
    assert entry.schedule is not None  # `Entry.fires` was asked first
    return entry.schedule
