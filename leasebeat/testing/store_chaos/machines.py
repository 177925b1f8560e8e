"""Workers in one process: shipped nodes, their threads, and guardians that go on when they stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from leasebeat.coordination.store import StoreCoordinator
from leasebeat.executors.base import Done, Launch
from leasebeat.gate.base import Gate
from leasebeat.model.instant import SECOND
from leasebeat.model.node import NodeFacts
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode, RunKey
from leasebeat.node.node import Node, NodeConfig, Ports
from leasebeat.runtime import SystemRuntime, Task
from leasebeat.store.sql import SqlStore
from leasebeat.store.url import StoreUrl
from leasebeat.testing.simulation.kernel import Kernel, Process, SimCrash
from leasebeat.testing.simulation.tasks import (
    Evidence,
    Guardian,
    SimExecutor,
    SimLeash,
    TaskBegin,
    TaskEnd,
)
from leasebeat.testing.simulation.world import Behaviour
from leasebeat.testing.store_chaos.proxy import Proxy
from leasebeat.testing.store_chaos.session import ChaosSession, Door, Record
from leasebeat.testing.store_chaos.timers import Timers, store_now

BEAT_S = 1.0
SLOTS = 6


class Tasks(Evidence):
    """What tasks do, and when they began and ended. Everything happens under the timers' lock."""

    def __init__(self) -> None:
        self.journal: list[Any] = []
        self.behaviours: dict[str, Behaviour] = {}  #: by command

    def begin(self, launch: Launch) -> None:
        """Note that a task began."""
        """Write down that a task began."""
        now, schedule = store_now(), launch.schedule
        began = TaskBegin(
            at=now,
            store_high=now,
            key=launch.key,
            attempt=launch.attempt,
            fence=launch.fence,
            node_id=launch.node_id,
            serial=schedule.serial(),
            leashed=launch.leashed,
            command=schedule.command,
        )
        self.journal.append(began)

    def end(self, launch: Launch) -> None:
        """Note that it ended."""
        """Write down that it ended."""
        self.journal.append(TaskEnd(store_now(), launch.key, launch.attempt, launch.node_id))

    def behaviour(self, launch: Launch, random: Random) -> tuple[float, Outcome]:
        """How many seconds it takes, and how it ends."""
        """What this attempt shall do."""
        what = self.behaviours[launch.schedule.command]
        drawn = random.random()
        if drawn < what.cannot_start:
            return 0.0, Outcome(OutcomeKind.START_FAILED, 127, ReasonCode.START_FAILED, "not found")
        seconds = random.uniform(what.shortest_s, what.longest_s)
        if drawn < what.cannot_start + what.fails:
            return seconds, Outcome(OutcomeKind.FAILED, 1, ReasonCode.EXIT_CODE, "exit code 1")
        return seconds, Outcome(OutcomeKind.SUCCEEDED, 0, output=b"done\n", output_bytes=5)


class _Runtime(SystemRuntime):
    """Threads that end without a word when their worker is dead."""

    def start(self, name: str, target: Callable[[], None]) -> Task:
        def run() -> None:
            with suppress(SimCrash):
                target()

        return super().start(name, run)


class _Leash(SimLeash):
    """The guardian's deadline, renewed by a thread that may be stopped."""

    def __init__(self, guardian: Guardian, door: Door, lock: threading.RLock) -> None:
        super().__init__(guardian)
        self._door, self._lock = door, lock

    def renew(self, deadline: float) -> None:
        self._door()
        with self._lock:
            super().renew(deadline)


class _Executor(SimExecutor):
    """Orders to the guardian, by threads that may be stopped."""

    def __init__(self, guardian: Guardian, door: Door, lock: threading.RLock) -> None:
        super().__init__(guardian)
        self._door, self._lock = door, lock

    def start(self, launch: Launch, done: Done) -> None:
        self._door()
        with self._lock:
            super().start(launch, done)

    def stop(self, launch_id: tuple[RunKey, int], kind: OutcomeKind, grace_s: float) -> None:
        self._door()
        with self._lock:
            super().stop(launch_id, kind, grace_s)


class _Gate:
    """The real gate, behind the door."""

    def __init__(self, gate: Gate, door: Door) -> None:
        self._gate, self._door = gate, door
        self.listen = gate.listen
        self.close = gate.close

    def ask(self, fires: Sequence[RunKey], token: str) -> list[bool]:
        self._door()
        return self._gate.ask(fires, token)

    def notify(self, topic: str) -> None:
        self._door()
        self._gate.notify(topic)


@dataclass(slots=True)
class Life:
    """One process of a machine, from its start to its death."""

    process: Process
    door: Door
    guardian: Guardian
    session: ChaosSession
    gate: Gate
    node: Node | None = None


@dataclass(slots=True)
class Fleet:
    """What all machines share."""

    timers: Timers
    tasks: Tasks
    record: Record
    gates: Callable[[], Gate]
    patches: Mapping[str, str]
    leashes: bool
    lives: list[Life] = field(default_factory=list[Life])

    def is_gone(self, facts: NodeFacts) -> bool:
        """Whether that process and its tasks are dead."""
        life = self.lives[facts.pid]
        with self.timers.lock:
            return life.process.dead and not life.guardian.running()

    def close(self) -> None:
        """End all that is left of all lives."""
        for life in self.lives:
            end(life, self.timers)
        for life in self.lives:
            assert life.node is not None
            if not life.node.join(20.0):
                raise RuntimeError(f"threads of {life.process.name} have not ended")
            life.session.close()


def end(life: Life, timers: Timers) -> None:
    """Kill -9 of the worker: its threads end at the door, its guardian kills the tasks."""
    with timers.lock:
        life.process.crash()
        life.guardian.worker_gone()
    life.door.reopen()
    if life.node is not None:
        life.node.stop()


class Machine:
    """A host that runs one worker at a time, always under the same name."""

    def __init__(self, fleet: Fleet, name: str, proxy: Proxy, url: StoreUrl, random: Random) -> None:
        self.name = name
        self.proxy = proxy
        self.life: Life | None = None
        self._fleet = fleet
        self._url = url
        self._random = random

    @property
    def up(self) -> bool:
        """Whether its worker runs (it may be stopped)."""
        return self.life is not None and not self.life.process.dead

    def boot(self) -> None:
        """Start the worker: new threads, a new node id, the same name."""
        with self._fleet.timers.lock:  # from several threads: a restart after a drain, or after a crash
            if not self.up:
                self._boot()

    def _boot(self) -> None:
        life = self.life = self._born()
        runtime, fleet = _Runtime(), self._fleet
        executor = _Executor(life.guardian, life.door, fleet.timers.lock)
        ports = Ports(
            runtime=runtime,
            store=SqlStore(life.session),
            gate=life.gate,
            coordinator=StoreCoordinator(),
            executors={"shell": executor},
            leash=_Leash(life.guardian, life.door, fleet.timers.lock),
            is_gone=fleet.is_gone,
        )
        facts = self._facts(len(fleet.lives))
        life.node = Node(NodeConfig(facts, drain_s=2.0, kill_grace_s=0.5), ports)
        fleet.lives.append(life)
        life.node.start()

    def _born(self) -> Life:
        fleet = self._fleet
        kernel = cast("Kernel", fleet.timers)
        process = Process(kernel, f"{self.name}.{len(fleet.lives)}")
        guardian = Guardian(kernel, process, Random(self._random.random()), fleet.timers.lead, fleet.tasks)
        guardian.leashes = fleet.leashes
        door = Door(process)
        session = ChaosSession(self._url, SystemRuntime(), BEAT_S, door, fleet.record, fleet.patches)
        return Life(process, door, guardian, session, _Gate(fleet.gates(), door))

    def crash(self, cut: bool) -> None:
        """Kill -9; with `cut` its connections end at once, else the server does not hear of it."""
        if self.life is not None and self.up:
            end(self.life, self._fleet.timers)
            if cut:
                self.proxy.cut()

    def pause(self, seconds: float) -> bool:
        """SIGSTOP for so long. False if it cannot be stopped now."""
        life = self.life
        if life is None or life.process.dead or life.process.paused:
            return False
        timers = self._fleet.timers
        life.door.shut()
        with timers.lock:
            life.process.pause()
        timers.after(round(seconds * SECOND), lambda _: self._go_on(life))
        return True

    def resume(self) -> None:
        """SIGCONT, sooner than was meant."""
        if self.life is not None:
            with self._fleet.timers.lock:
                self._go_on(self.life)

    def _go_on(self, life: Life) -> None:
        if not life.process.dead:
            life.process.resume()
            life.door.reopen()

    def drain(self) -> None:
        """SIGTERM; once it has left, its supervisor starts it again."""
        life = self.life
        if life is not None and life.node is not None and self.up:
            life.node.drain.request()
            self._fleet.timers.after(SECOND // 2, lambda _: self._bury(life))

    def _bury(self, life: Life) -> None:
        if life.process.dead or life.node is None:
            return
        if life.node.ended.wait(0.0):
            end(life, self._fleet.timers)
            self.boot()
        else:
            self._fleet.timers.after(SECOND // 2, lambda _: self._bury(life))

    def _facts(self, pid: int) -> NodeFacts:
        return NodeFacts(
            id="",
            name=self.name,
            host=self.name,
            address="",
            pid=pid,
            boot_id=self.name,
            pid_namespace="1",
            process_start=pid,
            slots=SLOTS,
            beat_s=BEAT_S,
            queues={"default": None},
            roles=("dispatch", "execute"),
            version="chaos",
            tzdata="chaos",
        )
