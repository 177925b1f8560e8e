"""The part of the desk that writes `queues`, `lanes`, `calendars` and the watermark."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from leasebeat.errors import Duplicate, NotFound, Refused
from leasebeat.model.instant import SECOND, Instant, to_text
from leasebeat.store.desk_base import DeskBase, text_of
from leasebeat.store.session import Record

__all__ = ["CalendarDay", "DeskTables"]


class CalendarDay(NamedTuple):
    """A row of `calendars` but its name. `day` is an ISO date, `effect` exclude or add."""

    day: str
    effect: str = "exclude"
    note: str = ""


class DeskTables(DeskBase):
    """Looking at them, and changing them."""

    # queues

    def queues(self) -> list[Record]:
        """Every queue that schedules, open runs, nodes or the table know, by name.

        queue, paused, queued, ready (queued and might start), oldest_wait_s (of those, or None), running,
        nodes and slots (of live nodes that serve it).
        """
        runs = {(row["queue"], row["status"]): row for row in self._session.query("desk_queue_runs")}
        paused = {row["name"]: bool(row["paused"]) for row in self._session.query("desk_queues")}
        served = self._served()
        named = {row["queue"] for row in self._session.query("desk_queue_names")}
        names = sorted({queue for queue, _ in runs} | paused.keys() | served.keys() | named)
        return [_queue(name, paused.get(name, False), runs, served.get(name, [])) for name in names]

    def _served(self) -> dict[str, list[int]]:
        """By queue, how many slots each live node has for it."""
        found: dict[str, list[int]] = defaultdict(list)
        for node in self._session.query("desk_nodes", every=0):
            if node["state"] == "live":
                limits: dict[str, int | None] = json.loads(node["queues"])
                for queue, limit in limits.items():
                    found[queue].append(node["slots"] if limit is None else min(limit, node["slots"]))
        return found

    def paused_queues(self) -> dict[str, bool]:
        """The table `queues`: name to paused."""
        return {row["name"]: bool(row["paused"]) for row in self._session.query("desk_queues")}

    def pause_queues(self, names: Sequence[str], paused: bool) -> int:
        """Pause or resume queues; how many were otherwise before. Raises NotFound for what no one knows."""
        known = {row["queue"]: row["paused"] for row in self.queues()}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise NotFound(
                f"no queue is called {', '.join(map(repr, unknown))}; `leasebeat queues` shows them all"
            )
        changed = [name for name in names if known[name] != paused]
        with self._session.transaction():
            for name in changed:
                self.set_queue(name, paused)
        return len(changed)

    def set_queue(self, name: str, paused: bool) -> None:
        """Make the table say so."""
        with self._session.transaction():
            if not self._session.execute("desk_set_queue", queue=name, paused=int(paused)):
                self._session.execute("desk_add_queue", queue=name, paused=int(paused))
            self._did("pause" if paused else "resume", f"queue {name}")

    def forget_queue(self, name: str) -> None:
        """Take it out of the table, which is the same as not paused."""
        with self._session.transaction():
            if self._session.execute("desk_remove_queue", queue=name):
                self._did("resume", f"queue {name}")

    # lanes

    def lanes(self) -> list[Record]:
        """Every lane that schedules, open runs or the table know: name, size, listed, running, waiting."""
        runs = {(row["lane"], row["status"]): row["runs"] for row in self._session.query("desk_lane_runs")}
        sizes = self.lane_sizes()
        named = {row["lane"] for row in self._session.query("desk_lane_names")}
        return [
            {
                "name": name,
                "size": sizes.get(name, 1),
                "listed": name in sizes,
                "running": runs.get((name, "running"), 0),
                "waiting": runs.get((name, "queued"), 0),
            }
            for name in sorted({lane for lane, _ in runs} | sizes.keys() | named)
        ]

    def lane_sizes(self) -> dict[str, int]:
        """The table `lanes`: name to size."""
        return {row["name"]: row["size"] for row in self._session.query("desk_lanes")}

    def set_lane(self, name: str, size: int) -> bool:
        """How many runs it lets run at once; False if it is so already."""
        if self.lane_sizes().get(name) == size:
            return False
        with self._session.transaction():
            if not self._session.execute("desk_set_lane", lane=name, size=size):
                self._session.execute("desk_add_lane", lane=name, size=size)
            self._did("lane", name, f"size {size}")
        return True

    def forget_lane(self, name: str) -> None:
        """Take it out of the table, which makes its size 1."""
        with self._session.transaction():
            if self._session.execute("desk_remove_lane", lane=name):
                self._did("lane", name, "size 1: not listed any more")

    # calendars

    def calendars(self) -> dict[str, list[CalendarDay]]:
        """The table `calendars`: name to its days, in order."""
        found: dict[str, list[CalendarDay]] = defaultdict(list)
        for row in self._session.query("desk_calendars"):
            found[row["name"]].append(CalendarDay(row["day"], row["effect"], row["note"]))
        return dict(found)

    def change_calendar(self, name: str, put: Sequence[CalendarDay], removed: Sequence[str] = ()) -> None:
        """Make days say this, and take others out. One transaction."""
        try:
            with self._session.transaction():
                for day in removed:
                    self._session.execute("desk_remove_day", calendar=name, day=day)
                for day, effect, note in put:
                    values = {"calendar": name, "day": day, "effect": effect, "note": note}
                    if not self._session.execute("desk_set_day", **values):
                        self._session.execute("desk_add_day", **values)
                self._did("calendar", name, f"{len(put)} days put, {len(removed)} removed")
        except Duplicate as problem:
            raise Refused("somebody else is changing the same calendar; try again") from problem

    # the watermark

    def move_watermark(self, old: Instant | None, new: Instant, reason: str) -> None:
        """Let the audit go on from `new`. Raises Refused where anybody moved it meanwhile."""
        told = None if old is None else text_of(old)
        with self._session.transaction():
            if not self._session.execute("desk_move_watermark", old=told, new=text_of(new)):
                raise Refused("the watermark was moved by somebody else meanwhile; look at it and try again")
            since = "never set" if old is None else to_text(old)
            self._did(
                "audit", "watermark", f"from {since} to {to_text(new)}" + (f": {reason}" if reason else "")
            )


def _queue(name: str, paused: bool, runs: Mapping[tuple[str, str], Record], slots: Sequence[int]) -> Record:
    queued, running = runs.get((name, "queued")), runs.get((name, "running"))
    oldest = queued["oldest_at"] if queued else None
    return {
        "queue": name,
        "paused": paused,
        "queued": queued["runs"] if queued else 0,
        "ready": queued["ready"] if queued else 0,
        "oldest_wait_s": None if queued is None or oldest is None else (queued["now"] - oldest) / SECOND,
        "running": running["runs"] if running else 0,
        "nodes": len(slots),
        "slots": sum(slots),
    }
