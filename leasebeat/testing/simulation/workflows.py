"""What must hold of schedules that follow others."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from leasebeat.model.instant import SECOND, Instant
from leasebeat.model.run import RunKey
from leasebeat.testing.simstore.base import RowChange
from leasebeat.testing.simstore.tables import Fire, Run, RunChange
from leasebeat.testing.simulation.eras import eras_of
from leasebeat.testing.simulation.evidence import Evidence, Violation, key_of
from leasebeat.testing.simulation.tasks import TaskBegin, TaskEnd

FAILURES = frozenset({"failed", "timed_out", "killed", "lost", "missed"})


def upstreams_of(schedule: Mapping[str, Any]) -> list[int]:
    """The ids of what it follows: people here call each schedule `task-ID`."""
    after = schedule.get("after")
    names = cast("list[str]", json.loads(after) if isinstance(after, str) else after or [])
    return [int(name.removeprefix("task-")) for name in names]


def followers_are_opened(evidence: Evidence) -> Iterator[Violation]:
    """Where all upstreams of a fire have ended, the follower has exactly the row that its rule asks for."""
    fires = _fires(evidence)
    ends: dict[RunKey, Instant] = {
        change.key: change.at
        for change in evidence.of(RunChange)
        if change.status not in ("queued", "running")
    }
    eras = eras_of(evidence.of(RowChange), evidence.clock, evidence.seen)
    for follower, upstreams in _followers(evidence).items():
        shared = set(fires.by_schedule[upstreams[0]])
        shared.intersection_update(*(fires.by_schedule[each] for each in upstreams))
        for fire_at in sorted(shared):
            runs = [run for each in upstreams for run in fires.runs[fire_at, each]]
            last = max(ends.get(run.key, evidence.now) for run in runs)
            ruling = [era for era in eras[follower] if era.may_rule(fire_at)]
            if any(run.open for run in runs) or not ruling:
                continue
            if any(era.row is None or not era.row["enabled"] for era in ruling):
                continue
            quiet = evidence.now - last > evidence.lease + 40 * SECOND
            found = _wrong(
                follower, fire_at, runs, fires.runs.get((fire_at, follower), ()), quiet, ruling[-1].row
            )
            if found:
                yield Violation("followers", found)


def _wrong(
    follower: int,
    fire_at: Instant,
    upstreams: Sequence[Run],
    rows: Sequence[Run],
    quiet: bool,
    schedule: Mapping[str, Any] | None,
) -> str | None:
    name = key_of(RunKey(fire_at, follower))
    if not rows:
        return f"{name} was never opened" if quiet else None
    told_off = rows[0].reason_code == "upstream"
    if rows[0].reason_code == "definition_changed" or rows[0].origin == "manual" or schedule is None:
        return None
    rule = schedule["after_rule"]
    statuses = [run.status for run in upstreams]
    met = {
        "done": True,
        "success": all(status == "succeeded" for status in statuses),
        "failure": any(status in FAILURES for status in statuses),
    }[str(rule)]
    if met == told_off:
        what = f"{rows[0].status} ({rows[0].reason_code})"
        return f"{name} is {what}, its rule is {rule} of {sorted(set(statuses))}"
    return None


def followers_come_last(evidence: Evidence) -> Iterator[Violation]:
    """A follower is opened when all its upstreams have ended, and none of them runs any more."""
    ended: set[RunKey] = set()
    running: dict[Fire, int] = defaultdict(int)
    fires = _fires(evidence)
    for entry in evidence.journal:
        if entry.__class__ is RunChange:
            (ended.discard if entry.status in ("queued", "running") else ended.add)(entry.key)
            if entry.was is None and entry.origin == "after":
                yield from _too_early(evidence, entry, fires, ended, running)
        elif entry.__class__ is TaskBegin and entry.leashed:
            running[entry.key.fire_at, entry.key.schedule_id] += 1
            yield from _too_early(evidence, entry, fires, ended, running)
        elif entry.__class__ is TaskEnd and running.get((entry.key.fire_at, entry.key.schedule_id)):
            running[entry.key.fire_at, entry.key.schedule_id] -= 1


class _Fires:
    """The rows of each fire, and the instants of each schedule."""

    def __init__(self, rows: Mapping[RunKey, Run]) -> None:
        self.runs: dict[Fire, list[Run]] = defaultdict(list)
        self.by_schedule: dict[int, set[Instant]] = defaultdict(set)
        for run in rows.values():
            self.runs[run.fire].append(run)
            self.by_schedule[run.key.schedule_id].add(run.key.fire_at)


def _fires(evidence: Evidence) -> _Fires:
    return _Fires(evidence.rows)


def _too_early(
    evidence: Evidence, entry: Any, fires: _Fires, ended: set[RunKey], running: Mapping[Fire, int]
) -> Iterator[Violation]:
    run = evidence.rows.get(entry.key)
    if run is None:  # begun without a row: for other checkers to say
        return
    if run.origin != "after":
        return
    for upstream in upstreams_of(evidence.schedule(run.version)):
        fire = run.key.fire_at, upstream
        runs = fires.runs.get(fire, [])
        if not runs or any(each.key not in ended for each in runs) or running.get(fire, 0):
            what = f"{key_of(entry.key)} before the end of {key_of(RunKey(*fire))}"
            yield Violation("followers come last", what, entry.at)


def _followers(evidence: Evidence) -> dict[int, list[int]]:
    """Who follows whom, by the newest versions: nobody changes it."""
    newest = {version.schedule_id: version for version in evidence.versions.values() if not version.deleted}
    found = {each: upstreams_of(evidence.schedule(version.id)) for each, version in newest.items()}
    return {follower: upstreams for follower, upstreams in found.items() if upstreams}
