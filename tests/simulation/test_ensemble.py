"""The simulated ensemble behaves as ZooKeeper does where the coordinator relies on it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from leasebeat.errors import CoordinatorUnavailable
from leasebeat.model.instant import SECOND
from leasebeat.testing.simulation.ensemble import Ensemble, SimLink
from leasebeat.testing.simulation.kernel import Kernel, Process
from leasebeat.testing.simulation.seed import Plan, describe, run_seed

SESSION_S = 6.0


class Bench:
    """An ensemble, and a process with a connection to it that has made /m, ephemeral."""

    def __init__(self) -> None:
        self.kernel = Kernel(0, Random(1))
        self.ensemble = Ensemble(self.kernel, Random(1))
        self.process = Process(self.kernel, "p")
        self.link = SimLink(self.ensemble, self.process, SESSION_S)
        self.answers: list[object] = []
        self.pass_time(2)
        self.ask(lambda: self.link.create("/m", b"", ephemeral=True))

    def ask(self, what: Callable[[], object]) -> object:
        def run() -> None:
            try:
                self.answers.append(what())
            except CoordinatorUnavailable as problem:
                self.answers.append(type(problem).__name__)

        self.process.spawn("t", run)
        self.pass_time(SESSION_S / 3)
        return self.answers[-1]

    def pass_time(self, seconds: float) -> None:
        self.kernel.run(self.kernel.now + round(seconds * SECOND))


def test_what_is_ephemeral_stands_while_the_client_lives_and_a_session_longer() -> None:
    bench = Bench()
    bench.pass_time(30)
    assert "/m" in bench.ensemble.znodes
    bench.process.crash()
    bench.pass_time(SESSION_S / 2)
    assert "/m" in bench.ensemble.znodes
    bench.pass_time(SESSION_S)
    assert "/m" not in bench.ensemble.znodes


def test_a_stopped_client_learns_the_end_of_its_session_only_when_it_goes_on() -> None:
    bench = Bench()
    bench.process.pause()
    bench.pass_time(SESSION_S * 2)
    assert "/m" not in bench.ensemble.znodes
    assert bench.link.connection is not None
    bench.process.resume()
    assert bench.ask(lambda: bench.link.exists("/m")) == "CoordinatorUnavailable"


def test_no_session_ends_while_there_is_no_quorum_nor_for_a_session_after() -> None:
    bench = Bench()
    bench.ensemble.lose_quorum()
    bench.process.crash()
    bench.pass_time(SESSION_S * 5)
    bench.ensemble.elect()
    bench.pass_time(SESSION_S * 0.9)
    assert "/m" in bench.ensemble.znodes
    bench.pass_time(SESSION_S * 0.2)
    assert "/m" not in bench.ensemble.znodes


def test_a_request_whose_answer_is_lost_was_carried_out() -> None:
    bench = Bench()
    bench.link.one_way = True
    assert bench.ask(lambda: bench.link.create("/n", b"")) == "CoordinatorUnavailable"
    assert "/n" in bench.ensemble.znodes


def test_the_weather_of_the_mutations_of_zookeeper_is_harmless_to_the_whole_protocol() -> None:
    plan = Plan(("zookeeper cut", "ensemble empty", "leader changes"), count=12, coordinator="zookeeper")
    reports = [run_seed(seed, plan) for seed in range(5)]
    assert [describe(report) for report in reports if report.violations] == []
    assert sum(report.totals["sessions expired"] for report in reports) > 0
