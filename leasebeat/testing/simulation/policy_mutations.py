"""Each policy of a schedule, ignored: by the simulated server, or by what stands in for the node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from leasebeat.model.instant import Instant, Micros
from leasebeat.model.schedule import Schedule
from leasebeat.node import after_end, claim, follow, owed
from leasebeat.node.audit import Audit
from leasebeat.node.catalog import Entry
from leasebeat.node.owed import Owed, Window
from leasebeat.node.pull import Pull
from leasebeat.node.ranking import Ranking
from leasebeat.store.base import Candidate, FireRun, LastEnd, OpenRow, Place
from leasebeat.testing.simulation.mutation import Mutation, planned, without
from leasebeat.testing.simulation.seed import Patch

# What stands in for a method of the node sees what that method sees.
# pyright: reportPrivateUsage=false

_places = claim.places


def _all_for_one(schedule: Schedule, fire_at: Instant, ranking: Ranking) -> list[Place]:
    found = _places(schedule, fire_at, ranking)
    return [replace(place, pinned_node_id=found[0].pinned_node_id) for place in found]


def _one_too_few(schedule: Schedule, fire_at: Instant, ranking: Ranking) -> list[Place]:
    found = _places(schedule, fire_at, ranking)
    return found[:-1] if schedule.route != "all" and len(found) > 2 else found


def _anywhere(schedule: Schedule, fire_at: Instant, ranking: Ranking) -> list[Place]:
    return _places(replace(schedule, route="any"), fire_at, ranking)


def _any_end(fire: follow.Fire, runs: Mapping[follow.Fire, Sequence[FireRun]]) -> follow.Ended | None:
    found = runs.get(fire, ())
    return follow.Ended(fire, tuple(found)) if found else None


def _met(schedule: Schedule, upstreams: Sequence[follow.Ended]) -> None:
    del schedule, upstreams


def _no_lanes(self: Pull, candidates: Sequence[Candidate]) -> list[Candidate]:
    del self
    return list(candidates)


def _any_number(self: Pull) -> int:
    del self
    return 1_000_000


_in_lanes = Pull._in_lanes


def _last_first(self: Pull, candidates: Sequence[Candidate]) -> list[Candidate]:
    lanes = {c.lane for c in candidates if c.lane}
    last = {lane: max(c.key for c in candidates if c.lane == lane) for lane in lanes}
    return _in_lanes(self, [c for c in candidates if c.lane is None or c.key == last[c.lane]])


def _no_jitter(schedule: Schedule) -> int:
    del schedule
    return 0


def _not_spread(self: Audit, row: OpenRow, window: Window) -> OpenRow:
    del self, window
    return row


def _at_once(valid_from: Instant, schedule: Schedule, last: LastEnd, delay: Micros) -> Instant:
    del schedule, delay
    return max(last.finished_at or 0, valid_from) + 1


_verdict = owed._verdict


def _judged_as(misfire: str, instead_of: str) -> Callable[..., object]:
    def verdict(each: Owed, newest: Entry | None, window: Window) -> object:
        if newest is not None and newest.schedule is not None and newest.schedule.misfire == instead_of:
            newest = replace(newest, schedule=replace(newest.schedule, misfire=misfire))
        return _verdict(each, newest, window)

    return verdict


def _misfire(misfire: str, instead_of: str) -> Mutation:
    patch: Patch = (owed, "_verdict", _judged_as(misfire, instead_of))
    return Mutation(planned(patch, faults=("crash all",), features=("catch-up",)), ("misfire",))


POLICY_MUTATIONS: Mapping[str, Mutation] = {
    "overlap skip ignored": Mutation(planned(prepare=without("overlap skip")), ("overlap = skip",)),
    "overlap wait ignored": Mutation(
        planned(prepare=without("overlap wait"), features=("wait",)), ("overlap = wait",)
    ),
    "overlap replace ignored": Mutation(
        planned(prepare=without("overlap replace"), features=("replace",)), ("overlap = skip",)
    ),
    "replace as wait": Mutation(
        planned(prepare=without("replace_older"), features=("replace",)), ("overlap = replace",)
    ),
    "any number of waiters": Mutation(
        planned(prepare=without("one waiter"), features=("wait",)), ("overlap = wait",)
    ),
    "lane ignored": Mutation(
        planned((Pull, "_in_lanes", _no_lanes), prepare=without("lane"), features=("lanes",)),
        ("lanes keep their size",),
    ),
    "lane without order": Mutation(
        planned((Pull, "_in_lanes", _last_first), features=("lanes",)), ("lanes keep their order",)
    ),
    "shards dealt to one node": Mutation(
        planned((claim, "places", _all_for_one), features=("shards",)), ("shards are dealt evenly",)
    ),
    "a shard forgotten": Mutation(
        planned((claim, "places", _one_too_few), features=("shards",)), ("fires are whole",)
    ),
    "route all as any": Mutation(planned((claim, "places", _anywhere), features=("all",)), ("route = all",)),
    "pins ignored": Mutation(planned(prepare=without("pin"), features=("all",)), ("route = all",)),
    "route node ignored": Mutation(
        planned(prepare=without("route node"), features=("node",)), ("route = node",)
    ),
    "paused queues ignored": Mutation(
        planned(prepare=without("paused queue"), features=("pauses",)), ("paused queues stand still",)
    ),
    "cordon ignored": Mutation(
        planned(prepare=without("cordon"), features=("cordons",)), ("only the live take work",)
    ),
    "after_rule ignored": Mutation(planned((follow, "_unmet", _met), features=("chains",)), ("followers",)),
    "followers before the end": Mutation(
        planned((follow, "ended_fire", _any_end), features=("chains",)), ("followers come last",)
    ),
    "follow mark forgotten": Mutation(
        planned(prepare=without("follow_mark"), features=("chains",)), ("followers",)
    ),
    "misfire all as once": _misfire("once", "all"),
    "misfire all as skip": _misfire("skip", "all"),
    "misfire once as all": _misfire("all", "once"),
    "misfire once as skip": _misfire("skip", "once"),
    "misfire skip as all": _misfire("all", "skip"),
    "jitter ignored": Mutation(planned((claim, "jitter_of", _no_jitter), features=("jitter",)), ("jitter",)),
    "catch-up not spread": Mutation(
        planned(
            (Audit, "_spread_out", _not_spread),
            (Pull, "_late_room", _any_number),
            faults=("crash all",),
            features=("catch-up",),
        ),
        ("catch-ups are spread",),
    ),
    "@after_end without its delay": Mutation(
        planned((after_end, "_instant", _at_once), features=("after_end",)), ("@after_end",)
    ),
}
"""By name. Each must be caught within 200 seeds."""
