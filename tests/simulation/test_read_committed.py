"""Statements in each other's way: what a store that runs whole transactions one by one cannot show.

Each is what MariaDB does under READ COMMITTED; tests/integration/test_mysql_holes.py has the real ones.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, cast

import pytest

from leasebeat.errors import Busy, Duplicate
from leasebeat.model.node import Vitals
from leasebeat.model.run import RunKey
from leasebeat.store.base import Candidate, FinishRow, ReclaimRow, SeenRow
from tests.contract.store_bench import NODE, OTHER, SimBench, opening

Flight = Generator[Any, None, Any]


@pytest.fixture
def bench() -> SimBench:
    made = SimBench()
    made.join(NODE)
    made.join(OTHER)
    made.pass_time(60)
    for node_id in (NODE, OTHER):
        made.store.beat(node_id, Vitals())
    return made


def begun(statement: object) -> Flight:
    """A statement that writes: a generator."""
    return cast("Flight", statement)


def to_commit(flight: Flight) -> Flight:
    """Advance a claim to the point before its commit: its keys are inserted, nobody sees them."""
    assert next(flight) is None
    assert next(flight) is None
    return flight


def end(flight: Flight) -> Any:
    """The result of what is left of it."""
    try:
        while True:
            next(flight)
    except StopIteration as stop:
        return stop.value


def claim(bench: SimBench, node_id: str, schedule_id: int, **changes: Any) -> Flight:
    version = bench.store.versions([schedule_id])[0]
    return begun(bench.server.claim(node_id, bench.now, [opening(version, **changes)]))


def test_nobody_sees_a_claim_before_its_commit(bench: SimBench) -> None:
    bench.schedule(1)
    flight = to_commit(claim(bench, NODE, 1))
    assert bench.own() == []
    end(flight)
    assert [run.key for run in bench.own()] == [RunKey(bench.now, 1)]


def test_a_claim_waits_for_an_uncommitted_key_and_then_finds_it_taken(bench: SimBench) -> None:
    bench.schedule(1)
    first = to_commit(claim(bench, NODE, 1))
    second = claim(bench, OTHER, 1)
    assert next(second) is None
    assert next(second) == ("run", RunKey(bench.now, 1))
    end(first)
    with pytest.raises(Duplicate):
        next(second)


def test_a_claim_that_waited_goes_on_when_the_first_rolls_back(bench: SimBench) -> None:
    bench.schedule(1)
    first = to_commit(claim(bench, NODE, 1))
    second = claim(bench, OTHER, 1)
    assert next(second) is None
    assert next(second) == ("run", RunKey(bench.now, 1))
    first.close()
    assert end(second).count == 1


def test_a_claim_that_has_waited_too_long_gives_up_what_it_holds(bench: SimBench) -> None:
    bench.schedule(1)
    first = to_commit(claim(bench, NODE, 1))
    second = claim(bench, OTHER, 1)
    assert next(second) is None
    assert next(second) is not None
    with pytest.raises(Busy):
        second.throw(Busy("lock wait"))
    end(first)
    assert bench.server.locks.held == {}


def test_a_claim_judges_its_guards_by_its_snapshot(bench: SimBench) -> None:
    """A3: an edit that commits while the claim waits for a key is overtaken, within the lock wait."""
    bench.schedule(1)
    flight = claim(bench, NODE, 1)
    assert next(flight) is None
    bench.put_schedule(1, enabled=0)
    assert end(flight).count == 1
    assert end(claim(bench, NODE, 1)).count == 0


def test_a_claim_commits_on_a_node_that_was_purged_meanwhile(bench: SimBench) -> None:
    """A1: the purge finds no row to take back, the row is born on a dead node; the sweep finds it."""
    bench.schedule(1)
    flight = to_commit(claim(bench, NODE, 1))
    assert bench.store.purge(NODE, 2, watched=False)
    assert bench.store.orphans(thorough=False) == []
    end(flight)
    assert [orphan.key for orphan in bench.store.orphans(thorough=False)] == [RunKey(bench.now, 1)]


def test_a_serial_is_wanted_until_the_finish_that_frees_it_commits(bench: SimBench) -> None:
    key = bench.running(1, overlap="skip")
    finish = begun(bench.server.finish(NODE, [FinishRow(key, 1, "succeeded")]))
    assert next(finish) is None
    assert next(finish) == "trip"
    bench.pass_time(1)
    assert end(claim(bench, NODE, 1, serial="1:0")).count == 0
    end(finish)
    assert end(claim(bench, NODE, 1, serial="1:0")).count == 1


def test_a_pull_passes_over_what_an_unfinished_finish_holds(bench: SimBench) -> None:
    key = bench.queued(1)
    bench.pass_time(1)
    settle = begun(bench.server.close_killed())
    bench.change_run(key, kill_requested=1)
    assert next(settle) is None
    assert next(settle) is None
    assert end(begun(bench.server.pull(NODE, [Candidate(key, 0)], 1))) == 0
    end(settle)
    assert bench.status(key) == "killed"


def test_a_pull_waits_for_a_purge_of_its_node_and_then_takes_nothing(bench: SimBench) -> None:
    key = bench.queued(1)
    bench.pass_time(1)
    purge = begun(bench.server.purge(NODE, 2, watched=False))
    assert next(purge) is None
    pull = begun(bench.server.pull(NODE, [Candidate(key, 0)], 1))
    assert next(pull) is None
    assert next(pull) == ("node", NODE)
    end(purge)
    assert end(pull) == 0
    assert bench.status(key) == "queued"


def test_a_late_finish_waits_for_the_take_over_and_then_matches_nothing(bench: SimBench) -> None:
    key = bench.running(1)
    bench.store.purge(NODE, 2, watched=False)
    (orphan,) = bench.store.orphans(thorough=False)
    assert orphan.key == key
    reclaim = begun(bench.server.reclaim([ReclaimRow(key, 1, NODE, True, "gone")]))
    assert next(reclaim) is None
    assert next(reclaim) == "trip"
    finish = begun(bench.server.finish(NODE, [FinishRow(key, 1, "succeeded")]))
    assert next(finish) is None
    assert next(finish) == ("run", key)
    end(reclaim)
    assert end(finish) == 0
    assert bench.status(key) == "queued"


def test_two_nodes_that_record_one_version_collide_on_its_former(bench: SimBench) -> None:
    bench.put_schedule(1)
    (row,) = bench.store.schedule_rows([1])
    seen = SeenRow(1, str(row["version"]), bench.now, "{}", None, 0)
    first = begun(bench.server.see_versions([seen]))
    second = begun(bench.server.see_versions([seen]))
    assert [next(first), next(second), next(first)] == [None, None, None]
    assert next(second) == ("history", 1)
    assert end(first) == 1
    with pytest.raises(Duplicate):
        next(second)
