"""Taking queued runs (overflow, retries, take-overs, run-now, shards, lanes, followers) into free slots.

Lanes: a run in a lane is only ever started by a pull, which takes one of the lane's slots for it; the
store's unique column keeps them apart, whoever else pulls. Catch-up: of the runs that an audit opened
long after their instants each node starts only its part of `catch_up_per_s`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from leasebeat.errors import Busy, Duplicate
from leasebeat.model.instant import SECOND, Instant, Micros, from_seconds
from leasebeat.model.node import NodeState
from leasebeat.model.run import RunKey
from leasebeat.node.dispatch import Dispatch, Grant
from leasebeat.node.loop import WOKEN_S, Turn
from leasebeat.node.standing import Standing
from leasebeat.runtime import Runtime
from leasebeat.store.base import BATCH, Candidate, OwnRun, Store

SETTLE: Micros = from_seconds(6)
"""Twice the longest time-out of a statement: what is older than this is no longer under way."""

_SURPLUS = 4
"""Candidates looked at for each free slot: the surplus is for those that other nodes take first."""


_ALARM: Micros = SECOND // 20
"""Alarms this close to each other are one."""

_CATCH_UP_WINDOW: Micros = SECOND + SECOND // 4
"""In so long a node starts its part of `catch_up_per_s`: more than a second, for tasks may begin late."""

_SEEN_BY_ALL: Micros = 3 * SECOND
"""By then the polls of the others have shown them a node that joined."""


class Pull:
    """Asks the store only when there is a hint that something is queued, and a slot to run it in."""

    name = "pull"

    def __init__(
        self, runtime: Runtime, store: Store, standing: Standing, dispatch: Dispatch, catch_up_per_s: int
    ) -> None:
        self.waiter = runtime.waiter()
        self._store = store
        self._standing = standing
        self._dispatch = dispatch
        self._catch_up_per_s = catch_up_per_s
        self._hinted = False
        self._lock = runtime.lock()
        self._alarms: set[Instant] = set()  #: when something that this node queued is ready
        self._caught_up: deque[Instant] = deque()  #: when runs of a catch-up were taken, lately
        self._known_as: str | None = None
        self._joined_at: Instant = 0

    def hint(self) -> None:
        """Something may be queued. From any thread."""
        self._hinted = True
        self.waiter.wake()

    def hint_at(self, ready_at: Instant) -> None:
        """Something is ready then. From any thread."""
        with self._lock:
            self._alarms.add(-(-ready_at // _ALARM) * _ALARM)
        self.waiter.wake()

    def slot_freed(self) -> None:
        """A slot became free. From any thread."""
        if self._hinted:
            self.waiter.wake()

    def run_once(self) -> Turn:
        """Pull from each queue until the slots are full or nothing is left."""
        node_id = self._standing.node_id
        pause = self._next_alarm()
        if not self._hinted:
            return Turn(pause)
        if not self._standing.takes_work or node_id is None:
            return Turn()
        if self._dispatch.busy >= self._standing.facts.slots:
            return Turn()  # the hint stays; a slot that becomes free wakes this service
        self._hinted = False
        took = sum(self._pull(node_id, queue) for queue in self._standing.pulls_from)
        return Turn(0.0 if self._hinted else self._next_alarm(), took)

    def _next_alarm(self) -> float:
        """Seconds until the next alarm. One that is over is a hint."""
        if not self._alarms:
            return WOKEN_S
        now = self._standing.clock.now()
        with self._lock:
            over = {alarm for alarm in self._alarms if alarm <= now}
            self._alarms -= over
            following = min(self._alarms, default=None)
        self._hinted = self._hinted or bool(over)
        return WOKEN_S if following is None else min(WOKEN_S, (following - now) / SECOND)

    def _pull(self, node_id: str, queue: str) -> int:
        """Who else may be pulling the same rows: every node. SKIP LOCKED and the attempt decide."""
        reserved = self._dispatch.reserve(queue, BATCH)
        unused = reserved
        try:
            if not reserved:
                return 0
            limit = min(BATCH, _SURPLUS * reserved)
            room = self._late_room()
            candidates = self._store.pull_look(node_id, queue, limit, late=room > 0)
            chosen = self._in_lanes(_not_too_many(candidates, room))
            with self._counted(chosen, reserved) as late:
                if not chosen or not self._take(node_id, chosen, reserved):
                    late.clear()
                    return 0  # others were first, or hold them now; the next poll hints again if any are left
                self._hinted = True
                sought = {(c.key, c.attempt + 1) for c in candidates}
                asked = self._dispatch.asking()
                ours = [run for run in self._store.mine(node_id, SETTLE) if (run.key, run.attempt) in sought]
                late &= {run.key for run in ours}
            unused -= min(unused, len(ours))
            return self._dispatch.take(grants_of(node_id, queue, ours[:reserved]), asked)
        except Busy:
            self._hinted = True
            raise
        finally:
            self._dispatch.release(queue, unused)

    def _take(self, node_id: str, chosen: Sequence[Candidate], reserved: int) -> int:
        """Those with a lane one by one, so that a slot lost to another node costs only its own run."""
        took = 0
        for candidate in chosen[:reserved]:
            if candidate.lane_slot is None:
                continue
            try:
                took += self._store.pull(node_id, [candidate], 1)
            except Duplicate:
                self._hinted = True  # somebody holds that slot by now: look anew
        plain = [candidate for candidate in chosen if candidate.lane_slot is None]
        return took + (self._store.pull(node_id, plain, reserved - took) if plain and took < reserved else 0)

    def _in_lanes(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The same, those in lanes in the lanes' order and with a free slot each; without one they wait.

        Each lane's best stands where its first stood: behind what has waited for less long, a lane's
        runs would wait for ever on nodes that are never idle.
        """
        lanes = sorted({candidate.lane for candidate in candidates if candidate.lane is not None})
        if not lanes:
            return list(candidates)
        room = self._store.lane_room(lanes)
        inside = {lane: deque(_in_order(candidates, lane, room.get(lane, ()))) for lane in lanes}
        chosen: list[Candidate] = []
        for candidate in candidates:
            if candidate.lane is None:
                chosen.append(candidate)
            elif inside[candidate.lane]:
                chosen.append(inside[candidate.lane].popleft())
        return chosen

    def _late_room(self) -> int:
        """How many runs of a catch-up this node may take now; where none, it looks again when it may.

        A node that has just joined waits until the others have seen it, and take the less.
        """
        now, part, window = self._standing.clock.now(), *self._part()
        if self._known_as != self._standing.node_id:
            self._known_as, self._joined_at = self._standing.node_id, now
        while self._caught_up and self._caught_up[0] <= now - window:
            self._caught_up.popleft()
        begin = self._joined_at + _SEEN_BY_ALL
        again = max(begin, self._caught_up[0] + window) if self._caught_up else begin
        if now < begin or part <= len(self._caught_up):
            self.hint_at(again)
            return 0
        return part - len(self._caught_up)

    def _part(self) -> tuple[int, Micros]:
        """Its part of `catch_up_per_s`, and the time in which it takes so many; all parts make the whole."""
        poll = self._standing.poll
        nodes = (
            [m.id for m in poll.members if m.state == NodeState.LIVE and "execute" in m.roles] if poll else []
        )
        count, rate = max(1, len(nodes)), self._catch_up_per_s
        if count > rate:
            return 1, _CATCH_UP_WINDOW * count // rate
        first = sorted(nodes)[: rate % count]
        return rate // count + (self._standing.node_id in first), _CATCH_UP_WINDOW

    @contextmanager
    def _counted(self, chosen: Sequence[Candidate], most: int) -> Generator[set[RunKey]]:
        """Count those of a catch-up as taken; what the caller leaves in the set was. Where the store
        does not answer, as many may have been as were asked for.
        """
        late = {candidate.key for candidate in chosen if candidate.late}
        asked, answered = min(len(late), most), False
        try:
            yield late
            answered = True
        finally:
            now = self._standing.clock.now()
            self._caught_up.extend([now] * (len(late) if answered else asked))


def _in_order(candidates: Sequence[Candidate], lane: str, slots: Sequence[str]) -> list[Candidate]:
    """Those of a lane that a slot is free for, best first, each with its slot."""
    waiting = sorted((c for c in candidates if c.lane == lane), key=lambda c: (-c.priority, c.key))
    return [replace(candidate, lane_slot=slot) for candidate, slot in zip(waiting, slots, strict=False)]


def _not_too_many(candidates: Sequence[Candidate], room: int) -> list[Candidate]:
    """Without the runs of a catch-up for which there is no room."""
    chosen: list[Candidate] = []
    for candidate in candidates:
        if candidate.late and room <= 0:
            continue
        room -= candidate.late
        chosen.append(candidate)
    return chosen


def grants_of(node_id: str, queue: str, runs: Sequence[OwnRun]) -> list[Grant]:
    """Own rows as grants."""
    return [
        Grant(
            node_id=node_id,
            key=run.key,
            attempt=run.attempt,
            fence=run.claimed_at,
            version=run.version,
            queue=queue,
            args=run.args,
            failures=run.failures,
            take_overs=run.take_overs,
            former_reason=run.reason_code,
            shards=run.shards,
        )
        for run in runs
    ]
