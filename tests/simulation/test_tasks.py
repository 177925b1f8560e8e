"""The simulated guardian keeps the promises of the real one (tests/integration/test_guardian.py)."""

from __future__ import annotations

from random import Random

from leasebeat.executors.base import Launch
from leasebeat.model.instant import SECOND
from leasebeat.model.run import Outcome, OutcomeKind, RunKey
from leasebeat.model.schedule import OnNodeLoss, Schedule
from leasebeat.testing.simulation.kernel import Kernel, Process
from leasebeat.testing.simulation.tasks import Evidence, Guardian, SimExecutor, SimLeash


class Yard(Evidence):
    """A worker with a guardian; its tasks take 60 seconds."""

    def __init__(self) -> None:
        self.kernel = Kernel(0, Random(1))
        self.process = Process(self.kernel, "p")
        self.guardian = Guardian(self.kernel, self.process, Random(1), 0, self)
        self.leash, self.executor = SimLeash(self.guardian), SimExecutor(self.guardian)
        self.events: list[str] = []
        self.outcomes: list[OutcomeKind] = []
        self.leash.renew(30.0)

    def begin(self, launch: Launch) -> None:
        self.events.append("begin")

    def end(self, launch: Launch) -> None:
        self.events.append(f"end after {self.kernel.now // SECOND} s")

    def behaviour(self, launch: Launch, random: Random) -> tuple[float, Outcome]:
        return 60.0, Outcome(OutcomeKind.SUCCEEDED)

    def start(self, on_node_loss: OnNodeLoss = "rerun") -> Launch:
        schedule = Schedule(1, "s", "@manual", "true", on_node_loss=on_node_loss)
        launch = Launch(RunKey(0, 1), 1, "s@0", 1, schedule, {}, "n", "name")
        self.executor.start(launch, lambda _, outcome: self.outcomes.append(outcome.kind))
        return launch

    def pass_time(self, seconds: int) -> None:
        self.kernel.run(self.kernel.now + seconds * SECOND)


def test_a_task_ends_by_itself_under_a_lease_that_is_renewed() -> None:
    yard = Yard()
    yard.start()
    yard.kernel.at(20 * SECOND, lambda _: yard.leash.renew(90.0))
    yard.pass_time(80)
    assert (yard.events, yard.outcomes) == (["begin", "end after 60 s"], [OutcomeKind.SUCCEEDED])


def test_a_leashed_task_dies_at_the_deadline_though_the_worker_is_stopped() -> None:
    yard = Yard()
    yard.start()
    yard.kernel.at(SECOND, lambda _: yard.process.pause())
    yard.pass_time(40)
    assert yard.events == ["begin", "end after 30 s"]
    assert yard.outcomes == []
    yard.process.resume()
    yard.pass_time(1)
    assert yard.outcomes == [OutcomeKind.LOST]


def test_a_task_off_the_leash_lives_past_the_deadline() -> None:
    yard = Yard()
    yard.start("finish")
    yard.pass_time(80)
    assert yard.events == ["begin", "end after 60 s"]


def test_every_task_dies_with_the_worker() -> None:
    yard = Yard()
    yard.start("finish")
    yard.pass_time(5)
    yard.process.crash()
    yard.guardian.worker_gone()
    yard.pass_time(1)
    assert (yard.events, yard.outcomes) == (["begin", "end after 5 s"], [])
    assert yard.guardian.running() == 0


def test_nothing_starts_past_the_deadline() -> None:
    yard = Yard()
    yard.pass_time(31)
    yard.start()
    yard.pass_time(1)
    assert (yard.events, yard.outcomes) == ([], [OutcomeKind.LOST])


def test_a_stopped_task_ends_as_its_stopper_says() -> None:
    yard = Yard()
    launch = yard.start()
    yard.pass_time(2)
    yard.executor.stop(launch.id, OutcomeKind.KILLED, 0.0)
    yard.pass_time(1)
    assert (yard.events, yard.outcomes) == (["begin", "end after 2 s"], [OutcomeKind.KILLED])
