"""The guardian under the deaths and pauses that it exists for, with real processes."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from pathlib import Path

import pytest

from leasebeat.errors import Refused, StartFailed
from leasebeat.executors import processes
from leasebeat.model.run import OutcomeKind, ReasonCode
from tests.integration.executing import Bench, bench, carrying, launch, until, worker

STUBBORN = (
    "trap '' TERM HUP; setsid sh -c 'sleep 1000 & sleep 1000' & sleep 1000 & while :; do sleep 1000; done"
)


def fresh_node() -> str:
    return f"node-{uuid.uuid4().hex}"


@pytest.mark.fault(6)
def test_a_killed_worker_takes_all_its_tasks_with_it() -> None:
    node = fresh_node()
    with worker(node, 60, STUBBORN, "sleep 1000", "setsid sleep 1000 & exec sleep 1000") as pid:
        until(lambda: len(carrying(node)) >= 8, "the start of the tasks' children")
        os.kill(pid, signal.SIGKILL)
        until(lambda: carrying(node) == [], "the death of the tasks", seconds=2)


@pytest.mark.fault(10, 13)
def test_a_stopped_worker_loses_its_tasks_at_the_deadline() -> None:
    node = fresh_node()
    with worker(node, 1.5, STUBBORN, "sleep 1000") as pid:
        os.kill(pid, signal.SIGSTOP)
        assert len(carrying(node)) > 1
        until(lambda: carrying(node) == [], "the death of the tasks", seconds=3)
        assert processes.look(pid).state == "T"  # pyright: ignore[reportOptionalMemberAccess]


def test_a_task_that_may_finish_survives_the_deadline_but_not_the_worker() -> None:
    node = fresh_node()
    with worker(node, 0.6, "exec sleep 1000", on_node_loss="finish") as pid, bench() as other:
        os.kill(pid, signal.SIGSTOP)
        other.renew(0.9)  # its deadline is later than that of the stopped worker
        other.start(launch("sleep 1000"))
        assert other.next()[1].kind is OutcomeKind.LOST
        assert len(carrying(node)) == 1
        os.kill(pid, signal.SIGKILL)
        until(lambda: carrying(node) == [], "the death of the task", seconds=2)


def test_a_worker_whose_forked_child_holds_the_socket_open_is_still_found_dead() -> None:
    node = fresh_node()
    with worker(node, 60, "sleep 1000", fork=True) as pid:
        os.kill(pid, signal.SIGKILL)
        until(lambda: carrying(node) == [], "the death of the task", seconds=2)


def test_the_outcome_of_a_task_killed_at_the_deadline_says_so() -> None:
    with bench() as made:
        made.renew(0.3)
        made.start(launch(STUBBORN))
        _, outcome = made.next()
    assert (outcome.kind, outcome.reason_code) == (OutcomeKind.LOST, ReasonCode.LEASE_LOST)


def test_a_renewed_deadline_keeps_tasks_alive() -> None:
    with bench() as made:
        made.renew(0.4)
        made.start(launch("sleep 1; echo done"))
        for _ in range(8):
            made.renew(0.4)
            made.runtime.waiter().wait(0.15)
        assert made.next()[1].output == b"done\n"


@pytest.mark.parametrize("on_node_loss", ["rerun", "finish"])
def test_nothing_starts_past_the_deadline(tmp_path: Path, on_node_loss: str) -> None:
    with bench() as made:
        made.renew(-0.001)
        outcome = made.run(f"touch {tmp_path}/started", on_node_loss=on_node_loss)
    assert outcome.kind is OutcomeKind.LOST
    assert not (tmp_path / "started").exists()


def test_nothing_starts_before_the_first_beat() -> None:
    made = Bench()
    made.leash.restore()
    assert made.run("true").kind is OutcomeKind.LOST
    made.close()


def test_after_a_passed_deadline_a_renewal_lets_tasks_start_again() -> None:
    with bench() as made:
        made.renew(-1)
        assert made.run("true").kind is OutcomeKind.LOST
        made.renew(60)
        assert made.run("true").kind is OutcomeKind.SUCCEEDED


def test_a_killed_guardian_is_noticed_its_tasks_die_and_a_new_one_serves() -> None:
    node = fresh_node()
    with bench() as made:
        made.start(launch(STUBBORN, node_id=node))
        until(lambda: len(carrying(node)) >= 5, "the start of the task's children")
        os.kill(made.leash.guardian_pid or 0, signal.SIGKILL)
        _, outcome = made.next(5)
        assert (outcome.kind, made.leash.alive(), carrying(node)) == (OutcomeKind.LOST, False, [])
        assert made.run("true").kind is OutcomeKind.START_FAILED
        made.leash.restore()
        assert (made.leash.alive(), made.run("true").kind) == (True, OutcomeKind.SUCCEEDED)


def test_the_lock_is_held_until_worker_and_guardian_are_gone(tmp_path: Path) -> None:
    node, lock = fresh_node(), tmp_path / "lock"
    with worker(node, 60, "sleep 1000", lock=str(lock)) as pid:
        assert "one worker per state directory" in refused(lock)
        guardian = guardian_of(pid)
        os.kill(guardian, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        until(lambda: gone(pid))
        assert "still killing" in refused(lock)
        os.kill(guardian, signal.SIGCONT)
        until(lambda: gone(guardian), "the end of the guardian", seconds=2)
    with bench(lock_path=lock) as made:
        assert made.leash.predecessor == node


def test_tasks_of_a_worker_and_guardian_killed_at_once_die_when_the_lock_is_taken(tmp_path: Path) -> None:
    node, lock = fresh_node(), tmp_path / "lock"
    with worker(node, 60, "exec sleep 1000", lock=str(lock)) as pid:
        guardian = guardian_of(pid)
        os.kill(guardian, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        os.kill(guardian, signal.SIGKILL)
        until(lambda: gone(guardian))
    assert len(carrying(node)) == 1
    with bench(lock_path=lock):
        assert carrying(node) == []


def test_the_tasks_of_another_worker_on_the_host_are_left_alone() -> None:
    node = fresh_node()
    with bench() as other:
        kept = other.start(launch("exec sleep 1000"))
        with worker(node, 60, "sleep 1000"):
            pass
        until(lambda: carrying(node) == [], "the death of the task")
        assert len(carrying(kept.key_text)) == 1


def test_what_a_schedule_left_on_purpose_outlives_the_worker(tmp_path: Path) -> None:
    made = Bench()
    made.open()
    what = made.start(launch("setsid sleep 1000 & true", {"leftovers": "leave"}))
    made.next()
    made.close()
    left = carrying(what.key_text)
    processes.kill(left)
    assert len(left) == 1


def test_a_guardian_that_reads_nothing_is_replaced() -> None:
    with bench() as made:
        pid = made.leash.guardian_pid or 0
        os.kill(pid, signal.SIGSTOP)
        large = {"env": {"A": "x" * 100_000}}
        for _ in range(4):
            made.start(launch("true", dict(large)))
        kinds = {made.next()[1].kind for _ in range(4)}
        assert kinds <= {OutcomeKind.LOST, OutcomeKind.START_FAILED}
        until(lambda: not made.leash.alive(), "the notice of its death")


def test_the_guardian_is_small() -> None:
    with bench() as made:
        status = Path(f"/proc/{made.leash.guardian_pid}/status").read_text()
    anonymous = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
    assert anonymous < 8 * 1024  # KiB


def test_a_guardian_that_cannot_start_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(StartFailed, match="/no/such/python"):
        Bench().open()


def refused(lock: Path) -> str:
    with pytest.raises(Refused) as caught:
        Bench(lock_path=lock).open()
    return str(caught.value)


def gone(pid: int) -> bool:
    process = processes.look(pid)
    return process is None or process.ended


def guardian_of(worker_pid: int) -> int:
    (guardian,) = processes.children(worker_pid)
    return guardian
