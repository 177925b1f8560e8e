"""Python tasks in child processes and in threads: what comes back, and what they cannot break."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import leasebeat
from leasebeat.errors import NotFound
from leasebeat.executors import processes
from leasebeat.executors.base import Executor, Launch
from leasebeat.executors.kinds import open_executors
from leasebeat.executors.options import ExecutorOptions
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode
from tests.integration import python_tasks
from tests.integration.executing import Bench, bench, carrying, launch, until, worker

OK, FAILED = OutcomeKind.SUCCEEDED, OutcomeKind.FAILED
ROOT = str(Path(__file__).parents[2])
MODULE = "tests.integration.python_tasks"


class PythonBench:
    """A bench with an executor of the kind `python`."""

    def __init__(self, made: Bench, options: ExecutorOptions) -> None:
        self.bench = made
        self.executor: Executor = open_executors(options, made.runtime, made.loop, made.leash)["python"]

    def start(self, function: str, kwargs: dict[str, object] | None = None, **columns: Any) -> Launch:
        args: dict[str, object] = columns.pop("args", {}) | {"kwargs": kwargs or {}}
        return self.bench.start(launch(f"{MODULE}:{function}", args, kind="python", **columns), self.executor)

    def run(self, function: str, kwargs: dict[str, object] | None = None, **columns: Any) -> Outcome:
        self.start(function, kwargs, **columns)
        return self.bench.next()[1]

    def result(self, function: str, kwargs: dict[str, object] | None = None, **columns: Any) -> Any:
        outcome = self.run(function, kwargs, **columns)
        assert outcome.kind is OK, outcome
        return json.loads(outcome.result or "null")


@contextmanager
def python(**options: Any) -> Generator[PythonBench]:
    chosen = ExecutorOptions(python_path=(ROOT,), kill_grace_s=0.3, **options)
    with bench(chosen) as made:
        yield PythonBench(made, chosen)


@pytest.fixture(scope="module")
def children() -> Generator[PythonBench]:
    with python() as made:
        yield made


@pytest.fixture(scope="module")
def threads() -> Generator[PythonBench]:
    with python(python_isolation="thread", slots=4) as made:
        yield made


@pytest.fixture(scope="module", params=["process", "thread"])
def both(request: pytest.FixtureRequest) -> PythonBench:
    return request.getfixturevalue("children" if request.param == "process" else "threads")


# -- in both isolations


def test_a_follower_is_told_what_became_of_its_upstreams(both: PythonBench) -> None:
    upstream = [{"key": "a@2026-11-20T03:00:00Z", "status": "failed", "result": {"name": "Grüße"}}]
    what = launch(f"{MODULE}:follows", kind="python")
    both.bench.start(replace(what, upstream=json.dumps(upstream, ensure_ascii=False)), both.executor)
    assert json.loads(both.bench.next()[1].result or "") == [{**upstream[0], "seen": True}]
    assert both.result("follows") == []


def test_what_a_function_returns_is_the_result(both: PythonBench) -> None:
    assert both.result("add", {"a": 2, "b": 40}) == {"sum": 42}
    assert both.run("nothing").result is None


def test_a_coroutine_function_is_run_to_its_end(both: PythonBench) -> None:
    assert both.result("later", {"value": "x"}) == "x"


def test_an_exception_is_a_failure_with_its_trace_in_the_output(both: PythonBench) -> None:
    outcome = both.run("raises")
    assert (outcome.kind, outcome.reason_code) == (FAILED, ReasonCode.EXCEPTION)
    assert outcome.reason == "ValueError: of no use"
    assert b"in raises" in outcome.output


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"), [(0, OK, None), (None, OK, None), (3, FAILED, 3), ("no", FAILED, 1)]
)
def test_sys_exit_ends_the_task_only(
    both: PythonBench, code: object, kind: OutcomeKind, exit_code: int | None
) -> None:
    outcome = both.run("exits", {"code": code})
    assert (outcome.kind, outcome.exit_code) == (kind, exit_code)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (f"{MODULE}:missing", "has no attribute 'missing'"),
        (f"{MODULE}:NOT_A_FUNCTION", "is no function but int"),
        ("no.such.module:f", "No module named 'no'"),
    ],
)
def test_a_function_that_cannot_be_found_did_not_start(both: PythonBench, command: str, reason: str) -> None:
    both.bench.start(launch(command, kind="python"), both.executor)
    _, outcome = both.bench.next()
    assert outcome.kind is OutcomeKind.START_FAILED
    assert reason in outcome.reason


@pytest.mark.parametrize(
    ("function", "reason"),
    [("thing", "is not JSON"), ("large", "more than 65,536 bytes"), ("deep", "more than 31 deep")],
)
def test_a_result_that_cannot_be_kept_is_told(both: PythonBench, function: str, reason: str) -> None:
    outcome = both.run(function)
    assert (outcome.kind, outcome.result) == (OK, None)
    assert reason in outcome.reason


def test_a_task_knows_its_run(both: PythonBench) -> None:
    what = both.start("who")
    told = json.loads(both.bench.next()[1].result or "")
    assert {**told, "pid": 0} == {
        "key": what.key_text,
        "at": "2026-11-20T03:00:00+00:00",
        "fence": 1234,
        "pid": 0,
    }


def test_outside_a_run_there_is_no_current_run() -> None:
    with pytest.raises(NotFound, match="outside a run"):
        leasebeat.current_run()


def test_references_in_keyword_arguments_are_resolved_on_the_node(both: PythonBench, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    assert both.result("later", {"value": {"file": f"{tmp_path}/secret"}}) == "s3cret"


def test_python_init_runs_once_before_the_first_task() -> None:
    with python(python_init=f"{MODULE}:init") as made:
        assert [made.result("initialised") for _ in range(3)] == [["yes"]] * 3


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_failing_python_init_starts_nothing_and_says_so(isolation: str) -> None:
    with python(python_init=f"{MODULE}:bad_init", python_isolation=isolation) as made:
        outcome = made.run("nothing")
    assert outcome.kind is OutcomeKind.START_FAILED
    assert "ValueError: no licence" in outcome.reason


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_nothing_begins_past_the_deadline(isolation: str) -> None:
    with python(python_isolation=isolation) as made:
        made.run("nothing")
        made.bench.renew(-0.001)
        outcome = made.run("nothing", on_node_loss="finish")
        made.bench.renew(60)
    assert (outcome.kind, outcome.reason_code) == (OutcomeKind.LOST, ReasonCode.LEASE_LOST)


# -- in child processes


def test_both_streams_of_a_task_are_its_output_and_no_other_tasks(children: PythonBench) -> None:
    first, second = children.run("add", {"a": 1}), children.run("nothing")
    assert (first.output, first.output_bytes) == (b"adding\non the other stream\n", 27)
    assert second.output == b""


def test_what_is_printed_after_the_end_belongs_to_no_task(children: PythonBench) -> None:
    outcomes = [
        children.run("prints_later"),
        children.run("sleeps", {"seconds": 0.3}),
        children.run("nothing"),
    ]
    assert {outcome.output for outcome in outcomes[::2]} == {b""}


def test_a_flood_of_output_is_cut_to_its_end(children: PythonBench) -> None:
    outcome = children.run("floods")
    assert (outcome.output_bytes, len(outcome.output)) == (100_000_000, 65_536)


def test_one_child_serves_task_after_task(children: PythonBench) -> None:
    assert len({children.result("who")["pid"] for _ in range(5)}) == 1


def test_tasks_at_once_have_a_child_each(children: PythonBench) -> None:
    first = children.start("sleeps", {"seconds": 1000})
    second = children.start("who")
    assert children.bench.next()[0].id == second.id
    children.executor.stop(first.id, OutcomeKind.KILLED, 0)
    assert children.bench.next()[0].id == first.id


@pytest.mark.parametrize("code", [0, 3, 127])
def test_a_process_that_vanishes_costs_that_task_only(children: PythonBench, code: int) -> None:
    outcome = children.run("vanishes", {"code": code})
    assert (outcome.kind, outcome.exit_code, outcome.output) == (FAILED, code, b"last words\n")
    assert "before the function had returned" in outcome.reason
    assert children.run("nothing").kind is OK


def test_a_crash_costs_that_task_only_and_leaves_a_trace(children: PythonBench) -> None:
    outcome = children.run("crashes")
    assert (outcome.kind, outcome.reason_code) == (FAILED, ReasonCode.SIGNAL)
    assert b"in crashes" in outcome.output
    assert children.run("nothing").kind is OK


@pytest.mark.parametrize("function", ["loops", "deaf"])
def test_a_task_that_does_not_end_is_killed_at_its_timeout(children: PythonBench, function: str) -> None:
    outcome = children.run(function, timeout_s=0.3)
    assert (outcome.kind, outcome.reason_code) == (OutcomeKind.TIMED_OUT, ReasonCode.TIMEOUT)
    assert children.run("nothing").kind is OK


def test_a_task_that_closes_the_childs_own_socket_is_ended(children: PythonBench) -> None:
    outcome = children.run("closes_everything")
    assert (outcome.kind, outcome.reason_code) == (FAILED, ReasonCode.EXIT_CODE)


def test_a_stopped_function_may_clean_up(children: PythonBench, tmp_path: Path) -> None:
    what = children.start("cleans_up", {"path": f"{tmp_path}/log"})
    until(lambda: carrying("LEASEBEAT_CHILD"), "the child")
    children.bench.runtime.waiter().wait(0.3)
    children.executor.stop(what.id, OutcomeKind.KILLED, 5)
    assert children.bench.next()[1].kind is OutcomeKind.KILLED
    assert (tmp_path / "log").read_text() == "clean"


def test_a_stop_that_is_repeated_does_not_interrupt_a_function_that_cleans_up(
    children: PythonBench, tmp_path: Path
) -> None:
    what = children.start("cleans_up_slowly", {"folder": str(tmp_path)})
    until((tmp_path / "begun").exists, "the start")
    for _ in range(3):
        children.executor.stop(what.id, OutcomeKind.KILLED, 60)
        until((tmp_path / "cleaning").exists, "the cleaning up")
    (tmp_path / "go").touch()
    assert children.bench.next()[1].kind is OutcomeKind.KILLED
    assert (tmp_path / "clean").exists()


def test_processes_that_a_task_leaves_behind_are_killed(children: PythonBench) -> None:
    left = children.result("leaves_a_child")
    until(lambda: processes.look(left) is None, "its death")


def test_a_task_has_its_own_environment_and_folder_and_leaves_none_behind(
    children: PythonBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEASEBEAT_STORE__URL", "geheim")
    args = {"env": {"MINE": "yes"}, "cwd": str(tmp_path)}
    with python() as made:
        assert made.result("environment", args=args)["MINE"] == "yes"
        assert made.result("where", args=args) == str(tmp_path)
        after = made.result("environment")
    assert "MINE" not in after
    assert "geheim" not in json.dumps(after)


def test_a_process_started_by_a_task_knows_the_run(children: PythonBench) -> None:
    what = children.start("who_in_a_child")
    assert json.loads(children.bench.next()[1].result or "") == what.key_text


def test_a_child_ends_after_so_many_tasks() -> None:
    with python(python_recycle_runs=2) as made:
        pids = [made.result("who")["pid"] for _ in range(5)]
    assert [pids[0] == pids[1], pids[1] == pids[2], pids[2] == pids[3]] == [True, False, True]


def test_renew_starts_the_next_task_in_a_new_child() -> None:
    with python() as made:
        before = made.result("who")["pid"]
        made.executor.renew()
        assert made.result("who")["pid"] != before


def test_no_more_children_than_python_processes_and_the_rest_wait() -> None:
    with python(python_processes=1) as made:
        first, second = made.start("sleeps", {"seconds": 0.2}), made.start("who")
        assert [made.bench.next()[0].id for _ in range(2)] == [first.id, second.id]
        third, fourth = made.start("sleeps", {"seconds": 1000}), made.start("who")
        made.executor.stop(fourth.id, OutcomeKind.KILLED, 0)
        assert made.bench.next()[0].id == fourth.id
        made.executor.stop(third.id, OutcomeKind.LOST, 0)
        assert made.bench.next()[1].kind is OutcomeKind.LOST


def test_a_leashed_task_in_a_child_dies_at_the_deadline_and_one_that_may_finish_does_not() -> None:
    with python() as made:
        finishing = made.start("sleeps", {"seconds": 1.2}, on_node_loss="finish")
        leashed = made.start("sleeps", {"seconds": 1000})
        made.bench.runtime.waiter().wait(0.4)
        made.bench.renew(0.2)
        ends = {what.id: outcome.kind for what, outcome in (made.bench.next() for _ in range(2))}
    assert ends == {finishing.id: OK, leashed.id: OutcomeKind.LOST}


def test_a_child_killed_while_idle_costs_no_task() -> None:
    with python() as made:
        pid = made.result("who")["pid"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: processes.look(pid) is None, "its end")
        until(lambda: made.run("nothing").kind is OK, "a new child")


def test_a_dead_guardian_ends_the_tasks_in_children() -> None:
    with python() as made:
        made.start("sleeps", {"seconds": 1000})
        until(lambda: carrying("LEASEBEAT_CHILD"), "the child")
        os.kill(made.bench.leash.guardian_pid or 0, signal.SIGKILL)
        assert made.bench.next()[1].kind is OutcomeKind.LOST
        made.bench.leash.restore()
        assert made.run("nothing").kind is OK


# -- in threads


def test_ten_thousand_short_tasks_at_once_all_end_each_once() -> None:
    with python(python_isolation="thread", slots=10_000) as made:
        launches = [launch(f"{MODULE}:nothing", kind="python") for _ in range(10_000)]
        began = time.monotonic()
        for what in launches:
            made.bench.start(what, made.executor)
        ended = [made.bench.next() for _ in launches]
        print(f"10,000 tasks in threads: {time.monotonic() - began:.3f} s")
    assert {outcome.kind for _, outcome in ended} == {OK}
    assert sorted(what.id for what, _ in ended) == sorted(what.id for what in launches)


def test_a_thread_that_does_not_end_is_given_up_and_replaced() -> None:
    with python(python_isolation="thread", python_processes=1) as made:
        slow = made.start("sleeps", {"seconds": 2}, timeout_s=0.1, on_node_loss="finish")
        quick = made.start("nothing")
        ends = [made.bench.next() for _ in range(2)]
        assert [(what.id, outcome.kind) for what, outcome in ends] == [
            (slow.id, OutcomeKind.TIMED_OUT),
            (quick.id, OK),
        ]
        made.bench.runtime.waiter().wait(2.2)
        assert made.bench.outcomes.empty()


def test_a_task_that_ends_its_process_at_once_has_begun_and_is_never_taken_for_one_that_did_not() -> None:
    """Its word that it had begun, and its end, may come in one breath: the end must not be judged first."""
    with python(slots=8) as made:
        for _ in range(80):
            made.start("vanishes", {"code": 7})
        outcomes = [made.bench.next()[1] for _ in range(80)]
    ends = Counter((outcome.kind, outcome.exit_code) for outcome in outcomes)
    assert ends == {(FAILED, 7): 80}


@pytest.mark.parametrize(
    "ending", ["import sys; sys.exit()", "raise KeyboardInterrupt", "raise SystemExit(0)"]
)
def test_a_module_that_ends_on_import_costs_that_run_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "ends_on_import.py").write_text(ending)
    with python(python_isolation="thread", python_processes=1) as made:
        made.bench.start(launch("ends_on_import:main", kind="python"), made.executor)
        _, outcome = made.bench.next()
        assert (outcome.kind, outcome.reason_code) == (FAILED, ReasonCode.EXCEPTION)
        assert outcome.reason.startswith("ends_on_import:main: its module ended on import: ")
        assert made.run("nothing").kind is OK


def test_a_python_init_that_exits_starts_nothing_and_says_so() -> None:
    with python(python_init=f"{MODULE}:exiting_init", python_isolation="thread") as made:
        outcomes = [made.run("nothing") for _ in range(2)]
    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.START_FAILED] * 2
    assert {"SystemExit: no licence" in outcome.reason for outcome in outcomes} == {True}


@pytest.fixture
def gate() -> Generator[threading.Event]:
    python_tasks.passed.clear()
    yield python_tasks.gate
    python_tasks.gate.clear()


def test_nothing_begins_before_python_init_has_ended_and_no_caller_waits_for_it(
    gate: threading.Event,
) -> None:
    with python(python_init=f"{MODULE}:gated_init", python_isolation="thread") as made:
        for _ in range(4):
            made.start("through_the_gate")
        gate.set()
        results = [made.bench.next()[1].result for _ in range(4)]
    assert results == ["[true]"] * 4


def test_a_task_that_is_stopped_during_python_init_never_begins(gate: threading.Event) -> None:
    before = set(threading.enumerate())
    with python(python_init=f"{MODULE}:gated_init", python_isolation="thread") as made:
        first = made.start("begins", {"name": "stopped"})
        (thread,) = [one for one in set(threading.enumerate()) - before if one.name == "python-task"]
        made.executor.stop(first.id, OutcomeKind.KILLED, 0)
        assert made.bench.next()[1].kind is OutcomeKind.KILLED
        gate.set()
        assert made.run("begins", {"name": "next"}).kind is OK
        thread.join(5)
    assert python_tasks.begun == ["next"]


def test_a_waiting_task_that_is_stopped_never_begins(tmp_path: Path) -> None:
    with python(python_isolation="thread", python_processes=1) as made:
        first = made.start("sleeps", {"seconds": 0.3})
        second = made.start("cleans_up", {"path": f"{tmp_path}/log"})
        made.executor.stop(second.id, OutcomeKind.KILLED, 0)
        assert [made.bench.next()[0].id for _ in range(2)] == [second.id, first.id]


@pytest.mark.parametrize("new_guardian", [False, True])
@pytest.mark.parametrize(("policy", "dies"), [("rerun", True), ("finish", False)])
@pytest.mark.fault(10, 13)
def test_a_stopped_worker_with_leashed_threads_dies_when_its_lease_is_over(
    policy: str, dies: bool, new_guardian: bool
) -> None:
    threads = [f"{MODULE}:deaf"]
    with worker(
        "node-threads", 1.5, kind="python", threads=threads, on_node_loss=policy, new_guardian=new_guardian
    ) as pid:
        os.kill(pid, signal.SIGSTOP)
        with bench() as other:
            other.renew(2.7)
            other.start(launch("sleep 1000"))
            other.next()
        process = processes.look(pid)
        assert (process is None or process.ended) is dies
