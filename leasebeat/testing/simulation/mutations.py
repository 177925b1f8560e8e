"""Rules taken out of the protocol, one at a time: the checkers must object to each.

Rules of the store are switches of the simulated server; rules of the node are replaced in its
classes for the length of a seed. Faults are aimed at what the rule is there for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from leasebeat.coordination.store import StoreCoordinator
from leasebeat.errors import GateUnavailable
from leasebeat.model.instant import SECOND, Instant
from leasebeat.model.node import Member
from leasebeat.model.run import RunKey
from leasebeat.node import audit
from leasebeat.node.audit import Audit
from leasebeat.node.claim import Claimer, Later, Opening
from leasebeat.node.dispatch import Grant
from leasebeat.node.lease import Lease
from leasebeat.node.membership import Membership
from leasebeat.node.owed import Owed, Walker, Window
from leasebeat.node.purge import Purge
from leasebeat.store.base import ClaimAnswer, Version
from leasebeat.testing.simulation.ensemble_mutations import ENSEMBLE_MUTATIONS
from leasebeat.testing.simulation.mutation import Mutation, planned, without
from leasebeat.testing.simulation.policy_mutations import POLICY_MUTATIONS
from leasebeat.testing.simulation.world import World

# What stands in for a method of the node sees what that method sees.
# pyright: reportPrivateUsage=false


def _unleashed(world: World) -> None:
    world.leashes = False


def _clock_that_lags(world: World) -> None:
    """The store's clock is set back a little, again and again: for a moment every node is ahead of it."""

    def set_back(_: object) -> None:
        world.clock.jump(-world.random.randrange(20_000, 200_000))
        world.kernel.after(world.random.randrange(2, 6) * SECOND, set_back)

    world.weather.rough = world.weather.usual = 0.0
    world.kernel.after(SECOND, set_back)


def _late_statements(world: World) -> None:
    world.weather.rough = world.weather.usual = 0.15
    world.weather.kinds = ("late", "reply lost")


def _late_statements_and_any_attempt(world: World) -> None:
    _late_statements(world)
    world.server.without = frozenset({"attempt_at_finish"})


# --- what stands in for the node's methods ------------------------------------------------------


def _dead_after_one_beat(self: StoreCoordinator, at: float) -> list[Member]:
    del at
    watched = self._watched.values()
    return [watch.member for watch in watched if watch.last - watch.since >= watch.member.beat_s]


def _dead_when_stale(self: StoreCoordinator, at: float) -> list[Member]:
    del at
    return [watch.member for watch in self._watched.values() if watch.member.stale]


def _always_trusted(self: Lease, started: float) -> None:
    self._until = started + 1e9
    self._lapsed = False
    self._leash.renew(self._until)


def _gate_error_is_a_win(self: Claimer, opening: Opening, node_id: str) -> list[int]:
    fires = [RunKey(opening.fire_at, schedule_id) for schedule_id in opening.schedule_ids]
    try:
        won = self._gate.ask(fires, node_id)
    except GateUnavailable:
        entries = [
            entry for key in fires if (entry := self._catalog.get(key.schedule_id)) and entry.has(key.fire_at)
        ]
        for entry in entries:
            key = RunKey(opening.fire_at, entry.version.schedule_id)
            if entry.schedule is not None and self._dispatch.reserve(entry.schedule.queue, 1):
                version, queue = entry.version.runs_as, entry.schedule.queue
                self._dispatch.take(
                    [Grant(node_id, key, 1, key.fire_at, version, queue)], self._dispatch.asking()
                )
        return []
    return [schedule_id for schedule_id, yes in zip(opening.schedule_ids, won, strict=True) if yes]


def _never_missing(self: Audit, node_id: str, term: int, chunk: Sequence[Owed], window: Window) -> bool:
    del self, node_id, term, chunk, window
    return True


_open = Audit._open


def _open_after_the_watermark(
    self: Audit, node_id: str, term: int, chunk: Sequence[Owed], window: Window
) -> bool:
    """What this tick found is opened in the next one, when the watermark has passed it."""
    found: list[Owed] = self.__dict__.setdefault("found", [])
    before, found[:] = list(found), list(chunk)
    _open(self, node_id, term, before, window)
    return True


def _nothing(self: object, *arguments: object) -> int:
    del self, arguments
    return 0


_owed_by_history = audit.owed_by_history


def _owed_by_the_newest(versions: Sequence[Version], walker: Walker) -> Iterator[tuple[int, Instant]]:
    newest = {version.schedule_id: version for version in versions}
    return _owed_by_history(list(newest.values()), walker)


_again = Claimer._again


def _early_is_final(self: Claimer, opening: Opening, answers: Sequence[ClaimAnswer]) -> list[Later]:
    return _again(self, opening, [answer for answer in answers if answer.answer != "early"])


MUTATIONS: Mapping[str, Mutation] = {
    **POLICY_MUTATIONS,
    **ENSEMBLE_MUTATIONS,
    "no anti-join": Mutation(planned(prepare=without("anti_join")), ("one row per fire",)),
    "no version join": Mutation(
        planned(prepare=without("version_join"), edits=40), ("edits are not overtaken", "no invented fires")
    ),
    "no fire_at <= now": Mutation(
        planned(prepare=without("not_early"), faults=("store clock jumps",), count=20), ("no early start",)
    ),
    "attempt not compared at finish": Mutation(
        planned(prepare=_late_statements_and_any_attempt), ("late writers refused",)
    ),
    "purge after one beat": Mutation(
        planned((StoreCoordinator, "dead", _dead_after_one_beat), prepare=without("stale")),
        ("the living are not purged",),
    ),
    "purge without watching": Mutation(
        planned((StoreCoordinator, "dead", _dead_when_stale), faults=("store clock jumps", "crash")),
        ("the living are not purged",),
    ),
    "trust window off": Mutation(
        planned((Lease, "begin", _always_trusted), faults=("cut off", "pause")),
        ("work stops before the purge",),
    ),
    "leash off": Mutation(planned(prepare=_unleashed, faults=("pause",)), ("work stops before the purge",)),
    "gate error starts the task": Mutation(
        planned((Claimer, "_ask_gate", _gate_error_is_a_win), faults=("redis down", "redis lossy")),
        ("tasks begin under a lease",),
    ),
    "gate no is final, and no audit": Mutation(
        planned((Audit, "_open", _never_missing), faults=("crash at a point", "store down")),
        ("every due instant",),
    ),
    "watermark before the claim": Mutation(
        planned(
            (Audit, "_open", _open_after_the_watermark), faults=("crash", "crash at a point", "store down")
        ),
        ("every due instant",),
    ),
    "auditor without term": Mutation(
        planned(prepare=without("term"), faults=("pause", "cut off")),
        ("the watermark obeys the term", "the watermark grows"),
    ),
    "take-over without attempt + 1": Mutation(
        planned(prepare=without("attempt_plus_one"), faults=("crash",)),
        ("attempts without gaps", "each attempt begins once"),
    ),
    "no look at own rows": Mutation(
        planned((Membership, "_reconcile", _nothing), prepare=_late_statements), ("nothing is stuck",)
    ),
    "no take-back of orphans": Mutation(planned((Purge, "_take_back", _nothing)), ("nothing is stuck",)),
    "history rule dropped": Mutation(
        planned(
            (audit, "owed_by_history", _owed_by_the_newest), faults=("crash all", "store down"), edits=40
        ),
        ("every due instant", "no invented fires"),
    ),
    "early not asked again": Mutation(
        planned((Claimer, "_again", _early_is_final), prepare=_clock_that_lags, faults=("host clock jumps",)),
        ("fires open in time",),
    ),
}
"""By name. Each must be caught within 200 seeds."""
