"""Shards, a workflow and an outage, each with a fleet of its own, side by side: they mostly wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from leasebeat.testing.mysql import MySQL
from leasebeat.testing.trials import outage, shards, workflow


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_shards_workflows_and_missed_instants_become_what_they_should_while_workers_die(
    tmp_path: Path, mariadb: MySQL, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shard, flow, out = (tmp_path / name for name in ("shards", "workflow", "outage"))
    for folder in (shard, flow, out):
        folder.mkdir()
    with ThreadPoolExecutor(3) as pool:
        steps = pool.submit(workflow.run, flow, mariadb, redis_url, instants=30, times=4, seed=1)
        missed = pool.submit(outage.run, out, redis_url, schedules=6, per_s=20)
        parts = shards.run(shard, mariadb, redis_url, quiet=1, times=3, seed=1, kill_every_s=4)
    with capsys.disabled():
        print("", *parts.lines(), *steps.result().lines(), *missed.result().lines(), sep="\n  ")
    assert [*parts.findings, *steps.result().findings, *missed.result().findings] == []
    _shards_went_on(parts)
    _steps_went_on(steps.result())
    _caught_up(missed.result())


def _shards_went_on(result: shards.ShardsResult) -> None:
    assert result.statuses == {"succeeded": result.due}
    assert result.uneven_pct <= 10
    assert sum(result.taken_over) > 0


def _steps_went_on(result: workflow.WorkflowResult) -> None:
    assert sum(result.statuses.values()) == result.due == 360
    assert result.taken_over > 0


def _caught_up(result: outage.OutageResult) -> None:
    assert sum(result.missed.values()) == 360
    assert result.live["succeeded"] >= 6
    # A node that the other fleets hold up begins two portions within a second; all at once would be 75.
    assert result.most_per_s <= 2 * result.allowed_per_s
