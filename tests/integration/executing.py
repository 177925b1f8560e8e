"""What the tests of the executors share: launches, a bench that runs them, and a small worker to kill."""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leasebeat.executors import processes
from leasebeat.executors.base import Executor, Launch
from leasebeat.executors.cgroup_home import Home
from leasebeat.executors.kinds import open_executors
from leasebeat.executors.leash import GuardianLeash
from leasebeat.executors.loop import Loop
from leasebeat.executors.options import ExecutorOptions
from leasebeat.executors.shell import ShellExecutor
from leasebeat.model.run import Outcome, RunKey, key_text
from leasebeat.model.schedule import Schedule
from leasebeat.runtime import SystemRuntime

FIRE_AT = 1_795_143_600_000_000  # 2026-11-20T03:00:00Z
_numbers = itertools.count(1)


def launch(command: str, args: dict[str, object] | None = None, node_id: str = "", **columns: Any) -> Launch:
    number = next(_numbers)
    schedule = Schedule(number, f"job{number}", "@manual", command, args=args or {}, **columns)
    key = RunKey(FIRE_AT, number)
    node_id = node_id or f"node-of-test-{os.getpid()}"
    return Launch(key, 1, key_text(schedule.name, key), 1234, schedule, schedule.args, node_id, "host-a")


def until(condition: Callable[[], Any], what: str = "the condition", seconds: float = 10.0) -> Any:
    """Wait until it holds and return what it said."""
    end = time.monotonic() + seconds
    while not (said := condition()):
        assert time.monotonic() < end, f"{what} did not come true within {seconds} s"
        time.sleep(0.01)
    return said


def carrying(text: str) -> list[int]:
    """The living processes whose environment holds `text`."""

    def holds(pid: int) -> bool:
        process = processes.look(pid)
        try:
            return (
                bool(process and not process.ended)
                and text.encode() in Path(f"/proc/{pid}/environ").read_bytes()
            )
        except OSError:
            return False

    return [pid for pid in processes.everyone() if holds(pid)]


class Bench:
    """An executor under a real guardian, and the outcomes it reports."""

    def __init__(
        self,
        options: ExecutorOptions | None = None,
        lock_path: Path | None = None,
        no_new_privs: bool = True,
        home: Home | None = None,
    ) -> None:
        self.runtime = SystemRuntime()
        self.loop = Loop(self.runtime)
        self.leash = GuardianLeash(self.runtime, self.loop, lock_path, no_new_privs, home)
        self.options = options or ExecutorOptions(kill_grace_s=0.3)
        self.shell = ShellExecutor(self.options, self.loop, self.leash)
        self.outcomes: queue.SimpleQueue[tuple[Launch, Outcome]] = queue.SimpleQueue()

    def open(self) -> None:
        self.leash.restore()
        self.renew(60)

    def renew(self, seconds: float) -> None:
        self.leash.renew(self.runtime.boottime() + seconds)

    def start(self, what: Launch, executor: Executor | None = None) -> Launch:
        (executor or self.shell).start(what, lambda launch, outcome: self.outcomes.put((launch, outcome)))
        return what

    def next(self, seconds: float = 20.0) -> tuple[Launch, Outcome]:
        return self.outcomes.get(timeout=seconds)

    def run(self, command: str, args: dict[str, object] | None = None, **columns: Any) -> Outcome:
        self.start(launch(command, args, **columns))
        return self.next()[1]

    def close(self) -> None:
        guardian = self.leash.guardian_pid
        self.leash.close()
        self.loop.close()
        assert guardian is None or processes.look(guardian) is None, "the guardian outlived its worker"


@contextmanager
def bench(
    options: ExecutorOptions | None = None,
    lock_path: Path | None = None,
    no_new_privs: bool = True,
    home: Home | None = None,
) -> Generator[Bench]:
    made = Bench(options, lock_path, no_new_privs, home)
    made.open()
    try:
        yield made
    finally:
        made.close()


@contextmanager
def worker(
    node_id: str,
    deadline_s: float,
    *commands: str,
    lock: str = "",
    fork: bool = False,
    threads: Sequence[str] = (),
    new_guardian: bool = False,
    **columns: Any,
) -> Generator[int]:
    """A process that runs `commands` as shell tasks and renews nothing; its pid once all have started."""
    order: dict[str, object] = {"node": node_id, "deadline": deadline_s, "commands": commands, "lock": lock}
    order |= {"fork": fork, "threads": threads, "new_guardian": new_guardian, "columns": columns}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.executing", json.dumps(order)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "started\n"
        yield process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()


def _work(order: dict[str, Any]) -> None:
    made = Bench(lock_path=Path(order["lock"]) if order["lock"] else None)
    made.open()
    made.leash.sign(order["node"])
    made.renew(order["deadline"])
    for command in order["commands"]:
        made.start(launch(command, node_id=order["node"], **order["columns"]))
    until(lambda: len(carrying(order["node"])) >= len(order["commands"]))
    options = ExecutorOptions(python_isolation="thread")
    in_threads = open_executors(options, made.runtime, made.loop, made.leash)["python"]
    for command in order["threads"]:
        made.start(launch(command, node_id=order["node"], **order["columns"]), in_threads)
    if order["threads"]:
        # Taken from the same queue after them, so that by its end they have all begun.
        made.start(launch("os:getpid", kind="python", on_node_loss="finish"), in_threads)
        made.next()
    if order["new_guardian"]:
        os.kill(made.leash.guardian_pid or 0, signal.SIGKILL)
        until(lambda: not made.leash.alive(), "the notice of its death")
        made.leash.restore()
    if order["fork"] and os.fork() == 0:
        signal.alarm(10)
        signal.pause()
    print("started", flush=True)
    signal.pause()


if __name__ == "__main__":
    _work(json.loads(sys.argv[1]))
