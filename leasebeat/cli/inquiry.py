"""What the tables hold about instants of a schedule, gathered for `leasebeat.explain`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from leasebeat.errors import ExpressionError, NotFound
from leasebeat.explain.absent import without_a_run
from leasebeat.explain.instants import had, last_had
from leasebeat.explain.present import named_instant, with_runs
from leasebeat.explain.reigns import History, history_of
from leasebeat.explain.scene import Fire, Kept, Scene, Verdict
from leasebeat.model.instant import DAY, Instant
from leasebeat.model.run import Status
from leasebeat.settings import Retention
from leasebeat.store.session import Record
from leasebeat.triggers.zones import zone

if TYPE_CHECKING:
    from leasebeat.store.desk import Desk

__all__ = ["MOST", "Inquiry", "inquiries", "inquiry"]

MOST = 10_000
"""So many instants, or rows, are looked at for one question."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Questions about one schedule, as things stood when it was made."""

    desk: Desk
    schedule_id: int
    scene: Scene
    zone: ZoneInfo  #: in which its cron is read now, or was read last
    _pauses: dict[str, list[Record]] = field(default_factory=dict[str, list[Record]])
    _ids: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def was_called(self, name: str, instant: Instant) -> bool:
        """Whether a version was in force at the instant, and had that name."""
        reign = self.scene.history.at(instant)
        return reign is not None and (reign.schedule is None or reign.schedule.name == name)

    def last(self, moment: Instant) -> Instant:
        """The last instant up to a moment that was due or has a run; the moment itself if there is none."""
        found = [self.desk.fire_before(self.schedule_id, moment), last_had(self.scene.history, moment)]
        return max((at for at in found if at is not None), default=moment)

    def instants(self, begin: Instant, end: Instant) -> list[Instant]:
        """Those of [begin, end] at which something was due, or put in by hand; at most MOST."""
        rows = {row["fire_at"] for row in self.desk.fires(self.schedule_id, begin, end, MOST)}
        return sorted(rows | set(had(self.scene.history, begin, end, MOST)))[:MOST]

    def verdict(self, instant: Instant) -> Verdict:
        """What became of one instant."""
        return self.verdicts([instant])[0]

    def verdicts(self, instants: Sequence[Instant]) -> list[Verdict]:
        """What became of each of these, in order."""
        begin, end = instants[0], instants[-1]
        rows: dict[Instant, list[Record]] = {}
        for row in self.desk.fires(self.schedule_id, begin, end, 10 * MOST):
            rows.setdefault(row["fire_at"], []).append(row)
        inside = [row for found in rows.values() for row in found if row["until"] is not None]
        spans = [*self.desk.spans(self.schedule_id, begin), *inside]
        return [self._verdict(at, rows.get(at, []), spans) for at in instants]

    def _verdict(self, instant: Instant, rows: Sequence[Record], spans: Iterable[Record]) -> Verdict:
        if rows:
            return with_runs(self.scene, self._fire(instant, rows))
        span = next((span for span in spans if span["fire_at"] <= instant <= span["until"]), None)
        return without_a_run(self.scene, Fire(instant, span=span, upstreams=self._upstreams(instant)))

    def _fire(self, instant: Instant, rows: Sequence[Record]) -> Fire:
        fire = Fire(instant, rows)
        if any(row["attempt"] > 1 or (row["attempt"] and row["status"] == Status.QUEUED) for row in rows):
            fire = replace(fire, attempts=self.desk.earlier_attempts(self.schedule_id, instant))
        missed = next((row for row in rows if row["status"] == Status.MISSED), None)
        if missed is not None:
            fire = replace(fire, pauses=self._pauses_of(missed["queue"]))
        return replace(fire, others=self._others(rows), lane_holders=self._holders(rows))

    def _pauses_of(self, queue: str) -> list[Record]:
        """What was done to a queue by commands, the newest first."""
        if queue not in self._pauses:
            self._pauses[queue] = self.desk.activity(f"queue {queue}", limit=MOST)
        return self._pauses[queue]

    def _others(self, rows: Sequence[Record]) -> list[Record]:
        """The runs that the rows name, and those that hold what queued ones want."""
        moments = {at for row in rows if (at := named_instant(row)) is not None}
        for row in rows:
            if row["status"] == Status.QUEUED and row["serial"] and row["serial_held"] != row["serial"]:
                holder = self.desk.serial_holder(row["serial"])
                moments |= {holder["fire_at"]} if holder else set()
        shards = {row["shard"] for row in rows}
        found = [row for at in sorted(moments) for row in self.desk.fires(self.schedule_id, at, at, MOST)]
        return [row for row in found if row["shard"] in shards]

    def _holders(self, rows: Sequence[Record]) -> list[Record]:
        lanes = {row["lane"] for row in rows if row["status"] == Status.QUEUED and row["lane"]}
        return [holder for lane in sorted(lanes) for holder in self.desk.lane_holders(lane)]

    def _upstreams(self, instant: Instant) -> dict[str, list[Record]]:
        """The runs that its upstreams have at the instant, by name."""
        reign = self.scene.history.at(instant)
        names = reign.schedule.after if reign and reign.schedule else ()
        found: dict[str, list[Record]] = {}
        for name in names:
            if name not in self._ids:
                self._ids[name] = self.desk.ids_of(name)[-1:]
            for schedule_id in self._ids[name]:
                found[name] = self.desk.fires(schedule_id, instant, instant, MOST)
        return found


def inquiries(desk: Desk, name: str, retention: Retention) -> Iterator[Inquiry]:
    """One for each schedule that is called so, or once was, the likeliest first. Raises NotFound."""
    present = desk.ids_once(name)
    yield from (inquiry(desk, schedule_id, name, retention) for schedule_id in present)
    others = (schedule_id for schedule_id in desk.ids_named(name) if schedule_id not in present)
    yield from (inquiry(desk, schedule_id, name, retention) for schedule_id in others)


def inquiry(desk: Desk, schedule_id: int, name: str, retention: Retention) -> Inquiry:
    """Read what is known of a schedule and of the fleet, whatever the instant. Raises NotFound."""
    row, history = desk.row_of(schedule_id), history_of(desk.history(schedule_id, MOST))
    if row is None and not history.reigns:
        raise NotFound(f"no schedule is called {name!r}; `leasebeat list` shows them all")
    role = desk.role()
    scene = Scene(
        name=name,
        now=desk.now(),
        history=history,
        kept=Kept(round(retention.succeeded_days * DAY), round(retention.failed_days * DAY)),
        watermark=role["watermark"] if role else None,
        created_at=row["created_at"] if row else None,
        cannot=next(
            (
                each["problem"]
                for each in desk.problems()
                if each["schedule_id"] == schedule_id and not each["good_id"]
            ),
            None,
        ),
        nodes=desk.nodes(every=True),
        paused=frozenset(queue for queue, paused in desk.paused_queues().items() if paused),
        lanes=desk.lane_sizes(),
        notes=_notes(desk, history),
    )
    return Inquiry(desk, schedule_id, scene, _zone(history, row))


def _zone(history: History, row: Record | None) -> ZoneInfo:
    named = [reign.schedule.timezone for reign in history.reigns if reign.schedule]
    try:
        return zone(named[-1] if named else row["timezone"] if row else "UTC")
    except ExpressionError:
        return zone("UTC")  # of a row that nobody could use so far


def _notes(desk: Desk, history: History) -> dict[tuple[str, str], str]:
    named = {
        reign.schedule.calendar for reign in history.reigns if reign.schedule and reign.schedule.calendar
    }
    if not named:
        return {}
    calendars = desk.calendars()
    return {(name, day.day): day.note for name in named for day in calendars.get(name, ())}
