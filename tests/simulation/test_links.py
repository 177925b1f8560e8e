"""What may happen to a statement on its way, and what its caller learns of it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, cast

import pytest

from leasebeat.errors import StoreError
from leasebeat.model.instant import SECOND
from leasebeat.model.node import Vitals
from leasebeat.store.base import FinishRow, Store
from leasebeat.testing.simulation.kernel import Kernel, Process
from leasebeat.testing.simulation.link import READ_TIME_OUT, StoreLink, Weather
from tests.contract.store_bench import NODE, SimBench


class Wire:
    """A store with one run on `NODE`, and a process that talks to it over a link with that weather."""

    def __init__(self, **weather: Any) -> None:
        self.bench = SimBench()
        self.bench.join(NODE)
        self.key = self.bench.running(1, overlap="skip")
        self.kernel = Kernel(0, Random(1))
        self.process = Process(self.kernel, "p")
        self.weather = Weather(rough=1.0)
        for name, value in weather.items():
            setattr(self.weather, name, value)
        self.link = StoreLink(self.kernel, self.bench.server, self.process, self.weather, Random(1))
        self.answers: list[object] = []

    def send(self, statement: Callable[[Store], object]) -> None:
        """Send it from a thread of the process; its answer, or its error's name, goes to `answers`."""

        def run() -> None:
            try:
                self.answers.append(statement(cast("Store", self.link)))
            except StoreError as problem:
                self.answers.append(type(problem).__name__)

        self.process.spawn("t", run)

    def pass_time(self, seconds: float) -> None:
        self.kernel.run(self.kernel.now + round(seconds * SECOND))

    def finish(self, store: Store) -> int:
        return store.finish(NODE, [FinishRow(self.key, 1, "succeeded")])


def test_a_slow_statement_answers_in_the_end() -> None:
    wire = Wire(kinds=("brisk",))
    wire.send(wire.finish)
    wire.pass_time(1)
    assert wire.answers == [1]


def test_a_lost_reply_leaves_the_statement_applied_and_its_caller_in_doubt() -> None:
    wire = Wire(kinds=("reply lost",))
    wire.send(wire.finish)
    wire.pass_time(10)
    assert wire.answers == ["Unknown"]
    assert wire.bench.status(wire.key) == "succeeded"


@pytest.mark.parametrize("seed", range(4))
def test_a_lost_request_leaves_everything_as_it_was(seed: int) -> None:
    wire = Wire(kinds=("request lost",))
    wire.link.random.seed(seed)
    wire.send(wire.finish)
    wire.pass_time(10)
    assert wire.answers in (["Unknown"], ["Unavailable"])
    assert wire.bench.status(wire.key) == "running"


def test_a_statement_may_commit_after_its_caller_has_timed_out() -> None:
    wire = Wire(rough=0.0)
    wire.weather.frozen = True
    wire.send(lambda store: store.beat(NODE, Vitals()))
    wire.pass_time(READ_TIME_OUT / SECOND + 1)
    assert wire.answers == ["Unknown"]
    assert wire.bench.server.nodes[NODE].beat_seq == 1
    wire.weather.frozen = False
    wire.pass_time(10)
    assert wire.bench.server.nodes[NODE].beat_seq == 2


def test_a_transaction_of_a_dead_client_is_rolled_back() -> None:
    wire = Wire(kinds=("slow",))
    wire.send(wire.finish)
    wire.kernel.at(1, lambda _: wire.process.crash())
    wire.pass_time(30)
    assert wire.answers == []
    assert wire.bench.status(wire.key) == "running"
    assert wire.bench.server.locks.held == {}


def test_the_locks_of_a_stopped_client_are_free_after_the_idle_time() -> None:
    wire = Wire(kinds=("slow",), idle_cut=5 * SECOND)
    wire.send(wire.finish)
    wire.kernel.at(1, lambda _: wire.process.pause())
    wire.pass_time(4)
    assert wire.bench.server.locks.held
    wire.pass_time(4)
    assert wire.bench.server.locks.held == {}
    wire.process.resume()
    wire.pass_time(1)
    assert wire.answers == ["Unknown"]


def test_a_restart_of_the_server_ends_what_was_under_way() -> None:
    wire = Wire(kinds=("slow",))
    wire.send(wire.finish)
    wire.kernel.at(1, lambda _: setattr(wire.weather, "restarts", 1))
    wire.pass_time(30)
    assert wire.answers == ["Unknown"]
    assert wire.bench.status(wire.key) == "running"


def test_a_statement_that_meets_a_lock_waits_for_it_and_no_longer_than_the_lock_wait() -> None:
    wire = Wire(rough=0.0)
    held = wire.bench.server.begin()
    assert list(held.take([("node", NODE)])) == []
    wire.send(lambda store: store.beat(NODE, Vitals()))
    wire.pass_time(3)
    assert wire.answers == ["Busy"]
    wire.send(lambda store: store.beat(NODE, Vitals()))
    wire.pass_time(0.5)
    held.release()
    wire.pass_time(0.5)
    assert wire.answers == ["Busy", True]


def test_the_reply_to_a_stopped_client_is_there_when_it_goes_on() -> None:
    wire = Wire(kinds=("brisk",))
    wire.send(lambda store: store.count_runs())
    wire.kernel.at(1, lambda _: wire.process.pause())
    wire.pass_time(60)
    wire.process.resume()
    wire.pass_time(1)
    assert wire.answers == [1]


def test_a_trap_kills_the_process_between_the_answer_and_what_it_would_do_with_it() -> None:
    wire = Wire(rough=0.0)
    wire.link.trap = "finish after"
    wire.send(wire.finish)
    wire.pass_time(1)
    assert (wire.answers, wire.process.dead) == ([], True)
    assert wire.bench.status(wire.key) == "succeeded"
