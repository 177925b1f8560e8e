"""What must hold of the policies: overlap, lanes, shards, routes, queues.

Like `checkers`, these know nothing of the node's code: what a schedule asks for is read from the version
that each run names, and what happened from the journal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.model.run import RunKey
from leasebeat.testing.invariants import invariant
from leasebeat.testing.simstore.base import NodeChange, Replaced
from leasebeat.testing.simstore.tables import NodeRow, Run, RunChange
from leasebeat.testing.simulation.checkers import Checker
from leasebeat.testing.simulation.evidence import Evidence, Violation, key_of
from leasebeat.testing.simulation.lanes import lanes_keep_their_order, lanes_keep_their_size
from leasebeat.testing.simulation.lateness import (
    after_end_follows_its_own_end,
    catch_ups_are_judged_by_misfire,
    catch_ups_are_spread,
    jitter_is_kept,
    nothing_starts_before_it_is_ready,
)
from leasebeat.testing.simulation.stuck import nothing_is_stuck
from leasebeat.testing.simulation.tasks import TaskBegin
from leasebeat.testing.simulation.workflows import followers_are_opened, followers_come_last

SETTLED: Micros = 20 * SECOND
"""So long after a change every node has heard of it, and no statement from before is under way."""


States = dict[str, list[tuple[Instant, str]]]
"""Of each node, since when it was what."""


@invariant("I4")
def open_runs_of_a_serial(evidence: Evidence) -> Iterator[Violation]:
    """Skip: one. Wait: one, and one that waits. (Runs by hand and those of a catch-up form a line.)"""
    most = {"skip": 1, "wait": 2}
    open_runs: dict[str, set[RunKey]] = defaultdict(set)
    for change in evidence.of(RunChange):
        run = evidence.rows[change.key]
        schedule = evidence.schedule(run.version)
        limit = most.get(schedule.get("overlap", ""))
        if (
            limit is None
            or run.origin == "manual"
            or (run.origin == "audit" and schedule["misfire"] == "all")
        ):
            continue
        serial = _serial(evidence, run, schedule)
        if change.status not in ("queued", "running"):
            open_runs[serial].discard(change.key)
            continue
        open_runs[serial].add(change.key)
        if len(open_runs[serial]) > limit:
            what = f"{key_of(change.key)} is open beside {len(open_runs[serial]) - 1} of serial {serial}"
            yield Violation(f"overlap = {schedule['overlap']}", what, change.at)


def _serial(evidence: Evidence, run: Run, schedule: Mapping[str, Any]) -> str:
    if schedule["route"] == "all":
        node = evidence.nodes.get(run.pinned_node_id or "")
        return f"{run.key.schedule_id}@{node.name if node else run.pinned_node_id}"
    return f"{run.key.schedule_id}:{run.key.shard}"


def the_newest_replaces(evidence: Evidence) -> Iterator[Violation]:
    """Replace: when a run is opened beside older ones of its serial, those are asked to end."""
    open_runs: dict[str, dict[RunKey, Instant]] = defaultdict(dict)  #: and when each was committed
    asked: set[RunKey] = set()
    opened: list[tuple[RunChange, list[RunKey]]] = []
    for entry in evidence.journal:
        if entry.__class__ is Replaced:
            asked.add(entry.key)
            continue
        if entry.__class__ is not RunChange:
            continue
        run = evidence.rows[entry.key]
        schedule = evidence.schedule(run.version)
        if schedule.get("overlap") != "replace" or run.origin == "manual":
            continue  # what was put in by hand wants its serial only when it is dressed
        runs = open_runs[_serial(evidence, run, schedule)]
        if entry.status not in ("queued", "running"):
            runs.pop(entry.key, None)
        elif entry.was is None:
            older = [key for key, at in runs.items() if at < entry.began and key.fire_at < entry.key.fire_at]
            if run.origin in ("trigger", "after"):
                opened.append((entry, older))
            runs[entry.key] = entry.at
    for change, older in opened:
        for key in older:
            if key not in asked and not evidence.rows[key].kill_requested:
                what = f"{key_of(key)} was not asked to end for {key_of(change.key)}"
                yield Violation("overlap = replace", what, change.at)


@invariant("I11")
def fires_are_whole(evidence: Evidence) -> Iterator[Violation]:
    """A fire has all its shards, by one statement, or none; they are dealt evenly."""
    fires: dict[tuple[Instant, int], list[Run]] = defaultdict(list)
    for run in evidence.rows.values():
        fires[run.fire].append(run)
    born = {change.key: change for change in evidence.of(RunChange) if change.was is None}
    live = _live(evidence)
    for (fire_at, schedule_id), runs in fires.items():
        name = key_of(RunKey(fire_at, schedule_id))
        schedule = evidence.schedule(runs[0].version)
        shards = runs[0].shards
        if any(run.version is None for run in runs):
            continue  # put in by hand, and closed before anybody dressed it
        if {run.shards for run in runs} != {shards} or {run.key.shard for run in runs} != set(range(shards)):
            yield Violation("fires are whole", f"{name} has {len(runs)} rows of {shards}")
        over = len(runs) == 1 and runs[0].status in ("skipped", "missed")
        if schedule.get("route") != "all" and shards != schedule.get("shards", 1) and not over:
            yield Violation("fires are whole", f"{name} has {shards} shards, not {schedule.get('shards')}")
        births = [born[run.key] for run in runs if run.key in born]
        if not births:
            continue
        first = births[0]
        if len({birth.at for birth in births}) > 1 and runs[0].origin != "manual":
            yield Violation("fires are whole", f"{name} was opened bit by bit", first.at)
        if not over:
            yield from _dealt(evidence, name, schedule, runs, first, live)


def _dealt(
    evidence: Evidence,
    name: str,
    schedule: Mapping[str, Any],
    runs: list[Run],
    first: RunChange,
    live: States,
) -> Iterator[Violation]:
    route, at, queue = schedule.get("route"), first.at, runs[0].queue
    pins = Counter(run.pinned_node_id for run in runs)
    serving = {node.id for node in evidence.nodes.values() if _serves(node, queue)}
    here = {node_id for node_id in serving if _was_live(live, node_id, at)}
    heard = at - SETTLED - evidence.lease  #: everybody knows of what was before
    calm = (
        evidence.calm_links
        and all(end <= heard for start, end in evidence.disturbed if start < at)
        and all(not heard < since <= at for states in live.values() for since, _ in states)
    )
    if route == "all":
        if max(pins.values()) > 1 or not serving.issuperset(pins) or (calm and set(pins) != here):
            what = f"{name} is for {sorted(map(str, pins))}, live are {sorted(here)}"
            yield Violation("route = all", what, at)
    elif route in ("sticky", "spread") and len(runs) > 1 and None not in pins:
        uneven = max(pins.values()) - min(pins.values()) > 1
        if uneven or (calm and len(pins) < min(len(here), len(runs))):
            what = f"{name}: {sorted(pins.values())} for {len(here)}"
            yield Violation("shards are dealt evenly", what, at)


def _live(evidence: Evidence) -> States:
    states: States = defaultdict(list)
    for change in evidence.of(NodeChange):
        states[change.node_id].append((change.at, change.state))
    return states


def _was_live(live: States, node_id: str, at: Instant) -> bool:
    return next((state for since, state in reversed(live.get(node_id, [])) if since <= at), "") == "live"


def _serves(node: NodeRow, queue: str) -> bool:
    return queue in node.facts.queues and "execute" in node.facts.roles


def routes_are_kept(evidence: Evidence) -> Iterator[Violation]:
    """Tasks begin where their queue is served, on the node that is named, and each of `all` on its own."""
    for begun in evidence.of(TaskBegin):
        run, node = evidence.rows.get(begun.key), evidence.nodes.get(begun.node_id)
        if run is None or node is None:
            continue
        route = str(evidence.schedule(run.version).get("route", "any"))
        if not _serves(node, run.queue):
            what = f"{key_of(begun.key)} of queue {run.queue} began on {node.name}, which does not serve it"
            yield Violation("queues are kept", what, begun.at)
        if route.startswith("node:") and route != f"node:{node.name}":
            yield Violation("route = node", f"{key_of(begun.key)} of {route} began on {node.name}", begun.at)
        if route == "all" and run.pinned_node_id != begun.node_id:
            what = f"{key_of(begun.key)} of {run.pinned_node_id} began on {begun.node_id}"
            yield Violation("route = all", what, begun.at)


def only_the_live_take_work(evidence: Evidence) -> Iterator[Violation]:
    """A cordoned, draining or dead node pulls nothing, and claims nothing to run."""
    live = _live(evidence)
    for change in evidence.of(RunChange):
        if change.status != "running" or change.node_id is None:
            continue
        # A pull locks the row of its node, so that a cordon comes before it or waits for its commit.
        judged = (change.began,) if change.was is None else (change.at, change.now)
        if not any(_was_live(live, change.node_id, at) for at in judged):
            what = f"{key_of(change.key)} taken by {change.node_id}, which was not live"
            yield Violation("only the live take work", what, change.at)


def paused_queues_stand_still(evidence: Evidence) -> Iterator[Violation]:
    """Nothing of a queue begins that has been paused for a while."""
    paused: dict[str, Instant] = {}
    for entry in evidence.journal:
        what = getattr(entry, "what", "")
        if what == "pause queue":
            paused.setdefault(entry.whom, entry.at)
        elif what == "resume queue":
            paused.pop(entry.whom, None)
        elif entry.__class__ is RunChange and entry.status == "running":
            since = paused.get(evidence.rows[entry.key].queue)
            if since is not None and entry.at - since > SETTLED // 2:
                yield Violation("paused queues stand still", f"{key_of(entry.key)} began", entry.at)


POLICIES: tuple[Checker, ...] = (
    open_runs_of_a_serial,
    the_newest_replaces,
    lanes_keep_their_size,
    lanes_keep_their_order,
    fires_are_whole,
    routes_are_kept,
    only_the_live_take_work,
    paused_queues_stand_still,
    followers_are_opened,
    followers_come_last,
    catch_ups_are_judged_by_misfire,
    catch_ups_are_spread,
    jitter_is_kept,
    nothing_starts_before_it_is_ready,
    after_end_follows_its_own_end,
    nothing_is_stuck,
)
"""All of them; every seed is held against each."""
