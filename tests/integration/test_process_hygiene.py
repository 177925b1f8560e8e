"""What a task gets from the worker besides its command, and what it can do to the next one: nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leasebeat.executors.become import OOM_SCORE
from leasebeat.executors.kinds import open_executors
from leasebeat.executors.options import ExecutorOptions
from leasebeat.model.run import OutcomeKind
from tests.integration import python_tasks
from tests.integration.executing import Bench, bench, carrying, launch, until

STATE = "umask; ulimit -S -a; grep -E 'NoNewPrivs|Sig(Blk|Ign)' /proc/self/status; env | grep -c ^EVIL"


@pytest.fixture(scope="module")
def shells() -> Iterator[Bench]:
    with bench() as made:
        yield made


@pytest.mark.fault(75)
def test_what_a_task_changes_of_itself_does_not_reach_the_next(shells: Bench) -> None:
    before = shells.run(STATE).output
    shells.run("umask 0; ulimit -n 16; ulimit -c 0; trap '' HUP; export EVIL=1; exec 7>/dev/null; cd /tmp")
    assert b"NoNewPrivs:\t1" in before
    assert shells.run(STATE).output == before


@pytest.mark.fault(75)
def test_a_task_gains_no_rights_and_leaves_no_core_file(shells: Bench) -> None:
    output = shells.run("grep NoNewPrivs /proc/self/status; ulimit -S -c").output
    assert output == b"NoNewPrivs:\t1\n0\n"


def test_a_host_may_let_its_tasks_gain_rights() -> None:
    with bench(no_new_privs=False) as made:
        assert made.run("grep NoNewPrivs /proc/self/status").output == b"NoNewPrivs:\t0\n"


@pytest.mark.fault(16)
def test_short_of_memory_the_kernel_prefers_a_task_to_its_worker(shells: Bench) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    told = int(shells.run("cat /proc/self/oom_score_adj").output)
    guardian = int(Path(f"/proc/{shells.leash.guardian_pid}/oom_score_adj").read_text())
    assert (told, guardian) == (min(own + OOM_SCORE, 1000), own)


@pytest.mark.fault(70)
def test_five_megabytes_of_random_bytes_are_one_line_like_any_other(shells: Bench) -> None:
    outcome = shells.run("head -c 5000000 /dev/urandom")
    assert (outcome.kind, outcome.output_bytes) == (OutcomeKind.SUCCEEDED, 5_000_000)


@pytest.mark.fault(74)
def test_a_program_that_is_being_written_did_not_start(shells: Bench, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o700)
    with program.open("ab"):
        outcome = shells.run(str(program))
    assert (outcome.kind, outcome.exit_code) == (OutcomeKind.START_FAILED, 126)
    assert b"Text file busy" in outcome.output


@pytest.mark.fault(73)
def test_worker_and_guardian_hold_no_more_descriptors_after_three_hundred_runs(shells: Bench) -> None:
    shells.run("true")
    before = descriptors(shells)
    keys = [shells.start(launch("setsid sleep 1000 & exit 0")).key_text for _ in range(300)]
    assert {shells.next()[1].kind for _ in keys} == {OutcomeKind.SUCCEEDED}
    assert [key for key in keys[::50] if carrying(key)] == []
    until(lambda: abs(descriptors(shells) - before) <= 5, "the closing of the last descriptors")


def descriptors(shells: Bench) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in (os.getpid(), shells.leash.guardian_pid))


@pytest.fixture
def child() -> Iterator[Callable[..., Any]]:
    """Runs functions of `python_tasks` in the one Python child there is; what they return."""
    with bench() as made:
        options = ExecutorOptions(python_processes=1)
        pool = open_executors(options, made.runtime, made.loop, made.leash)["python"]

        def run(name: str, **kwargs: object) -> Any:
            args: dict[str, object] = {"kwargs": kwargs}
            made.start(launch(f"{python_tasks.__name__}:{name}", args, kind="python"), pool)
            return json.loads(made.next()[1].result or "null")

        yield run


@pytest.mark.fault(75)
def test_a_python_task_leaves_the_next_one_in_its_child_neither_umask_nor_deafness(
    child: Callable[..., Any],
) -> None:
    pid = child("misbehave")
    assert child("manners")[:3] == [pid, 0o077, False]


@pytest.mark.fault(75)
def test_a_python_task_that_lowered_a_limit_takes_its_child_with_it(child: Callable[..., Any]) -> None:
    before = child("manners")
    assert child("misbehave", limit=50) == before[0]
    after = child("manners")
    assert after[0] != before[0]
    assert after[1:] == before[1:] == [0o077, False, before[3], True]
