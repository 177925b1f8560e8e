"""Several processes on one file: nobody is refused for reading first, and the dead hold nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leasebeat.model.run import RunKey
from leasebeat.store.base import FinishRow
from tests.contract.store_bench import NODE, OTHER, SqliteBench, ended, opening

SCHEDULES = 50
ROUNDS = 20

CLAIM = """
import sys
from collections.abc import Callable
from pathlib import Path
from leasebeat.runtime import SystemRuntime
from leasebeat.store.base import ClaimRow
from leasebeat.store.sql import SqlStore
from leasebeat.store.sqlite import SqliteSession

path, node, now = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = SqlStore(SqliteSession(path, SystemRuntime(), clock=lambda: now))
versions = store.versions(range(1, {schedules} + 1))
sys.stdin.readline()
won = 0
for second in range({rounds}):
    rows = [ClaimRow(v.schedule_id, 0, v.id, v.id, True, "default", 0, 0, 0, None, "allow") for v in versions]
    won += store.claim(node, now - second * 1_000_000, rows).count
print(won)
"""

DIE = """
import os, signal, sys
from pathlib import Path
from leasebeat.model.run import RunKey
from leasebeat.runtime import SystemRuntime
from leasebeat.store.base import FinishRow
from leasebeat.store.sql import SqlStore
from leasebeat.store.sqlite import SqliteSession

path, node, now, where = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), tuple(sys.argv[4].split())

def die(name, when):
    if (name, when) == where:
        os.kill(os.getpid(), signal.SIGKILL)

store = SqlStore(SqliteSession(path, SystemRuntime(), clock=lambda: now, fault=die))
store.finish(node, [FinishRow(RunKey(now, 1, 0), 1, "failed", again=True, output=b"said", output_bytes=4)])
"""


@pytest.fixture
def bench(tmp_path: Path) -> SqliteBench:
    made = SqliteBench(tmp_path / "store.db")
    made.join()
    made.join(OTHER)
    return made


def python(script: str, bench: SqliteBench, node: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, str(bench.path), node, str(bench.now), *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.fault(86)
def test_processes_that_claim_the_same_fires_at_once_share_them_without_an_error(bench: SqliteBench) -> None:
    for schedule_id in range(1, SCHEDULES + 1):
        bench.schedule(schedule_id)
    script = CLAIM.format(schedules=SCHEDULES, rounds=ROUNDS)
    processes = [python(script, bench, node) for node in (NODE, OTHER, NODE)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    won = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum(won) == SCHEDULES * ROUNDS == bench.store.count_runs()
    held = len(bench.own(NODE)), len(bench.own(OTHER))
    assert held == (won[0] + won[2], won[1])
    bench.close()


@pytest.mark.parametrize(
    "where", ["finish_outputs after", "finish_attempts after", "finish before", "finish after"]
)
def test_a_process_killed_within_a_transaction_leaves_nothing_of_it_and_no_lock(
    bench: SqliteBench, where: str
) -> None:
    key = bench.running(1)
    process = python(DIE, bench, NODE, where)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert bench.status(key) == "running"
    assert (bench.attempt(key, 1), bench.output(key, 1)) == (None, None)
    assert bench.store.finish(NODE, [ended(key)]) == 1
    bench.close()


def test_ten_thousand_runs_are_claimed_and_ended_in_batches(
    bench: SqliteBench, record_property: Callable[[str, object], None]
) -> None:
    count, batch = 10_000, 500
    bench.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s)"
        " INSERT INTO schedules (id, name, cron, command, updated_at)"
        " SELECT i, 's' || i, '@hourly', 'true', '2026-01-01 00:00:00.000000' FROM n",
        count,
    )
    bench.sql(
        "INSERT INTO schedule_history"
        " (schedule_id, former_id, version, updated_at, valid_from, enabled, definition)"
        " SELECT id, 0, version, updated_at, updated_at, 1, '{}' FROM schedules"
    )
    versions = bench.store.versions(range(1, count + 1))
    began = os.times().elapsed
    for first in range(0, count, batch):
        rows = [opening(version) for version in versions[first : first + batch]]
        assert bench.store.claim(NODE, bench.now, rows).count == batch
    claimed = os.times().elapsed
    ends = [
        FinishRow(RunKey(bench.now, version.schedule_id, 0), 1, "succeeded", exit_code=0)
        for version in versions
    ]
    assert bench.store.finish(NODE, ends) == count
    record_property("claim and finish of 10,000 runs, s", (claimed - began, os.times().elapsed - claimed))
    assert bench.sql("SELECT status, count(*) AS n FROM runs GROUP BY status") == [
        {"status": "succeeded", "n": count}
    ]
    bench.close()
