"""Opening, pulling and ending runs: the part of `SqlStore` that the life of a fire goes through."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import islice

from leasebeat.errors import LeasebeatError, Unknown
from leasebeat.model.instant import Instant, Micros
from leasebeat.model.run import RunKey
from leasebeat.store.base import (
    BATCH,
    CLAIM_REACH,
    PINNED_AWAY,
    START_FAILED_AWAY,
    Candidate,
    ClaimAnswer,
    Claimed,
    ClaimRow,
    DressRow,
    FinishRow,
    Orphan,
    OwnRun,
    Place,
    ReclaimRow,
    SettleRow,
    Undressed,
)
from leasebeat.store.session import Record
from leasebeat.store.sql_rows import Row, Statements, batches, in_key_order, pack, packs, run_key, short


def _born_running(row: ClaimRow, node_id: str) -> bool:
    """Whether `run` is honoured: what has a lane, a delay or another node's pin is pulled."""
    return row.run and row.lane is None and row.delay == 0 and row.pinned_node_id in (None, node_id)


def _claims(node_id: str, rows: Sequence[ClaimRow]) -> str:
    if len(rows) > BATCH and len({row.schedule_id for row in rows}) > 1:
        raise ValueError(f"{len(rows)} rows in one claim; at most {BATCH}, but for a single fire")
    return pack(
        (
            row.schedule_id,
            row.shard,
            row.version,
            row.due,
            int(_born_running(row, node_id)),
            row.queue,
            row.priority,
            row.delay,
            row.grace,
            row.serial,
            row.overlap,
            row.lane,
            row.shards,
            row.pinned_node_id,
        )
        for row in rows
    )


def _own_run(record: Record) -> OwnRun:
    return OwnRun(
        key=run_key(record),
        attempt=record["attempt"],
        claimed_at=record["claimed_at"],
        started_at=record["started_at"],
        version=record["version"],
        args=record["args"],
        failures=record["failures"],
        take_overs=record["take_overs"],
        reason_code=record["reason_code"],
        kill_requested=bool(record["kill_requested"]),
        settled=bool(record["settled"]),
        shards=record["shards"],
    )


def _candidate(record: Record) -> Candidate:
    return Candidate(
        run_key(record), record["attempt"], record["priority"], record["lane"], bool(record["late"])
    )


def _free(lane: str, size: int, held: set[str]) -> tuple[str, ...]:
    slots = (f"{lane}:{k}" for k in range(size))
    return tuple(islice((slot for slot in slots if slot not in held), max(0, size - len(held))))


def _finishes(rows: Sequence[FinishRow]) -> list[Row]:
    return in_key_order(
        (
            *row.key,
            row.attempt,
            row.status,
            int(row.again),
            row.delay,
            int(row.failed),
            int(row.lost),
            row.exit_code,
            row.reason_code,
            short(row.reason),
            row.result,
            row.started_at,
        )
        for row in rows
    )


def _finish_weight(row: FinishRow) -> int:
    """About the characters that `finish` sends of it: texts in JSON, and all the numbers beside them."""
    return len(pack((row.result, short(row.reason)))) + 200


def _outputs(rows: Sequence[FinishRow]) -> Iterator[str]:
    """The rows of `outputs`, in key order, in parts that fit one statement."""
    printed = (row for row in sorted(rows, key=lambda row: row.key) if row.output_bytes)
    for part in batches(printed, lambda row: len(row.output)):
        yield pack(
            (
                *row.key,
                row.attempt,
                int(row.status == "succeeded"),
                b64encode(row.output).decode("ascii"),
                row.output_bytes,
            )
            for row in part
        )


class RunStatements(Statements):
    """Rows of `runs`, `attempts` and `outputs`."""

    def mine(self, node_id: str, settle: Micros) -> list[OwnRun]:
        """Rows `running` on the node; `settled` = claimed more than `settle` ago."""
        return [_own_run(record) for record in self._session.query("mine", node_id=node_id, settle=settle)]

    # opening

    def claim(self, node_id: str, fire_at: Instant, rows: Sequence[ClaimRow]) -> Claimed:
        """Insert the rows that may exist as open runs.

        The fence is told only when all of them were inserted (`claim_answer` tells each row's
        otherwise), and is 0 when none of them is to run here. Raises ValueError above BATCH rows.
        """
        sent = _claims(node_id, rows)
        count = self._session.execute("claim", node_id=node_id, fire_at=fire_at, rows=sent, reach=CLAIM_REACH)
        running = next((row for row in rows if _born_running(row, node_id)), None)
        if running is None or count < len(rows):
            return Claimed(count, 0)
        return Claimed(count, self._fence(fire_at, running))

    def _fence(self, fire_at: Instant, row: ClaimRow) -> Instant:
        key = RunKey(fire_at, row.schedule_id, row.shard)
        try:
            records = self._session.query("fence", **key._asdict())
        except LeasebeatError as problem:  # whatever it is: the INSERT stands
            raise Unknown("the claim was applied, but its fence could not be read") from problem
        if not records:
            raise Unknown("a row that was just claimed is gone; somebody deletes from `runs`")
        return records[0]["claimed_at"]

    def claim_rest(self, node_id: str, fire_at: Instant, rows: Sequence[ClaimRow]) -> int:
        """Insert what `claim` left out, waiting or skipped where an open run is in the way; how many.

        More than BATCH rows only of a single fire.
        """
        sent = _claims(node_id, rows)
        replacing = [RunKey(fire_at, row.schedule_id, row.shard) for row in rows if row.overlap == "replace"]
        with self._session.transaction() if replacing else nullcontext():
            count = self._session.execute(
                "claim_rest", node_id=node_id, fire_at=fire_at, rows=sent, reach=CLAIM_REACH
            )
            if count and replacing:
                self._session.execute("replace_older", rows=pack(replacing))
        return count

    def claim_answer(self, node_id: str, fire_at: Instant, rows: Sequence[ClaimRow]) -> list[ClaimAnswer]:
        """What became of each row that was sent."""
        sent = _claims(node_id, rows)
        records = self._session.query(
            "claim_answer", node_id=node_id, fire_at=fire_at, rows=sent, reach=CLAIM_REACH
        )
        return [
            ClaimAnswer(
                record["schedule_id"],
                record["shard"],
                record["answer"],
                attempt=record["attempt"] or 0,
                claimed_at=record["claimed_at"] or 0,
                wait=max(0, record["wait"]) if record["answer"] == "early" else 0,
                version=record["version"] or 0,
            )
            for record in records
        ]

    def pull_look(self, node_id: str, queue: str, limit: int, late: bool = True) -> list[Candidate]:
        """Queued runs of one queue that this node may pull, best first. A plain read: it locks nothing."""
        records = self._session.query(
            "pull_look",
            node_id=node_id,
            queue=queue,
            limit=limit,
            start_failed_away=START_FAILED_AWAY,
            pinned_away=PINNED_AWAY,
            reach=CLAIM_REACH,
            late=int(late),
        )
        return [_candidate(record) for record in records]

    def lane_room(self, lanes: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The free slots of each, `LANE:k`; a lane that was made smaller has none until enough have ended."""
        sizes: dict[str, int] = {}
        held: dict[str, set[str]] = {}
        for record in self._query_all("lane_room", lanes):
            sizes[record["name"]] = record["size"]
            held.setdefault(record["name"], set()).add(record["lane_slot"])
        return {lane: _free(lane, size, held[lane] - {None}) for lane, size in sizes.items()}

    def pull(self, node_id: str, rows: Sequence[Candidate], limit: int) -> int:
        """Make at most `limit` of the first BATCH of them running here. Best first: none is waited for.

        Raises Duplicate, and takes none, where a lane slot or a serial is held by now.
        """
        sent = pack((*row.key, row.attempt, row.lane_slot) for row in rows[:BATCH])
        return self._session.execute("pull", node_id=node_id, rows=sent, limit=limit)

    def start(self, node_id: str, rows: Sequence[Candidate]) -> int:
        """Write started_at where node and attempt still match; how many did."""
        sent = in_key_order((*row.key, row.attempt) for row in rows)
        return self._execute_all("start", sent, node_id=node_id)

    # ending

    def finish(self, node_id: str, rows: Sequence[FinishRow]) -> int:
        """Record ends where node and attempt still match; how many did."""
        parts = batches(sorted(rows, key=lambda row: row.key), _finish_weight)
        return sum(self._finish(node_id, part) for part in parts)

    def _finish(self, node_id: str, rows: Sequence[FinishRow]) -> int:
        printed = any(row.output_bytes for row in rows)
        again = any(row.again for row in rows)
        sent = pack(_finishes(rows))
        # The update comes last: the two before it look for rows that are still running here.
        with self._session.transaction() if printed or again else nullcontext():
            for part in _outputs(rows):
                self._session.execute("finish_outputs", node_id=node_id, rows=part)
            if again:
                self._session.execute("finish_attempts", node_id=node_id, rows=sent)
            return self._session.execute("finish", node_id=node_id, rows=sent)

    def finish_answer(self, node_id: str, rows: Sequence[Candidate]) -> list[bool]:
        """For each, in order: recorded (True) or superseded (False)."""
        sent = in_key_order((*row.key, row.attempt) for row in rows)
        recorded = {
            (run_key(record), record["attempt"])
            for record in self._query_all("finish_answer", sent, node_id=node_id)
            if record["recorded"]
        }
        return [(row.key, row.attempt) in recorded for row in rows]

    def note_superseded(self, node_id: str, rows: Sequence[FinishRow]) -> None:
        """Keep late outcomes in `attempts` as `superseded`."""
        self._execute_all("note_superseded", _finishes(rows), node_id=node_id)

    def settle(self, rows: Sequence[SettleRow]) -> int:
        """End queued runs that never started; how many."""
        sent = in_key_order((*row.key, row.status, row.reason_code, short(row.reason)) for row in rows)
        return self._execute_all("settle", sent)

    # taking back, and what else lies in the queue

    def orphans(self, thorough: bool) -> list[Orphan]:
        """At most BATCH runs of nodes that are gone; `thorough`: also of nodes that have no row at all."""
        records = self._session.query("all_orphans" if thorough else "orphans", limit=BATCH)
        return [
            Orphan(
                run_key(record),
                record["attempt"],
                record["node_id"],
                record["take_overs"],
                bool(record["started"]),
                record["on_node_loss"],
                record["route"],
            )
            for record in records
        ]

    def reclaim(self, rows: Sequence[ReclaimRow]) -> int:
        """Take back or close orphans where node and attempt still match; how many."""
        sent = in_key_order(
            (*row.key, row.attempt, row.node_id, int(row.again), short(row.reason)) for row in rows
        )
        count = 0
        for part in packs(sent):
            with self._session.transaction():
                self._session.execute("reclaim_attempts", rows=part)
                count += self._session.execute("reclaim", rows=part)
        return count

    def undressed(self) -> list[Undressed]:
        """At most BATCH queued rows that lack their version."""
        return [Undressed(run_key(record)) for record in self._session.query("undressed", limit=BATCH)]

    def fan_out(self, key: RunKey, places: Sequence[Place]) -> int:
        """Insert the missing rows of the other shards of an undressed one; how many."""
        shards = sorted(place.shard for place in places)
        return self._execute_all("fan_out", shards, fire_at=key.fire_at, schedule_id=key.schedule_id)

    def holder(self, serial: str) -> RunKey | None:
        """The run that holds a serial."""
        records = self._session.query("holder", serial=serial)
        return run_key(records[0]) if records else None

    def dress(self, rows: Sequence[DressRow]) -> int:
        """Give them what their schedules say; how many. Raises Duplicate when a serial is held by another."""
        sent = in_key_order(
            (
                *row.key,
                row.version,
                row.queue,
                row.priority,
                row.serial,
                int(row.waits),
                row.lane,
                row.shards,
                row.pinned_node_id,
            )
            for row in rows
        )
        return self._execute_all("dress", sent)

    def close_killed(self) -> int:
        """End at most BATCH queued runs that shall end, as killed, or skipped if replaced; how many."""
        return self._session.execute("close_killed", limit=BATCH)

    def close_pinned(self) -> int:
        """End at most BATCH queued runs for one node alone that is gone, as missed or lost; how many."""
        return self._session.execute("close_pinned", limit=BATCH)

    def close_deleted(self) -> int:
        """End at most BATCH queued runs of schedules that are gone as killed; how many."""
        return self._session.execute("close_deleted", limit=BATCH)

    def expire(self) -> int:
        """End at most BATCH queued runs that never started and whose time is over as missed; how many."""
        return self._session.execute("expire", limit=BATCH)
