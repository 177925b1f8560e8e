"""What becomes of a new row where an open run wants the same serial: the policies of `overlap`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from leasebeat.errors import Duplicate
from leasebeat.model.instant import Instant, to_text
from leasebeat.model.run import RunKey
from leasebeat.testing.simstore.base import Base, Replaced, run_locks, serial_locks
from leasebeat.testing.simstore.locks import GAP, TRIP, Statement, Txn
from leasebeat.testing.simstore.tables import QUEUED, Run

REPLACED = 2
"""The `kill_requested` of a run that has to make room for a later one."""


class Verdict(NamedTuple):
    """How a row that was sent as an open one is born."""

    status: str
    reason: str | None = None
    serial: str | None = None
    serial_held: str | None = None


class SerialStatements(Base):
    """Serials: wanted by open runs, held by at most one."""

    def verdict(self, key: RunKey, serial: str | None, overlap: str, sent: str) -> Verdict:
        """Judged by the snapshot of the statement that asks."""
        wanting = self.runs.wanting.get(serial) if serial is not None else None
        if f"overlap {overlap}" in self.without:
            return Verdict(sent)
        if serial is None or not wanting:
            return Verdict(sent, None, serial, serial)
        if overlap == "skip":
            return Verdict("skipped", self._in_the_way(serial))
        if overlap == "wait":
            waiting = [each for each in sorted(wanting) if wanting[each].serial_held != serial]
            if waiting and "one waiter" in self.without:
                return Verdict(QUEUED, None, serial)
            if waiting:
                return Verdict("skipped", f"the run of {to_text(waiting[0].fire_at)} waits already")
            return Verdict(QUEUED, None, serial, f"{serial}+")
        later = [each.fire_at for each in sorted(wanting) if each.fire_at > key.fire_at]
        if overlap == "replace" and later:
            return Verdict("skipped", f"the run of {to_text(later[0])} is newer")
        return Verdict(QUEUED, None, serial)

    def _in_the_way(self, serial: str) -> str:
        wanting = self.runs.wanting[serial]
        run = self.runs.holding.get(serial) or wanting[min(wanting)]
        return f"the run of {to_text(run.key.fire_at)} is still {run.status}"

    def fits(self, key: RunKey, shards: int) -> bool:
        """Whether the row may be inserted: it is not there, nor is the first of a fire of several."""
        rows = self.runs.rows
        return key not in rows and (shards == 1 or key._replace(shard=0) not in rows)

    def insert_all(
        self, txn: Txn, statement: str, rows: Sequence[tuple[Run, str]], now: Instant, began: Instant
    ) -> Statement[None]:
        """Insert rows that were judged, each with its overlap, and ask those to end that they replace.

        Raises Duplicate where a key, or what is held of a serial, was taken since they were judged.
        """
        for run, _ in rows:
            yield from txn.take([("run", run.key), *serial_locks([run.serial_held])])
            if run.key in self.runs.rows:
                raise Duplicate(f"run {run.key} is there")
            if run.serial_held in self.runs.holding:
                raise Duplicate(f"serial {run.serial_held} is held")
        newest: dict[str, Run] = {
            run.serial: run for run, overlap in rows if overlap == "replace" and run.serial is not None
        }
        older: list[Run] = []
        if newest:
            yield TRIP
            keys = [key for serial in newest for key in self.runs.wanting.get(serial, ())]
            yield from txn.take(run_locks(sorted(keys)))
            older = [run for key in keys if (run := self.runs.rows[key]).open and run.serial in newest]
            yield TRIP
        else:
            yield GAP
        for run, _ in rows:
            self.runs.insert(run, statement, now, began)
        for run in older:
            self._replace(run, newest[run.serial or ""])

    def _replace(self, run: Run, newer: Run) -> None:
        asked = run.kill_requested or "replace_older" in self.without
        if not asked and run.key.fire_at < newer.key.fire_at:
            self.runs.alter(
                run, kill_requested=REPLACED, requested_by=f"the run of {to_text(newer.key.fire_at)}"
            )
            self.runs.kills += 1
            self.journal.append(Replaced(self.true_now(), run.key, newer.key))
