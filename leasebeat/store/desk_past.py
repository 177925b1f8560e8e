"""The part of the desk that looks back: what became of the instants of a schedule."""

from __future__ import annotations

from leasebeat.model.instant import Instant
from leasebeat.store.desk_base import DeskBase, text_of
from leasebeat.store.session import Record

__all__ = ["DeskPast"]


class DeskPast(DeskBase):
    """Reading runs by schedule and instant."""

    def fires(self, schedule_id: int, begin: Instant, end: Instant, limit: int = 10_000) -> list[Record]:
        """Rows of `run_list` of [begin, end], by instant and shard."""
        return self._session.query(
            "desk_fires", schedule_id=schedule_id, begin=text_of(begin), end=text_of(end), limit=limit
        )

    def ids_named(self, name: str) -> list[int]:
        """Every schedule that is or was called so, the youngest first, as far as nodes have read them."""
        return [row["schedule_id"] for row in self._session.query("desk_named_once", schedule=name)]

    def fire_before(self, schedule_id: int, moment: Instant) -> Instant | None:
        """The last instant up to a moment that has a run."""
        (record,) = self._session.query("desk_fire_before", schedule_id=schedule_id, moment=text_of(moment))
        return record["fire_at"]

    def spans(self, schedule_id: int, moment: Instant, limit: int = 1000) -> list[Record]:
        """Rows of `run_list` from before a moment that stand for instants up to it, and perhaps after it."""
        return self._session.query("desk_spans", schedule_id=schedule_id, moment=text_of(moment), limit=limit)

    def lane_holders(self, lane: str) -> list[Record]:
        """The runs that hold the slots of a lane: key, node, started_at."""
        return self._session.query("desk_lane_holders", lane=lane)

    def serial_holder(self, serial: str) -> Record | None:
        """The run that holds a serial: schedule, fire_at, schedule_id, shard, status."""
        records = self._session.query("desk_serial", serial=serial)
        return records[0] if records else None

    def earlier_attempts(self, schedule_id: int, fire_at: Instant) -> list[Record]:
        """The tries at all shards of a fire that were not the last, by shard and attempt."""
        return self._session.query("desk_attempts_of", schedule_id=schedule_id, fire_at=text_of(fire_at))

    def parts(self, schedule_id: int, fire_at: Instant) -> list[Record]:
        """How the runs of a fire stand: by status parts, shards, started_at (first), finished_at (last)."""
        return self._session.query("desk_parts", schedule_id=schedule_id, fire_at=text_of(fire_at))

    def durations(self, schedule_id: int, limit: int = 200) -> list[float]:
        """How many seconds its newest successes took."""
        records = self._session.query("desk_durations", schedule_id=schedule_id, limit=limit)
        return [float(record["duration_s"]) for record in records]
