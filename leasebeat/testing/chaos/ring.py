"""One seed from start to verdict."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from leasebeat.model.instant import SECOND, Instant
from leasebeat.testing.chaos.checks import History, judge
from leasebeat.testing.chaos.ground import (
    LANE,
    LANE_SIZE,
    SLOTS,
    Ground,
    Plan,
    due_keys,
    ground,
    in_lane,
    is_serial,
    load_rows,
)
from leasebeat.testing.chaos.nemesis import KINDS, Nemesis, Suffered
from leasebeat.testing.chaos.people import at_work
from leasebeat.testing.chaos.plot import svg
from leasebeat.testing.chaos.report import Report, figures
from leasebeat.testing.evidence import Death, Evidence
from leasebeat.testing.fleet import instants, sleep_until, utc

__all__ = ["run"]

SETTLE_S = 90.0


def run(folder: Path, plan: Plan, picture: Path | None = None) -> Report:
    """Ill-treat a fleet, let it recover, judge its history; the plot goes to `picture`."""
    with ground(folder, plan) as found:
        fleet = found.fleet
        first = fleet.next_second(5)
        endless = first + 86_400 * SECOND
        fleet.store.rows(f"INSERT INTO lanes (name, size) VALUES ('{LANE}', {LANE_SIZE})")
        fleet.schedule(*load_rows(plan, fleet, first, endless))
        assert fleet.store.now() < first, "the schedules were not there in time"
        sleep_until(fleet.store, first)
        nemesis = Nemesis(found, Random(plan.seed))
        with at_work(found, Random(plan.seed + 1)) as people:
            nemesis.run(plan.seconds)
        healed = fleet.store.now()
        quiet = healed + round(2 * plan.lease_s * SECOND)
        end = (healed + round(plan.tail_s * SECOND)) // SECOND * SECOND
        # Said well ahead: an edit counts for the instants after it.
        fleet.store.rows(f"UPDATE schedules SET ends_at = '{utc(end)}' WHERE name LIKE 'job-%'")
        sleep_until(fleet.store, end)
        _settle(found, end)
        evidence = _collected(found, nemesis.log, due_keys(plan, first, end))
        return _judged(found, evidence, nemesis.log, dict(people.counts), quiet, picture)


def _settle(found: Ground, end: Instant) -> None:
    """Wait until nothing is open; what stays open is for the checks to tell."""
    fleet, until = found.fleet, time.monotonic() + SETTLE_S
    while time.monotonic() < until and (not fleet.settled(end) or fleet.task_pids()):
        time.sleep(0.5)


def _collected(found: Ground, log: Sequence[Suffered], due: frozenset[str]) -> Evidence:
    """The evidence; runs by hand are due when they were asked for, which only their rows say."""
    evidence = found.fleet.collect(due)
    byhand = {run.key for run in evidence.runs if run.key.startswith("byhand-0@")}
    return replace(evidence, due=due | byhand, deaths=_deaths(found, log, evidence.lead))


def _deaths(found: Ground, log: Sequence[Suffered], lead: int) -> dict[str, Death]:
    """The fault log by node id: a worker joins under a new one whenever it has lost its lease."""
    asked = "SELECT id, pid, started_at FROM nodes ORDER BY started_at"
    rows = [instants(row) for row in found.fleet.store.rows(asked)]
    deaths: dict[str, Death] = {}
    for suffered in log:
        joined = [
            (row["id"], (row["started_at"] - lead) * 1000) for row in rows if row["pid"] == suffered.pid
        ]
        before = [node_id for node_id, at in joined if at <= suffered.at]
        during = [node_id for node_id, at in joined if suffered.at < at <= suffered.until]
        how = "killed" if suffered.kind == "kill" else "stopped"
        for node_id in [*before[-1:], *during]:
            if how == "killed" or node_id not in deaths:
                deaths[node_id] = Death(suffered.at, how)
    return deaths


def _judged(
    found: Ground,
    evidence: Evidence,
    log: Sequence[Suffered],
    people: dict[str, int],
    quiet: Instant,
    picture: Path | None,
) -> Report:
    plan, names = found.plan, [f"job-{number}" for number in range(found.plan.schedules)]
    history = History(
        evidence=evidence,
        quiet=quiet,
        slots=SLOTS,
        lanes={LANE: (LANE_SIZE, frozenset(n for i, n in enumerate(names) if in_lane(i)))},
        serial=frozenset(name for number, name in enumerate(names) if is_serial(number)),
        workers=found.names,
        live=found.fleet.live(),
        tasks_left=len(found.fleet.task_pids()),
    )
    if picture is not None:
        picture.write_text(svg(evidence, log, found.names))
    kinds = [kind for kind in KINDS if kind != "cut_zookeeper" or plan.coordinator == "zookeeper"]
    return figures(plan, evidence, log, people, quiet, judge(history), kinds)
