"""An hour in which nothing ran, and what becomes of it: minutely schedules under each policy of `misfire`.

`OUTAGE_SCHEDULES` says how many; CI takes 90, and 1,000 come to 20,000 runs that are caught up.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

from leasebeat.model.instant import SECOND, Instant
from leasebeat.testing.simulation.checkers import check
from leasebeat.testing.simulation.lateness import catch_ups_are_spread
from leasebeat.testing.simulation.seed import evidence_of
from leasebeat.testing.simulation.tasks import TaskBegin
from leasebeat.testing.simulation.world import START, Behaviour, World

SCHEDULES = int(os.environ.get("OUTAGE_SCHEDULES", "90"))
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
CRASH: Instant = START + 2 * MINUTE + 10 * SECOND
BACK: Instant = CRASH + HOUR
MISSED = range(START + 3 * MINUTE, BACK, MINUTE)
"""The sixty instants of the hour."""

PER_SECOND = 50
POLICIES = ("once", "all", "skip")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World(1, machines=3, beat_s=10.0)
    made.weather.rough = made.weather.usual = 0.0
    made.catch_up_per_s = PER_SECOND
    for number in range(SCHEDULES):
        columns = {"cron": "* * * * *", "misfire": POLICIES[number % 3], "misfire_grace_s": 7200}
        made.add_schedule(columns, Behaviour(0.05, 0.1))
    for machine in made.machines:
        machine.slots = 40
        made.kernel.after(SECOND, lambda _, m=machine: m.boot())
        made.kernel.at(CRASH, lambda _, m=machine: m.crash())
        made.kernel.at(BACK, lambda _, m=machine: m.boot())
    caught_up = BACK + (SCHEDULES // 3 * 61 // PER_SECOND) * SECOND
    made.kernel.run(caught_up + 3 * MINUTE)
    yield made
    for process, _ in made.processes.values():
        process.crash()


def told(world: World, policy: str) -> list[Counter[tuple[str, str | None]]]:
    """Of each schedule with that policy, what its rows of the hour say."""
    rows = world.server.schedules.rows
    return [
        Counter(
            (run.status, run.reason_code)
            for key, run in world.server.runs.of_schedule[schedule_id].items()
            if key.fire_at in MISSED
        )
        for schedule_id, row in rows.items()
        if row["misfire"] == policy
    ]


@pytest.mark.fault(65)
def test_once_runs_the_latest_and_records_the_others(world: World) -> None:
    expected = Counter({("succeeded", None): 1, ("missed", "misfire"): 59})
    assert told(world, "once") == [expected] * len(range(0, SCHEDULES, 3))
    latest = {key for key, run in world.server.runs.rows.items() if run.status == "succeeded"}
    once = [each for each, row in world.server.schedules.rows.items() if row["misfire"] == "once"]
    assert all((MISSED[-1], each, 0) in latest for each in once)


@pytest.mark.fault(65)
def test_all_runs_each_of_them(world: World) -> None:
    assert told(world, "all") == [Counter({("succeeded", None): 60})] * len(range(1, SCHEDULES, 3))


@pytest.mark.fault(65)
def test_skip_runs_none_of_them(world: World) -> None:
    assert told(world, "skip") == [Counter({("missed", "misfire"): 60})] * len(range(2, SCHEDULES, 3))


def test_what_is_caught_up_begins_oldest_first_in_each_schedule(world: World) -> None:
    begun: dict[int, list[Instant]] = defaultdict(list)
    for entry in world.journal:
        if isinstance(entry, TaskBegin) and entry.key.fire_at in MISSED:
            begun[entry.key.schedule_id].append(entry.key.fire_at)
    assert sum(map(len, begun.values())) == len(range(0, SCHEDULES, 3)) + 60 * len(range(1, SCHEDULES, 3))
    assert all(instants == sorted(instants) for instants in begun.values())


@pytest.mark.fault(65)
def test_no_second_sees_more_starts_than_a_catch_up_may_make(world: World) -> None:
    evidence = evidence_of(world, world.clock.now(), calm_links=True)
    assert check(evidence, [catch_ups_are_spread]) == []


def test_the_fires_of_afterwards_are_on_time(world: World) -> None:
    """A catch-up keeps nobody from what is due now."""
    due = range(BACK - 10 * SECOND + MINUTE, world.kernel.now - MINUTE, MINUTE)
    assert len(due) >= 2
    late = [
        entry.key
        for entry in world.journal
        if isinstance(entry, TaskBegin) and entry.key.fire_at in due and entry.at - entry.key.fire_at > MINUTE
    ]
    assert late == []
