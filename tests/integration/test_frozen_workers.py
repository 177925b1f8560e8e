"""A worker that stands still and goes on: for less than its lease, for more, and with its whole machine."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from leasebeat.testing.evidence import executions, findings
from leasebeat.testing.fleet import TELL, Fleet, until
from leasebeat.testing.private import PrivateSqlite, value

pytestmark = pytest.mark.slow

LONG = """. {folder}/tell.sh; tell begin
if [ $LEASEBEAT_ATTEMPT = 1 ]; then while :; do sleep 0.5; tell alive; done; fi; tell end"""
SHORT = """. {folder}/tell.sh; tell begin
if [ $LEASEBEAT_ATTEMPT = 1 ]; then until [ -e {folder}/go ]; do sleep 0.1; done; fi; tell end"""
FENCED = """. {folder}/tell.sh; tell begin
{python} {folder}/fenced.py $LEASEBEAT_ATTEMPT; tell end"""

FENCED_TASK = """
import sqlite3, sys, time
from pathlib import Path
from leasebeat import fencing
database = sqlite3.connect(sys.argv[0] + ".db", timeout=10)
first = sys.argv[1] == "1"
while True:
    try:
        with database:
            fencing.check(database.cursor(), "sqlite")
            database.execute("INSERT INTO written VALUES (?)", (sys.argv[1],))
    except fencing.Fenced:
        Path(sys.argv[0]).with_name("refused").write_text(sys.argv[1])
    if not first and Path(sys.argv[0]).with_name("refused").exists():
        break
    time.sleep(0.1)
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path, PrivateSqlite(tmp_path), node_beat_s=2) as made:
        (tmp_path / "tell.sh").write_text(TELL)
        yield made


def begun(fleet: Fleet, *commands: str) -> None:
    """A run of each, on `a`, that has begun."""
    fleet.start("a")
    fleet.await_live("a")
    told = [command.format(folder=fleet.folder, python=sys.executable) for command in commands]
    fleet.schedule(
        *(
            {"name": f"job-{number}", "cron": "@manual", "command": command}
            for number, command in enumerate(told)
        )
    )
    fleet.store.rows("INSERT INTO runs (schedule_id) SELECT id FROM schedules")
    until(lambda: said(fleet, "begin") == len(commands), 30, f"all begin\n{fleet.tails()}")


def said(fleet: Fleet, what: str) -> int:
    return fleet.evidence.read_text().count(f" {what} ")


def ended(fleet: Fleet) -> bool:
    return bool(value(fleet.store, "SELECT MIN(status = 'succeeded') FROM runs"))


def keys(fleet: Fleet) -> frozenset[str]:
    return frozenset(str(row["key"]) for row in fleet.store.rows("SELECT `key` FROM run_list"))


def taken_over_by(fleet: Fleet, name: str) -> None:
    """`a` has been purged, and all its runs have succeeded as the next attempt on the other node."""
    until(lambda: ended(fleet), 60, f"the runs end elsewhere\n{fleet.tails()}")
    rows = fleet.store.rows("SELECT attempt, node_id FROM runs")
    assert {(row["attempt"], row["node_id"]) for row in rows} == {(2, fleet[name].node_id)}


@pytest.mark.fault(9)
def test_a_worker_that_stood_still_for_less_than_its_lease_goes_on_where_it_was(fleet: Fleet) -> None:
    begun(fleet, SHORT)
    node_id = fleet["a"].node_id
    fleet["a"].signal(signal.SIGSTOP)
    (fleet.folder / "go").touch()
    until(lambda: said(fleet, "end"), 10, "the task ends while its worker stands still")
    fleet["a"].resume()
    until(lambda: ended(fleet), 20, f"its end is recorded\n{fleet.tails()}")
    assert fleet["a"].node_id == node_id
    assert findings(fleet.collect(keys(fleet))) == []
    assert fleet.store.rows("SELECT attempt FROM attempts") == []


@pytest.mark.fault(10, 64)
def test_a_worker_that_stood_still_for_longer_finds_its_work_gone_and_its_words_refused(fleet: Fleet) -> None:
    begun(fleet, LONG, SHORT)
    fleet.start("b")
    fleet.await_live("b")
    node_id = fleet["a"].node_id
    fleet["a"].stop()
    (fleet.folder / "go").touch()
    until(lambda: said(fleet, "end"), 10, "one task ends while nobody can hear of it")
    taken_over_by(fleet, "b")
    assert fleet.task_pids(f"LEASEBEAT_NODE_ID={node_id}") == []
    fleet["a"].resume()
    until(lambda: fleet["a"].node_id != node_id and "a" in fleet.live(), 30, f"a joins anew\n{fleet.tails()}")
    assert findings(fleet.collect(keys(fleet)), prompt=False) == []
    refused = "SELECT COUNT(*) FROM attempts WHERE attempt = 1 AND outcome = 'superseded'"
    until(lambda: value(fleet.store, refused), 20, f"the late end is kept apart\n{fleet.tails()}")
    assert fleet.counts() == {"succeeded": 2}


@pytest.mark.fault(12)
def test_a_task_of_a_paused_machine_is_fenced_off_when_it_wakes_and_then_killed(fleet: Fleet) -> None:
    (fleet.folder / "fenced.py").write_text(FENCED_TASK)
    with sqlite3.connect(fleet.folder / "fenced.py.db") as database:
        database.execute("CREATE TABLE task_fences (run_key TEXT PRIMARY KEY, fence BIGINT NOT NULL)")
        database.execute("CREATE TABLE written (attempt)")
    fleet.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    begun(fleet, "PYTHONPATH=" + fleet.environ["PYTHONPATH"] + "; export PYTHONPATH; " + FENCED)
    until(lambda: writes(fleet) > 0, 20, f"it writes\n{fleet.tails()}")
    fleet.start("b")
    fleet.await_live("b")
    node_id, machine = fleet["a"].node_id, everything_of(fleet, "a")
    until(lambda: stands_still(fleet, machine), 20, "it stands still, and not in the middle of a write")
    until(lambda: said(fleet, "begin") == 2, 60, f"b takes the run over\n{fleet.tails()}")
    until(lambda: writes(fleet, "2") > 0, 20, "the second attempt writes")
    before = writes(fleet, "1")
    # The tasks wake first, as the worst would have it: nothing else could stop them now.
    for process in reversed(machine):
        process.send_signal(signal.SIGCONT)
    until((fleet.folder / "refused").exists, 20, "the old attempt is refused")
    woke = time.monotonic()
    until(lambda: not fleet.task_pids(f"LEASEBEAT_NODE_ID={node_id}"), 10, "its task is killed")
    print(f"two attempts side by side for at most {time.monotonic() - woke:.2f} s after the first refusal")
    until(lambda: ended(fleet), 20, f"the second attempt ends\n{fleet.tails()}")
    assert (fleet.folder / "refused").read_text() == "1"
    assert writes(fleet, "1") == before
    assert {found.attempt for found in executions(fleet.evidence.read_text().splitlines())} == {1, 2}


def writes(fleet: Fleet, attempt: str = "1") -> int:
    with sqlite3.connect(fleet.folder / "fenced.py.db") as database:
        (count,) = database.execute("SELECT COUNT(*) FROM written WHERE attempt = ?", (attempt,)).fetchone()
    return count


def stands_still(fleet: Fleet, machine: list[psutil.Process]) -> bool:
    """Stop it; if it holds a lock of a SQLite file just then, nobody could go on: let it go on, and again."""
    for process in machine:
        process.send_signal(signal.SIGSTOP)
    if all(free(path) for path in fleet.folder.glob("*.db")):
        return True
    for process in machine:
        process.send_signal(signal.SIGCONT)
    return False


def free(path: Path) -> bool:
    """Whether somebody may write to the file now."""
    with closing(sqlite3.connect(path, timeout=0.2, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        database.execute("ROLLBACK")
        return True


def everything_of(fleet: Fleet, name: str) -> list[psutil.Process]:
    """The worker, its guardian and its tasks: the worker first, tasks last."""
    worker = psutil.Process(fleet[name].process.pid)
    found = [worker, *worker.children(recursive=True)]
    assert len(found) > 2, os.fspath(fleet[name].log)
    return found
