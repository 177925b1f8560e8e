"""Limits of tasks in real cgroups of this host; those of version 2 in a folder that looks like one."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from leasebeat.executors import cgroup_home, processes
from leasebeat.executors.cgroup import Group
from leasebeat.executors.cgroup_home import Home
from leasebeat.executors.kinds import open_executors
from leasebeat.executors.options import ExecutorOptions
from leasebeat.model.run import OutcomeKind, ReasonCode
from leasebeat.testing.trials.cases import proves
from tests.integration import python_tasks
from tests.integration.executing import Bench, bench, carrying, launch, until, worker

HOME = cgroup_home.find("auto")
needs_cgroups = pytest.mark.skipif(
    not HOME.folders.keys() >= {"memory", "pids", "cpu"},
    reason=f"no cgroups can be made here: {HOME.problem}",
)
UNIFIED = Path("/sys/fs/cgroup/unified")
BOMB = f"""exec {sys.executable} -S -c '
import os, time
while True:
    try:
        os.fork()
    except BlockingIOError:
        time.sleep(0.01)
'"""
HOG = f"{sys.executable} -S -c 'a = bytearray(200_000_000); print(len(a))'"


@pytest.fixture(scope="module")
def shells() -> Iterator[Bench]:
    with bench(home=HOME) as made:
        yield made
    assert left_over() == []


def left_over(node: str = f"node-of-test-{os.getpid()}") -> list[Path]:
    return [path for top in HOME.folders.values() for path in Path(top).glob(f"leasebeat-{node}-*")]


@needs_cgroups
@pytest.mark.fault(68)
@proves("args.pids_max", "number")
def test_a_fork_bomb_is_held_to_its_limit_and_ends_with_its_task(shells: Bench) -> None:
    what = shells.start(launch(BOMB, {"pids_max": 30}, timeout_s=2))
    until(lambda: len(carrying(what.key_text)) > 10, "the growth of the bomb")
    counts = [len(carrying(what.key_text)) for _ in range(5)]
    _, outcome = shells.next()
    assert max(counts) <= 30
    assert outcome.kind is OutcomeKind.TIMED_OUT
    assert "the limit of 30 processes" in outcome.reason
    assert carrying(what.key_text) == []


@needs_cgroups
@proves("args.memory_mb", "number")
def test_a_task_that_takes_more_memory_than_it_may_is_killed_and_told_so(shells: Bench) -> None:
    outcome = shells.run(f"exec {HOG}", {"memory_mb": 64})
    assert (outcome.kind, outcome.reason_code) == (OutcomeKind.FAILED, ReasonCode.SIGNAL)
    assert outcome.reason.startswith("killed by the memory limit of 64 MB; ended by signal 9")
    assert shells.run(HOG, {"memory_mb": 640}).output == b"200000000\n"


@needs_cgroups
@proves("args.cpu_pct", "number")
def test_a_task_gets_the_share_of_a_core_that_it_was_given(shells: Bench) -> None:
    outcome = shells.run(
        "timeout 1 sh -c 'while :; do :; done'; cat /proc/self/cgroup; times", {"cpu_pct": 10}
    )
    assert b"leasebeat-node-of-test" in outcome.output
    user = outcome.output.decode().splitlines()[-1].split()[0]
    assert float(user.removesuffix("s").split("m")[1]) < 0.6


@needs_cgroups
@pytest.mark.fault(72)
def test_a_daemon_without_session_parent_or_environment_of_its_task_dies_with_it(shells: Bench) -> None:
    sign = str(900_000 + os.getpid() % 90_000)
    outcome = shells.run(f"setsid env -i setsid sleep {sign} & sleep 0.3; echo done", {"pids_max": 20})
    assert outcome.output == b"done\n"
    assert [pid for pid in processes.everyone() if sign.encode() in arguments_of(pid)] == []


@needs_cgroups
@pytest.mark.fault(6)
def test_the_cgroups_of_a_killed_guardian_are_emptied_and_removed() -> None:
    node = f"node-{uuid.uuid4().hex}"
    with bench(home=HOME) as made:
        made.start(launch("setsid env -i sleep 1000 & sleep 1000", {"pids_max": 20}, node_id=node))
        until(lambda: left_over(node) and len(pids_in(left_over(node)[0])) >= 2, "the start")
        os.kill(made.leash.guardian_pid or 0, signal.SIGKILL)
        assert made.next()[1].kind is OutcomeKind.LOST
        assert left_over(node) == []


@needs_cgroups
@pytest.mark.fault(16)
def test_when_worker_and_tasks_have_no_more_memory_a_task_dies_and_the_worker_lives(tmp_path: Path) -> None:
    node, go = f"node-{uuid.uuid4().hex}", tmp_path / "go"
    waits = (
        f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)\nbytearray(200_000_000)"
    )
    hog = f"exec {shlex.join([sys.executable, '-S', '-c', waits])}"
    with (
        worker(node, 60, hog, "exec sleep 1000") as pid,
        shared({"memory_mb": 100}, [pid, *processes.below(pid)]),
    ):
        assert len(carrying(node)) == 2
        go.touch()
        until(lambda: len(carrying(node)) == 1, "the death of the task that took the memory")
        process = processes.look(pid)
        assert process is not None
        assert not process.ended


@needs_cgroups
@pytest.mark.fault(74)
def test_a_host_without_room_for_a_process_is_a_start_that_failed_with_the_kernels_words() -> None:
    with bench() as made:
        with shared({"pids_max": 1}, [made.leash.guardian_pid or 0]):
            outcome = made.run("true")
        assert outcome.kind is OutcomeKind.START_FAILED
        assert "Resource temporarily unavailable" in outcome.reason
        assert made.run("true").kind is OutcomeKind.SUCCEEDED


@needs_cgroups
@pytest.mark.fault(68)
def test_no_row_widens_what_the_host_lets_its_tasks_use() -> None:
    told = "cat /sys/fs/cgroup/pids$(sed -n 's/.*:pids://p' /proc/self/cgroup)/pids.max"
    with bench(home=cgroup_home.find("auto", pids_max=30)) as made:
        asked: list[dict[str, object]] = [{}, {"pids_max": 9}, {"pids_max": 900}]
        said = [made.run(told, args).output for args in asked]
    assert said == [b"30\n", b"9\n", b"30\n"]


@needs_cgroups
def test_python_tasks_under_the_limits_of_the_host_share_a_child() -> None:
    with bench(home=cgroup_home.find("auto", memory_mb=100)) as made:
        pool = open_executors(ExecutorOptions(), made.runtime, made.loop, made.leash)["python"]
        said: list[str | None] = []
        for _ in range(2):
            made.start(launch(f"{python_tasks.__name__}:manners", kind="python"), pool)
            said.append(made.next()[1].result)
        made.start(launch(f"{python_tasks.__name__}:hoard", kind="python"), pool)
        assert "the memory limit of 100 MB" in made.next()[1].reason
    assert said[0] == said[1] is not None


@contextmanager
def shared(limits: dict[str, int], pids: list[int]) -> Generator[None]:
    """A cgroup with these processes in it; they go back where they came from in the end."""
    plan = HOME.plan(f"leasebeat-test-{uuid.uuid4().hex}", limits)
    assert plan is not None
    folders = [Path(folder) for folder in plan["folders"].values()]  # pyright: ignore
    group = Group(plan)
    group.make()
    for folder in folders:
        for pid in pids:
            (folder / "cgroup.procs").write_text(str(pid))
    try:
        yield
    finally:
        for folder in folders:
            for pid in pids_in(folder):
                with suppress(ProcessLookupError):
                    (folder.parent / "cgroup.procs").write_text(pid)
        until(group.remove, "its removal")


@needs_cgroups
def test_a_python_task_is_limited_in_a_child_of_its_own_and_the_next_one_is_not() -> None:
    module = python_tasks.__name__
    with bench(home=HOME) as made:
        options = ExecutorOptions(python_processes=1)
        pool = open_executors(options, made.runtime, made.loop, made.leash)["python"]
        made.start(launch(f"{module}:hoard", {"memory_mb": 64}, kind="python"), pool)
        limited = made.next()[1]
        made.start(launch(f"{module}:hoard", kind="python"), pool)
        free = made.next()[1]
    assert (limited.kind, free.kind) == (OutcomeKind.FAILED, OutcomeKind.SUCCEEDED)
    assert "the memory limit of 64 MB" in limited.reason


def test_a_host_without_cgroups_refuses_what_asks_for_limits() -> None:
    with bench() as made:
        outcome = made.run("true", {"memory_mb": 64})
        said = made.shell.refuse(launch("true", {"memory_mb": 64, "pids_max": 5}).schedule)
    assert outcome.kind is OutcomeKind.START_FAILED
    where = '[node] cgroup is "off"'
    assert said == f"limit of memory_mb, pids_max: this host has no cgroup that could set it: {where}"


def test_a_folder_that_is_no_cgroup_is_told(tmp_path: Path) -> None:
    home = cgroup_home.find(str(tmp_path / "none"))
    assert "No such file or directory" in (home.lacks({"pids_max": 5}) or "")


def test_of_version_2_what_systemd_delegates_is_used_and_nothing_else(tmp_path: Path) -> None:
    service = tmp_path / "system.slice/leasebeat.service"
    service.mkdir(parents=True)
    (service / "cgroup.controllers").write_text("cpu io memory pids\n")
    (service / "cgroup.subtree_control").touch()
    mounts = {"": ("/", str(tmp_path))}
    home = cgroup_home._delegated({"": "/system.slice/leasebeat.service/worker"}, mounts)
    assert (home.unified, home.folders) == (True, dict.fromkeys(["cpu", "memory", "pids"], str(service)))
    assert (service / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    other = cgroup_home._delegated({"": "/system.slice/leasebeat.service"}, mounts)
    assert "not delegated" in (other.lacks({"cpu_pct": 50}) or "")


@pytest.mark.parametrize(
    ("path", "root", "folder"),
    [
        ("/", "/", "/cg"),
        ("/a/b", "/", "/cg/a/b"),
        ("/docker/x", "/docker/x", "/cg"),
        ("/d/x/y", "/d/x", "/cg/y"),
    ],
)
def test_a_cgroup_is_found_where_a_part_of_the_hierarchy_is_mounted(
    path: str, root: str, folder: str
) -> None:
    assert cgroup_home._below(path, root, "/cg") == folder


def test_the_limits_of_version_2_are_written_into_its_files(tmp_path: Path) -> None:
    for name in ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max"):
        (tmp_path / name).touch()
    limits = {"memory_mb": 64, "pids_max": 30, "cpu_pct": 150}
    plan = {
        "folders": dict.fromkeys(["cpu", "memory", "pids"], str(tmp_path)),
        "limits": limits,
        "unified": True,
    }
    for _, name, value in Group(plan).settings():
        (tmp_path / name).write_text(value)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {
        "memory.max": "67108864",
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "30",
        "cpu.max": "150000 100000",
    }


@pytest.mark.skipif(
    not os.access(UNIFIED / "cgroup.procs", os.W_OK), reason="no cgroup of version 2 is writable"
)
def test_a_cgroup_of_version_2_is_killed_by_the_kernel_and_removed() -> None:
    home = Home(dict.fromkeys(["pids"], str(UNIFIED)), unified=True)
    group = Group({**(home.plan("leasebeat-of-test", {"pids_max": 9}) or {}), "limits": {}})
    group.make()
    child = os.fork()
    if child == 0:
        group.join()
        os.fork()
        time.sleep(1000)
    until(lambda: len(group.pids()) == 2, "both are in it")
    group.seal()
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    until(group.remove, "its removal")


def pids_in(folder: Path) -> list[str]:
    try:
        return (folder / "cgroup.procs").read_text().split()
    except OSError:
        return []


def arguments_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


@needs_cgroups
@pytest.mark.fault(6)
def test_what_a_dead_worker_and_guardian_left_in_a_cgroup_dies_when_the_lock_is_taken(tmp_path: Path) -> None:
    node, lock = f"node-{uuid.uuid4().hex}", tmp_path / "lock"
    lock.write_text(node)
    group = Group(HOME.plan(f"{cgroup_home.prefix(node)}1.1", {"pids_max": 9}) or {})
    group.make()
    child = os.fork()
    if child == 0:
        group.join()
        time.sleep(1000)
    until(group.pids, "it is in it")
    with bench(lock_path=lock, home=HOME):
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        assert left_over(node) == []
