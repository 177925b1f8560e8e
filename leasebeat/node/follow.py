"""Opening followers: a second look after runs have ended.

    an end      marks its row (`follow`), in the statement that writes it, where anything follows
    look        marked rows, and the digest: a follower that this node has not read yet is read first
    judge       followers all of whose upstreams have ended for that instant
    open        their rows, by the primary key like everybody's; then the marks are taken off

Two upstreams that end at once on two nodes each see the other unfinished inside their own statements;
after both commits at least one look sees both. Whoever ends a run looks at once, the auditor at what
is left over (a node that died in between).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from leasebeat.gate.base import Gate
from leasebeat.model.instant import Instant
from leasebeat.model.run import ENDED, ReasonCode, RunKey, Status, key_text
from leasebeat.model.schedule import Schedule
from leasebeat.node.catalog import Catalog, Changes, Entry, entry_of
from leasebeat.node.graph import Graph, graph_of
from leasebeat.node.loop import AT_ONCE, WOKEN_S, Turn
from leasebeat.node.opening import one_of_each_serial, open_rows, what_changed
from leasebeat.node.places import places
from leasebeat.node.pull import Pull
from leasebeat.node.standing import Standing
from leasebeat.runtime import Runtime
from leasebeat.store.base import BATCH, FireRun, OpenRow, Store
from leasebeat.triggers import jitter_of

Fire = tuple[Instant, int]
"""(fire_at, schedule_id)."""

FAILURES = frozenset({Status.FAILED, Status.TIMED_OUT, Status.KILLED, Status.LOST, Status.MISSED})
"""The ends on which `after_rule = failure` follows; a skipped run is none."""


class Graphs:
    """The graph of the schedules as the catalog has them; read from any thread."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._made: tuple[str, Graph] | None = None
        catalog.listen(self._heard)

    def _heard(self, changes: Changes) -> None:
        del changes
        self._made = None

    @property
    def graph(self) -> Graph:
        """As it is now: the digest changes with the entries, listeners hear of it a moment later."""
        made, digest = self._made, self._catalog.digest
        if made is None or made[0] != digest or not digest:
            made = self._made = digest, graph_of(self._catalog.entries())
        return made[1]


@dataclass(frozen=True, slots=True)
class Ended:
    """All runs of a fire, all over."""

    fire: Fire
    runs: tuple[FireRun, ...]


class Follow:
    """Belongs to its thread; it may be hinted at from any."""

    name = "follow"

    def __init__(  # the ports it stands between
        self,
        runtime: Runtime,
        store: Store,
        gate: Gate,
        standing: Standing,
        catalog: Catalog,
        graphs: Graphs,
        pull: Pull,
    ) -> None:
        self.waiter = runtime.waiter()
        self._store = store
        self._gate = gate
        self._standing = standing
        self._catalog = catalog
        self.graphs = graphs
        self._pull = pull
        self._hinted = False

    def hint(self) -> None:
        """A run has ended that others may follow."""
        self._hinted = True
        self.waiter.wake()

    def run_once(self) -> Turn:
        """Open the followers of what has ended."""
        node_id = self._standing.node_id
        if node_id is None or not self._hinted:
            return Turn(WOKEN_S)
        if not (self._standing.takes_work and self._standing.dispatches):
            self._hinted = False
            self._gate.notify("ended")  # wakes the others' polls, the auditor's among them
            return Turn(WOKEN_S)
        look = self._store.follow_look()
        if look.ended and look.digest != self._catalog.digest:
            self._catalog.refresh()
            if look.digest != self._catalog.digest:
                return Turn(0.1)  # edited again meanwhile
        self._hinted = False
        if not look.ended:
            return Turn(WOKEN_S)
        if not self._open(node_id, {run.key[:2] for run in look.ended}):
            self._catalog.doubt()  # the store knows better than this catalog: the marks stay
            self._hinted = True
            return Turn(0.2)
        self._store.followed(look.ended)
        return (
            AT_ONCE if len(look.ended) >= BATCH else Turn(0.0 if self._hinted else WOKEN_S, len(look.ended))
        )

    def _open(self, node_id: str, ended: set[Fire]) -> bool:
        """False if a follower that should have a row has none.

        Who else may be doing this now: the other nodes, for the same fires. The primary key decides.
        """
        graph = self.graphs.graph
        followers = sorted({(at, each) for at, up in ended for each in graph.followers.get(up, ())})
        if not followers:
            return True
        wanted = {(at, up) for at, each in followers for up in graph.upstreams[each]} | set(followers)
        runs: dict[Fire, list[FireRun]] = {}
        for run in self._store.fire_runs(sorted(wanted)):
            runs.setdefault((run.key.fire_at, run.key.schedule_id), []).append(run)
        opened: list[OpenRow] = []
        again: list[RunKey] = []
        for fire in followers:
            upstreams = [ended_fire((fire[0], up), runs) for up in graph.upstreams[fire[1]]]
            entry = self._catalog.get(fire[1])
            if entry is None or not all(upstreams):
                continue
            ends = [each for each in upstreams if each is not None]
            if fire not in runs:
                opened += self._rows(entry, fire[0], ends)
            elif _was_skipped(runs[fire]) and entry.schedule and not _unmet(entry.schedule, ends):
                again.append(RunKey(*fire))
        for batch in one_of_each_serial(opened):
            self._store.open_followers(node_id, batch)
        if again:
            self._store.reopen_followers(again)
        if opened or again:
            self._hint_queued(opened)
        return not (opened and self._store.missing([row.key for row in opened if row.key.shard == 0]))

    def _hint_queued(self, opened: Sequence[OpenRow]) -> None:
        now = self._standing.clock.now()
        for delay in {row.delay for row in opened if row.status == "queued" and row.delay}:
            self._pull.hint_at(now + delay)
        self._pull.hint()
        self._gate.notify("queue")
        self._hinted = True  # what was skipped has ended, too, and may have followers of its own

    def _rows(self, entry: Entry, fire_at: Instant, upstreams: Sequence[Ended]) -> Iterator[OpenRow]:
        """The follower's rows; none where it did not follow at that instant."""
        if not self._followed_then(entry, fire_at):
            return
        schedule = entry.schedule
        change = what_changed(entry)
        if change or schedule is None:
            reason = f"definition changed: {change}"
            yield from open_rows(entry, fire_at, "skipped", ReasonCode.DEFINITION_CHANGED, reason)
        elif unmet := _unmet(schedule, upstreams):
            reason = f"{self._text(unmet)} is {unmet.status}; after_rule is {schedule.after_rule}"
            yield from open_rows(entry, fire_at, "skipped", ReasonCode.UPSTREAM, reason)
        else:
            found = places(schedule, fire_at, self._standing.ranking)
            yield from open_rows(entry, fire_at, "queued", delay=jitter_of(schedule), found=found)

    def _followed_then(self, entry: Entry, fire_at: Instant) -> bool:
        """Whether the version in force at the instant followed anything, and was enabled."""
        if entry.version.valid_from >= fire_at:
            history = self._store.history(fire_at, [entry.version.schedule_id])
            former = [entry_of(v, entry.as_of) for v in history if v.valid_from < fire_at]
            if not former:
                return False
            entry = former[-1]
            return entry.fires and entry.schedule is not None and bool(entry.schedule.after)
        return entry.fires

    def _text(self, run: FireRun) -> str:
        return key_text(self._catalog.name_of(run.key.schedule_id), run.key)


def ended_fire(fire: Fire, runs: Mapping[Fire, Sequence[FireRun]]) -> Ended | None:
    """The fire, if it was opened and all of its runs have ended. Its rows are opened all at once."""
    found = runs.get(fire, ())
    if not found or any(run.status not in ENDED for run in found):
        return None
    return Ended(fire, tuple(found))


def _was_skipped(runs: Sequence[FireRun]) -> bool:
    return len(runs) == 1 and runs[0].status == "skipped" and runs[0].reason_code == ReasonCode.UPSTREAM


def _unmet(schedule: Schedule, upstreams: Sequence[Ended]) -> FireRun | None:
    """The run because of which the follower may not run; None where its rule is met."""
    runs = [run for each in upstreams for run in each.runs]
    match schedule.after_rule:
        case "done":
            return None
        case "success":
            return next((run for run in runs if run.status != "succeeded"), None)
        case "failure":
            return None if any(run.status in FAILURES for run in runs) else runs[0]
