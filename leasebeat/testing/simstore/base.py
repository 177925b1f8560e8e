"""What all statements of the simulated store stand on: its clock, its tables, its journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from leasebeat.model.instant import Instant
from leasebeat.model.run import RunKey
from leasebeat.testing.simstore.locks import Key, Locks, Txn
from leasebeat.testing.simstore.tables import NodeRow, RoleRow, Run, RunChange, Runs, Schedules


class Attempt(NamedTuple):
    """A row of `attempts`."""

    node_id: str | None
    outcome: str
    reason_code: str | None


class NodeChange(NamedTuple):
    """One committed change of a node's state."""

    at: Instant  #: true time
    node_id: str
    was: str | None
    state: str
    silent_since: Instant  #: true time of its last accepted beat
    watched: bool


class WatermarkMove(NamedTuple):
    """One committed move of the watermark."""

    at: Instant
    now: Instant
    node_id: str
    term: int
    role_term: int  #: the term that the row had
    old: Instant | None
    new: Instant


class RowChange(NamedTuple):
    """One committed edit of `schedules`. `row` is None where it was deleted."""

    at: Instant  #: true time of the commit
    now: Instant  #: the store's time of the commit
    schedule_id: int
    row: dict[str, object] | None
    watermark: Instant | None = None  #: as it stood at the commit


class Replaced(NamedTuple):
    """A run was asked to end because a later one of its serial was opened."""

    at: Instant
    key: RunKey
    by: RunKey


Event = RunChange | NodeChange | WatermarkMove | RowChange | Replaced


class Base:
    """The state of the simulated store. `without` names rules that a mutation has taken out."""

    def __init__(self, now: Callable[[], Instant], true_now: Callable[[], Instant] | None = None) -> None:
        self.now = now
        self.true_now = true_now or now
        self.without: frozenset[str] = frozenset()
        self.journal: list[Event] = []
        self.locks = Locks()
        self.schedules = Schedules()
        self.runs = Runs(self._journal_run)
        self.nodes: dict[str, NodeRow] = {}
        self.present: dict[str, NodeRow] = {}  #: those that beat, by id
        self.role = RoleRow()
        self.attempts: dict[tuple[RunKey, int], Attempt] = {}
        self.outputs: dict[tuple[RunKey, int], bytes] = {}
        self.paused_queues: set[str] = set()
        self.lane_sizes: dict[str, int] = {}
        self.edges: set[tuple[int, int]] = set()  #: `schedule_after`: (upstream, follower)
        self._upstreams: frozenset[int] = frozenset()
        self.installation_id = "simulated"
        self.coordinator = "store"  #: the fleet's

    def begin(self) -> Txn:
        """A statement that writes."""
        return Txn(self.locks)

    def is_live(self, node_id: str, now: Instant) -> bool:
        """The guard of claims and pulls: live by its row, with a beat younger than its lease."""
        node = self.nodes.get(node_id)
        takes = ("live", "cordoned") if "cordon" in self.without else ("live",)
        return node is not None and node.state in takes and node.beat_at >= now - node.lease

    def set_edges(self, edges: Iterable[tuple[int, int]]) -> None:
        """Make `schedule_after` say these."""
        self.edges = set(edges)
        self._upstreams = frozenset(upstream for upstream, _ in self.edges)

    def mark(self, schedule_id: int) -> int | None:
        """The column `follow` of a run that ends now."""
        return 1 if schedule_id in self._upstreams and "follow_mark" not in self.without else None

    def end_run(
        self,
        run: Run,
        statement: str,
        now: Instant,
        writer: tuple[str, int] | None = None,
        **values: object,
    ) -> None:
        """Set the columns that every end sets, and those given."""
        self.runs.change(
            run,
            statement,
            now,
            writer,
            serial=None,
            serial_held=None,
            lane_slot=None,
            finished_at=now,
            follow=self.mark(run.key.schedule_id),
            **values,
        )

    def _journal_run(
        self,
        statement: str,
        run: Run,
        was: str | None,
        now: Instant,
        writer: tuple[str, int] | None,
        began: Instant,
    ) -> None:
        self.journal.append(
            RunChange(
                self.true_now(),
                now,
                statement,
                run.key,
                was,
                run.status,
                run.attempt,
                run.node_id,
                run.claimed_at,
                writer,
                began,
                run.version,
                run.origin,
                run.ready_at,
                run.reason_code,
            )
        )


def run_locks(keys: Iterable[RunKey]) -> list[Key]:
    """The locks of those rows of `runs`."""
    return [("run", key) for key in keys]


def serial_locks(serials: Iterable[str | None]) -> list[Key]:
    """The locks of those values of the unique key `serial_held`."""
    return [("serial", serial) for serial in serials if serial is not None]


def slot_locks(slots: Iterable[str | None]) -> list[Key]:
    """The locks of those values of the unique key `lane_slot`."""
    return [("slot", slot) for slot in slots if slot is not None]
