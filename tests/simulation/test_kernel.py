"""Virtual time: order, waiting, pauses and crashes."""

from __future__ import annotations

from random import Random

import pytest

from leasebeat.model.instant import SECOND
from leasebeat.testing.simulation.kernel import Kernel, Process, Stuck
from leasebeat.testing.simulation.runtime import SimRuntime


class Host:
    """A kernel, one process, and what its threads did."""

    def __init__(self, seed: int = 1) -> None:
        self.kernel = Kernel(0, Random(seed))
        self.process = Process(self.kernel, "p")
        self.runtime = SimRuntime(self.process, Random(seed), 0)
        self.did: list[str] = []

    def sleeper(self, name: str, seconds: float) -> None:
        """A thread that sleeps, and says that it woke."""
        waiter = self.runtime.waiter()

        def run() -> None:
            waiter.wait(seconds)
            self.did.append(name)

        self.runtime.start(name, run)


def test_threads_wake_in_the_order_of_their_times() -> None:
    host = Host()
    for name, seconds in (("late", 3.0), ("early", 1.0), ("middle", 2.0)):
        host.sleeper(name, seconds)
    host.kernel.run(10 * SECOND)
    assert host.did == ["early", "middle", "late"]


def test_what_is_due_at_once_runs_in_an_order_that_the_seed_draws() -> None:
    orders: set[tuple[str, ...]] = set()
    for seed in range(20):
        host = Host(seed)
        for name in "abc":
            host.kernel.at(5, host.did.append, name)
        host.kernel.run(SECOND)
        orders.add(tuple(host.did))
    assert len(orders) == 6


def test_a_wake_that_comes_before_the_wait_counts() -> None:
    host = Host()
    waiter = host.runtime.waiter()
    waiter.wake()
    host.runtime.start("t", lambda: host.did.append(f"{waiter.wait(60.0)} at {host.kernel.now < SECOND}"))
    host.kernel.run(SECOND)
    assert host.did == ["True at True"]


def test_a_paused_process_does_late_what_came_due_meanwhile() -> None:
    host = Host()
    host.sleeper("t", 1.0)
    host.kernel.at(SECOND // 2, lambda _: host.process.pause())
    host.kernel.at(5 * SECOND, lambda _: host.process.resume())
    host.kernel.run(4 * SECOND)
    assert host.did == []
    host.kernel.run(6 * SECOND)
    assert host.did == ["t"]


def test_clocks_run_on_while_a_process_is_paused() -> None:
    host = Host()
    host.process.pause()
    host.kernel.run(3 * SECOND)
    assert host.runtime.boottime() == 3.0


def test_a_crash_ends_every_thread_where_it_waits() -> None:
    host = Host()
    waiter = host.runtime.waiter()

    def run() -> None:
        try:
            waiter.wait(60.0)
        except Exception:  # what services catch
            host.did.append("caught")
        host.did.append("went on")

    host.runtime.start("t", run)
    host.kernel.at(SECOND, lambda _: host.process.crash())
    host.kernel.run(90 * SECOND)
    assert host.did == []


def test_a_dead_process_starts_nothing_even_while_it_is_thrown_out() -> None:
    host = Host()
    waiter = host.runtime.waiter()

    def run() -> None:
        try:
            waiter.wait(60.0)
        finally:
            waiter.wait(1.0)
            host.did.append("cleaned up")

    host.runtime.start("t", run)
    host.kernel.at(SECOND, lambda _: host.process.crash())
    host.kernel.run(90 * SECOND)
    assert host.did == []


def test_joining_a_thread_waits_for_its_end_at_most_so_long() -> None:
    host = Host()
    waiter = host.runtime.waiter()
    task = host.runtime.start("slow", lambda: (waiter.wait(5.0), None)[1])
    host.runtime.start("joiner", lambda: host.did.extend(str(task.join(seconds)) for seconds in (1.0, 10.0)))
    host.kernel.run(60 * SECOND)
    assert host.did == ["False", "True"]


def test_a_loop_that_never_waits_is_told() -> None:
    host = Host()

    def again(_: object) -> None:
        host.kernel.after(0, again)

    host.kernel.after(0, again)
    with pytest.raises(Stuck):
        host.kernel.run(SECOND)
