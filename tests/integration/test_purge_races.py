"""Several nodes purge one dead node, and take its runs back, at the same moment."""

from __future__ import annotations

import pytest

from leasebeat.node.purge import _reclaim
from tests.integration.mysql_store import NODE, Fleet, Meanwhile, fleet, openings

__all__ = ["fleet"]
PURGERS, RUNS = 8, 40


@pytest.mark.fault(63)
def test_of_many_that_purge_a_node_one_does_and_each_of_its_runs_moves_once(fleet: Fleet) -> None:
    versions = fleet.schedules(RUNS)
    fleet.join(NODE)
    assert fleet.store.claim(NODE, fleet.now(), openings(versions)).count == RUNS
    fleet.hands("UPDATE nodes SET beat_at = beat_at - INTERVAL 1 MINUTE")
    (seq,) = (member.beat_seq for member in fleet.store.poll(NODE, ["default"]).members)
    stores = [fleet.another()[1] for _ in range(PURGERS)]

    def all_of(calls: list[Meanwhile]) -> list[object]:
        return [call.result(60) for call in calls]

    purged = all_of([Meanwhile(lambda s=store: s.purge(NODE, seq)) for store in stores])
    assert sorted(map(str, purged)) == ["False"] * (PURGERS - 1) + ["True"]
    looks = [store.orphans(False) for store in stores]
    assert {len(look) for look in looks} == {RUNS}
    rows = [[_reclaim(orphan) for orphan in look] for look in looks]
    calls = [
        Meanwhile(lambda s=store, r=each: s.reclaim(r)) for store, each in zip(stores, rows, strict=True)
    ]
    counts = all_of(calls)
    assert sum(count for count in counts if isinstance(count, int)) == RUNS
    found = fleet.hands("SELECT DISTINCT status, attempt, take_overs FROM runs")
    assert found == [{"status": "queued", "attempt": 1, "take_overs": 1}]
