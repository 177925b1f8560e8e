"""One worker process and its signals, on the embedded store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from leasebeat.model.instant import SECOND
from leasebeat.testing.evidence import findings, second_keys
from leasebeat.testing.fleet import Fleet, Worker, in_window, mixed, numbered, sleep_until, until
from leasebeat.testing.private import PrivateSqlite, value

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path, PrivateSqlite(tmp_path), node_beat_s=1, node_kill_grace_s=1) as made:
        yield made


def started(fleet: Fleet, name: str = "a") -> Worker:
    fleet.start(name)
    fleet.await_live(name)
    return fleet[name]


def run_now(fleet: Fleet, command: str) -> None:
    """A run of a schedule of its own, asked for as people do; it has begun."""
    fleet.schedule({"name": "job-1", "cron": "@manual", "command": f"echo begun >>$EVIDENCE; {command}"})
    fleet.store.rows("INSERT INTO runs (schedule_id) SELECT id FROM schedules")
    until(fleet.evidence.read_text, 20, f"the run begins\n{fleet.tails()}")


def row(fleet: Fleet) -> tuple[object, ...]:
    return tuple(fleet.store.rows("SELECT status, attempt FROM runs")[0].values())


def state(fleet: Fleet) -> str:
    return str(value(fleet.store, "SELECT state FROM nodes"))


def test_a_worker_that_finds_no_store_says_where_it_looked_and_makes_none(tmp_path: Path) -> None:
    settings = tmp_path / "leasebeat.toml"
    settings.write_text('[store]\nurl = "sqlite:///nowhere.db"\n')
    environ = {**os.environ, "LEASEBEAT_CONFIG": str(settings)}
    command = [sys.executable, ROOT / "worker.py"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78
    assert f"{tmp_path}/nowhere.db" in done.stderr
    assert str(settings) in done.stderr
    assert list(tmp_path.iterdir()) == [settings]


def test_fault_points_do_not_arm_on_a_store_that_is_not_the_tests_own(fleet: Fleet) -> None:
    fleet.store.rows("UPDATE schema_info SET installation = 'production'")
    worker = fleet.add("a").start(fault="after_gate:1")
    assert worker.wait(20) == 78
    assert "LEASEBEAT_TEST_FAULT is set" in worker.tail()


@pytest.mark.fault(60)
@pytest.mark.parametrize("state_dir", ["the same", "another"])
def test_a_second_worker_of_the_same_name_waits_until_the_first_has_left(
    fleet: Fleet, state_dir: str
) -> None:
    first = started(fleet)
    shared = {"node_state_dir": fleet.folder / "a.state"} if state_dir == "the same" else {}
    second = fleet.add("twin", node_name="a", **shared).start()
    until(lambda: second.said("name_taken"), 20, f"the second says that it waits\n{fleet.tails()}")
    live = "SELECT pid FROM nodes WHERE state = 'live'"
    assert value(fleet.store, live) == first.process.pid
    first.terminate()
    until(lambda: value(fleet.store, live) == second.process.pid, 20, f"the second joins\n{fleet.tails()}")


@pytest.mark.fault(14)
def test_sigterm_drains_with_heartbeats_to_the_end(fleet: Fleet) -> None:
    worker = started(fleet)
    run_now(fleet, "sleep 4")
    beats = "SELECT beat_seq FROM nodes"
    worker.signal(signal.SIGTERM)
    until(lambda: state(fleet) == "draining", 10, "it drains")
    before = value(fleet.store, beats)
    assert worker.wait(20) == 0
    assert row(fleet) == ("succeeded", 1)
    assert state(fleet) == "left"
    assert value(fleet.store, beats) >= before + 2


@pytest.mark.fault(15)
def test_a_second_sigterm_kills_what_runs_and_hands_it_back(fleet: Fleet) -> None:
    worker = started(fleet)
    run_now(fleet, "trap '' TERM; sleep 600; true")
    worker.signal(signal.SIGTERM)
    until(lambda: state(fleet) == "draining", 10, "it drains")
    worker.signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert fleet.task_pids() == []
    assert row(fleet) == ("queued", 1)
    assert value(fleet.store, "SELECT reason_code FROM runs") == "drain"


def test_sighup_and_sigusr1_are_answered_in_the_log_and_work_goes_on(fleet: Fleet) -> None:
    worker = started(fleet)
    worker.signal(signal.SIGHUP)
    until(lambda: worker.said("reloaded"), 10, "settings are re-read")
    worker.signal(signal.SIGUSR1)
    until(lambda: worker.said("state") and "most recent call first" in worker.tail(), 10, "state is dumped")
    run_now(fleet, "true")
    until(lambda: row(fleet) == ("succeeded", 1), 10, "the run ends")


@pytest.mark.fault(86)
def test_two_workers_share_one_sqlite_file(fleet: Fleet) -> None:
    started(fleet, "a")
    started(fleet, "b")
    names, first = numbered("job", 6), fleet.next_second(3)
    end = first + 6 * SECOND
    fleet.schedule(*mixed(names, longest=10, **in_window(first, end)))
    sleep_until(fleet.store, end)
    until(lambda: fleet.settled(end), 30, f"everything ends\n{fleet.tails()}")
    evidence = fleet.collect(second_keys(names, first, end))
    assert findings(evidence) == []
    assert fleet.counts() == {"succeeded": 36}
    assert len({run.node_id for run in evidence.runs}) == 2


def test_the_tasks_of_a_killed_worker_die_with_all_that_they_started(fleet: Fleet) -> None:
    worker = started(fleet)
    run_now(fleet, "sleep 600 & setsid sleep 600 & (setsid sh -c 'sleep 600 & sleep 600' &) ; sleep 600")
    until(lambda: len(fleet.task_pids()) >= 6, 10, "the whole tree is there")
    worker.kill()
    until(lambda: not fleet.task_pids(), 2, "all of it is gone")


def test_without_its_guardian_a_worker_stops_its_tasks_and_starts_them_again_under_another(
    fleet: Fleet,
) -> None:
    worker = started(fleet)
    names, first = numbered("job", 3), fleet.next_second(3)
    end = first + 5 * SECOND
    fleet.schedule(*mixed(names, longest=30, **in_window(first, end)))
    sleep_until(fleet.store, first + 3 * SECOND)
    (guardian,) = (p for p in psutil.Process(worker.process.pid).children() if "guardian" in str(p.cmdline()))
    guardian.kill()
    until(lambda: worker.said("guardian_died"), 10, "it is noticed")
    sleep_until(fleet.store, end)
    until(lambda: fleet.settled(end), 30, f"everything ends\n{fleet.tails()}")
    evidence = fleet.collect(second_keys(names, first, end))
    assert findings(evidence) == []
    assert fleet.counts() == {"succeeded": 15}
    assert len(evidence.attempts) > 0
