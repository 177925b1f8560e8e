"""The part of the desk that runs past instants.

Only instants up to the watermark: what is above it is the audit's to open. So nobody but another
backfill opens the same rows, and of two of those the primary key lets one be the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, groupby

from leasebeat.errors import Duplicate, Refused
from leasebeat.model.instant import Instant, to_text
from leasebeat.model.run import RunKey, Status
from leasebeat.store.desk_base import DeskBase, at, text_of

__all__ = ["Backfill", "DeskBackfill", "Fires"]

_BATCH = 500
_NEVER_BEGAN = (Status.MISSED, Status.SKIPPED)


@dataclass(frozen=True, slots=True)
class Fires:
    """The instants of one schedule that shall have run, and how: by the version that is in use now."""

    schedule: str
    schedule_id: int
    version: int  #: schedule_history id; it must be the row as it stands
    instants: Sequence[Instant]  #: in order
    shards: int
    queue: str
    priority: int
    lane: str  #: bounds how many run at once


@dataclass(frozen=True, slots=True)
class Backfill:
    """What there is to do for some fires. Runs of a fire that ran, or runs, are `left` alone.

    `spans` are instants whose row stands for many missed ones: it stays, they cannot have one of their own.
    """

    open: list[RunKey]
    reopen: list[RunKey]
    left: list[RunKey]
    spans: list[Instant]


class DeskBackfill(DeskBase):
    """Looking for past instants without a run, and opening them."""

    def backfill_look(self, fires: Fires) -> Backfill:
        """What is to be done for these fires."""
        if not fires.instants:
            return Backfill([], [], [], [])
        records = self._session.query(
            "desk_runs_between",
            schedule_id=fires.schedule_id,
            start=text_of(fires.instants[0]),
            end=text_of(fires.instants[-1] + 1),
        )
        rows: dict[Instant, dict[int, str]] = {}
        for record in records:
            status = "span" if record["until"] is not None else str(record["status"])
            rows.setdefault(record["fire_at"], {})[record["shard"]] = status
        todo = Backfill([], [], [], [])
        for instant in fires.instants:
            _sort(todo, fires, instant, rows.get(instant, {}))
        return todo

    def backfill(self, fires: Fires, todo: Backfill) -> tuple[int, int]:
        """Open what is to be opened: how many runs were, and how many again. In short transactions.

        Where it breaks off, the same call goes on with what is left. Raises Refused where the schedule was
        edited meanwhile, or somebody else backfills the same.
        """
        # Ready now, in the order of their instants: they have not waited since those.
        ready_at, again = count(self.now()), frozenset(todo.reopen)
        for batch in _batches(sorted([*todo.open, *todo.reopen])):
            try:
                with self._session.transaction():
                    for key in batch:
                        self._open(fires, key, next(ready_at), key in again)
                    span = f"{to_text(batch[0].fire_at)} to {to_text(batch[-1].fire_at)}"
                    self._did("backfill", fires.schedule, f"{len(batch)} runs from {span}")
            except Duplicate as problem:
                raise Refused(
                    f"somebody else opens runs of {fires.schedule!r} in this range: try again"
                ) from problem
        return len(todo.open), len(todo.reopen)

    def _open(self, fires: Fires, key: RunKey, ready_at: Instant, again: bool) -> None:
        values = {
            "ready_at": text_of(ready_at),
            "queue": fires.queue,
            "priority": fires.priority,
            "version": fires.version,
            "lane": fires.lane,
            "shards": fires.shards,
            "requested_by": self._who or None,
        }
        if again:
            self._session.execute("desk_keep_end", **at(key))
            done = self._session.execute("desk_backfill_again", **at(key), **values)
        else:
            place = {"fire_at": text_of(key.fire_at), "shard": key.shard}
            done = self._session.execute("desk_backfill", **place, **values)
        if not done:
            raise Refused(
                f"{fires.schedule!r}, or its run of {to_text(key.fire_at)}, was changed by somebody else"
                " meanwhile: try again"
            )


def _batches(keys: Sequence[RunKey]) -> Iterator[list[RunKey]]:
    """At most _BATCH keys at a time; a fire is never cut, for one with a part of its shards counts as run."""
    batch: list[RunKey] = []
    for _, shards in groupby(keys, lambda key: key.fire_at):
        fire = list(shards)
        if batch and len(batch) + len(fire) > _BATCH:
            yield batch
            batch = []
        batch += fire
    if batch:
        yield batch


def _sort(todo: Backfill, fires: Fires, instant: Instant, there: dict[int, str]) -> None:
    """Add the runs of one fire to where they belong. `there`: what its rows say, by shard."""
    keys = [RunKey(instant, fires.schedule_id, shard) for shard in {*range(fires.shards), *there}]
    if "span" in there.values():
        todo.spans.append(instant)
    elif any(status not in _NEVER_BEGAN for status in there.values()):
        todo.left.extend(key for key in keys if key.shard in there)
    else:
        todo.open.extend(key for key in keys if key.shard not in there)
        todo.reopen.extend(key for key in keys if key.shard in there and key.shard < fires.shards)
