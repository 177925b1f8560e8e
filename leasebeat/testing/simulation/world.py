"""One simulated fleet: a store, a Redis, machines with workers, people who edit rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple, cast

from leasebeat.coordination.base import Coordinator
from leasebeat.coordination.store import StoreCoordinator
from leasebeat.coordination.zookeeper import ZooKeeperCoordinator
from leasebeat.executors.base import Launch
from leasebeat.journal.base import MemoryJournal
from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.model.node import LEASE_BEATS, NodeFacts
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode, RunKey
from leasebeat.node.audit import AuditConfig
from leasebeat.node.node import Node, NodeConfig, Ports
from leasebeat.store.base import Store
from leasebeat.testing.simstore import Server
from leasebeat.testing.simulation.calendars import CALENDARS
from leasebeat.testing.simulation.ensemble import Ensemble, SimLink
from leasebeat.testing.simulation.kernel import Kernel, Process
from leasebeat.testing.simulation.link import StoreLink, Weather
from leasebeat.testing.simulation.redis import Redis, SimGate
from leasebeat.testing.simulation.runtime import SimRuntime
from leasebeat.testing.simulation.tasks import (
    Evidence,
    Guardian,
    SimExecutor,
    SimLeash,
    TaskBegin,
    TaskEnd,
)

START: Instant = 1_795_143_600 * SECOND
"""2026-11-20T03:00:00Z: where virtual time begins."""


class Noted(NamedTuple):
    """Something that was done to the world."""

    at: Instant
    what: str
    whom: str


class Behaviour(NamedTuple):
    """What the tasks of a schedule do."""

    shortest_s: float
    longest_s: float
    fails: float = 0.0  #: the part of the attempts that end with exit code 1
    cannot_start: float = 0.0


class StoreClock:
    """The clock of the database's host: true time plus an offset that jumps."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._offset: Micros = 0
        self._high: Instant = 0
        self.pieces: list[tuple[Instant, Micros]] = [(0, 0)]  #: (from this true time on, offset)

    def now(self) -> Instant:
        """What the store calls now."""
        return self._kernel.now + self._offset

    def high(self) -> Instant:
        """The latest that it has ever shown."""
        return max(self._high, self.now())

    def jump(self, by: Micros) -> None:
        """An administrator, or the time service, sets it."""
        self._high = self.high()
        self._offset += by
        self.pieces.append((self._kernel.now, self._offset))


class Machine:
    """A host that runs one worker at a time, always under the same name."""

    def __init__(self, world: World, name: str, slots: int, roles: tuple[str, ...]) -> None:
        self.world = world
        self.name = name
        self.slots = slots
        self.roles = roles
        self.queues: dict[str, int | None] = {"default": None}
        self.skew: Micros = 0
        self.process: Process | None = None
        self.node: Node | None = None
        self.link: StoreLink | None = None
        self.members_link: SimLink | None = None  #: to ZooKeeper, where that is the coordinator
        self.guardian: Guardian | None = None
        self.runtime: SimRuntime | None = None
        self.journal = MemoryJournal()  #: on its disk: it outlives the worker

    @property
    def up(self) -> bool:
        """Whether its worker runs (it may be stopped)."""
        return self.process is not None and not self.process.dead

    def boot(self) -> None:
        """Start the worker: a new process, a new node id, the same name."""
        if self.up:
            return
        world = self.world
        random = Random(world.random.getrandbits(64))
        booted = START - random.randrange(10**12)
        pid = len(world.processes)
        process = self.process = Process(world.kernel, f"{self.name}.{pid}")
        runtime = self.runtime = SimRuntime(process, random, booted)
        runtime.skew = self.skew
        guardian = self.guardian = Guardian(world.kernel, process, random, booted, world)
        guardian.leashes = world.leashes
        link = self.link = StoreLink(world.kernel, world.server, process, world.weather, random)
        gate = SimGate(world.redis, process)
        gate.spring = guardian.spring = link.spring
        link.crash = self._trapped
        world.processes[pid] = (process, guardian)
        executor = SimExecutor(guardian)
        coordinator = self._coordinator(process, runtime)
        self.node = Node(
            NodeConfig(
                self._facts(pid),
                drain_s=20.0,
                kill_grace_s=2.0,
                audit=AuditConfig(catch_up_per_s=world.catch_up_per_s),
            ),
            Ports(
                runtime=runtime,
                store=cast("Store", link),
                gate=gate,
                coordinator=coordinator,
                executors={"shell": executor, "python": executor, "http": executor},
                leash=SimLeash(guardian),
                is_gone=world.is_gone,
                journal=self.journal,
            ),
        )
        world.note("boot", process.name)
        world.light()
        node = self.node
        process.spawn("main", lambda: self._main(process, node))

    def _coordinator(self, process: Process, runtime: SimRuntime) -> Coordinator:
        world = self.world
        if world.ensemble is None:
            return StoreCoordinator()
        link = self.members_link = SimLink(world.ensemble, process, world.lease_s)
        return ZooKeeperCoordinator(runtime, link, "/leasebeat")

    def _main(self, process: Process, node: Node) -> None:
        """The worker's main thread: until the node has left, after SIGTERM."""
        node.start()
        while not node.ended.wait(3600.0):
            pass
        node.join(5.0)
        self.world.kernel.after(0, lambda _: self._exit(process))

    def _exit(self, process: Process) -> None:
        """The worker has ended by itself; its supervisor starts it again."""
        if not process.dead:
            self.world.note("exit", process.name)
            if self.members_link is not None:
                self.members_link.close()
            process.crash()
            self._buried()
            self.world.kernel.after(5 * SECOND, lambda _: self.boot())

    def crash(self) -> None:
        """Kill -9 of the worker."""
        process = self.process
        if process is not None and not process.dead:
            self.world.note("crash", process.name)
            self.world.crashes += 1
            process.crash()
            self._buried()

    def _trapped(self) -> None:
        """It died at a fault point; its supervisor starts it again."""
        self.crash()
        self.world.kernel.after(round(self.world.random.uniform(0.1, 40.0) * SECOND), lambda _: self.boot())

    def _buried(self) -> None:
        """The worker is dead: its guardian kills the tasks."""
        if self.guardian is not None and self.link is not None:
            self.world.statements += self.link.statements
            self.link.statements = 0
            self.guardian.worker_gone()
        self.world.dark()

    def drain(self) -> None:
        """SIGTERM."""
        if self.up and self.node is not None:
            self.world.note("drain", self.name)
            self.node.drain.request()

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
            slots=self.slots,
            beat_s=self.world.beat_s,
            queues=self.queues,
            roles=self.roles,
            version="simulated",
            tzdata="simulated",
        )


class World(Evidence):
    """Everything that a seed has made."""

    def __init__(self, seed: int, machines: int, beat_s: float) -> None:
        self.random = Random(seed)
        self.kernel = Kernel(START, Random(self.random.getrandbits(64)))
        self.clock = StoreClock(self.kernel)
        self.server = Server(self.clock.now, lambda: self.kernel.now)
        self.server.installation_id = "private-simulation"
        self.journal: list[Any] = self.server.journal  # store, tasks and faults in one order
        self.redis = Redis(self.kernel, Random(self.random.getrandbits(64)))
        self.ensemble: Ensemble | None = None  #: where ZooKeeper is the coordinator
        self.weather = Weather()
        self.beat_s = beat_s
        self.leashes = True
        self.crons: Sequence[str] = tuple(CALENDARS)  #: what new schedules are drawn from
        self.behaviours: dict[str, Behaviour] = {}  #: by command
        self.features: frozenset[str] = frozenset()  #: what people make use of
        self.chained: set[int] = set()  #: schedules that others follow, or that follow others
        self.catch_up_per_s = 50
        self.processes: dict[int, tuple[Process, Guardian]] = {}
        self.disturbed: list[tuple[Instant, Instant]] = []
        self._dark_since: Instant | None = None
        self.crashes = 0
        self.statements = 0
        self.machines = [Machine(self, f"node-{n}", 6, ("dispatch", "execute")) for n in range(machines)]

    def use_zookeeper(self) -> None:
        """Coordinate by ZooKeeper from the start."""
        self.server.coordinator = "zookeeper"
        self.ensemble = Ensemble(self.kernel, Random(self.random.getrandbits(64)))

    @property
    def lease_s(self) -> float:
        """Seconds of a lease."""
        return LEASE_BEATS * self.beat_s

    def disturb(self, length: Micros) -> None:
        """Note that for so long nobody can be expected to be in time."""
        self.disturbed.append((self.kernel.now, self.kernel.now + length))

    def dark(self) -> None:
        """A worker is dead; perhaps it was the last."""
        if self._dark_since is None and not any(machine.up for machine in self.machines):
            self._dark_since = self.kernel.now

    def light(self) -> None:
        """A worker runs: whatever was before, from now on somebody watches."""
        if self._dark_since is not None:
            self.disturbed.append((self._dark_since, self.kernel.now))
            self._dark_since = None

    def note(self, what: str, whom: str = "") -> None:
        """Write down what is being done to the world."""
        self.disturb(0)
        self.journal.append(Noted(self.kernel.now, what, whom))

    def is_gone(self, facts: NodeFacts) -> bool:
        """Whether that process and all its tasks are dead (its guardian would hold the lock otherwise)."""
        process, guardian = self.processes[facts.pid]
        return process.dead and not guardian.running()

    # evidence

    def begin(self, launch: Launch) -> None:
        """Write down that a task began now."""
        run = self.server.runs.rows.get(
            launch.key
        )  # always there, unless a mutation starts what it has not claimed
        self.journal.append(
            TaskBegin(
                self.kernel.now,
                self.clock.high(),
                launch.key,
                launch.attempt,
                launch.fence,
                launch.node_id,
                self._serial(launch) if run else None,
                launch.leashed,
                launch.schedule.command,
            )
        )

    def _serial(self, launch: Launch) -> str | None:
        """What the task may not run beside, by its definition: the rows are not believed."""
        schedule, key = launch.schedule, launch.key
        if schedule.overlap == "allow":
            return None
        where = f"@{self.server.nodes[launch.node_id].name}" if schedule.route == "all" else f":{key.shard}"
        return f"{key.schedule_id}{where}"

    def end(self, launch: Launch) -> None:
        """Write down that it ended now."""
        self.journal.append(TaskEnd(self.kernel.now, launch.key, launch.attempt, launch.node_id))

    def behaviour(self, launch: Launch, random: Random) -> tuple[float, Outcome]:
        """Drawn from what its command is known to do."""
        what = self.behaviours[launch.schedule.command]
        drawn = random.random()
        if drawn < what.cannot_start:
            return 0.0, Outcome(OutcomeKind.START_FAILED, 127, ReasonCode.START_FAILED, "not found")
        seconds = what.shortest_s + random.random() * (what.longest_s - what.shortest_s)
        if drawn < what.cannot_start + what.fails:
            return seconds, Outcome(OutcomeKind.FAILED, 1, ReasonCode.EXIT_CODE, "exit code 1")
        return seconds, Outcome(OutcomeKind.SUCCEEDED, 0)

    # what people do

    def add_schedule(self, columns: Mapping[str, object], behaviour: Behaviour) -> int:
        """INSERT INTO schedules: a new id, a command of its own."""
        schedule_id = self.next_id()
        command = f"task-{schedule_id}"
        self.behaviours[command] = behaviour
        self.server.put_schedule(schedule_id, {"name": command, "command": command, **columns})
        return schedule_id

    def edit(
        self,
        schedule_id: int,
        columns: Mapping[str, object],
        keep: bool = False,
        updated_at: Instant | None = None,
    ) -> None:
        """UPDATE schedules; nothing happens to a row that is gone. `keep` leaves `updated_at` as it was."""
        row = self.server.schedules.rows.get(schedule_id)
        if row is not None:
            if keep:
                updated_at = cast("Instant", row["updated_at"])
            self.server.put_schedule(schedule_id, columns, updated_at)

    def next_id(self) -> int:
        """Ids are never used again."""
        return max(self.server.schedules.rows.keys() | self.server.schedules.history.keys(), default=0) + 1

    def open_runs(self) -> list[RunKey]:
        """Runs that have not ended."""
        runs = self.server.runs
        return sorted([*runs.queued, *(key for held in runs.running.values() for key in held)])
