"""One seed of the chaos ring: a fleet on a real server, what is done to it, and what the checkers say."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

from leasebeat import settings
from leasebeat.gate.base import Gate, OpenGate
from leasebeat.gate.deployment import deployment
from leasebeat.gate.link import TIMEOUT_S
from leasebeat.gate.redis import RedisGate
from leasebeat.model.instant import SECOND, Instant, to_text
from leasebeat.model.node import LEASE_BEATS, NodeFacts
from leasebeat.model.run import RunKey
from leasebeat.node import loop
from leasebeat.runtime import SystemRuntime
from leasebeat.store.mysql import MysqlSession
from leasebeat.store.sql import SqlStore
from leasebeat.store.statements import load
from leasebeat.store.url import StoreUrl
from leasebeat.testing.private import PrivateMysql
from leasebeat.testing.servers import HOST, MariaDB, Redis
from leasebeat.testing.simstore.tables import NodeRow, Run, RunChange
from leasebeat.testing.simulation.checkers import Evidence, Violation, check
from leasebeat.testing.simulation.tasks import TaskBegin
from leasebeat.testing.store_chaos import faults, journal
from leasebeat.testing.store_chaos.faults import Fault, Scene
from leasebeat.testing.store_chaos.machines import BEAT_S, SLOTS, Fleet, Machine, Tasks
from leasebeat.testing.store_chaos.people import People
from leasebeat.testing.store_chaos.proxy import Proxies
from leasebeat.testing.store_chaos.session import Record
from leasebeat.testing.store_chaos.timers import Timers, lead, store_now

MACHINES = 4
SCHEDULES = 30
LEASE = round(LEASE_BEATS * BEAT_S * SECOND)
_OPEN = "status IN ('queued', 'running')"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how hard, and what is taken out of the protocol."""

    seconds: float = 18.0
    settle_s: float = 30.0  #: everything must have ended so long after the last fire
    faults: Sequence[Fault] = faults.OFTEN
    faults_per_s: float = 0.6
    rough: bool = True  #: besides: KILLs, one restart of the store, a network that loses and delays
    task_s: float | None = None  #: how long every task lasts; None = as drawn
    patches: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda _: {}  #: statements said otherwise
    leashes: bool = True


@dataclass(slots=True)
class Report:
    """What one seed came to."""

    seed: int
    violations: list[Violation]
    totals: Counter[str]
    journal: list[Any] = field(default_factory=list[Any], repr=False)


def run_seed(seed: int, mariadb: MariaDB, redis: Redis, plan: Plan | None = None) -> Report:
    """Ill-treat a fleet for a while, let it heal, and judge its history. The servers are this seed's own."""
    with ExitStack() as stack, _watched_services() as broken:
        ring = _Ring(seed, mariadb, redis, plan or Plan(), stack)
        ring.live()
        return ring.report(list(broken))


class _Ring:
    """The parts of one run."""

    def __init__(self, seed: int, mariadb: MariaDB, redis: Redis, plan: Plan, stack: ExitStack) -> None:
        self.seed, self.plan = seed, plan
        self.random = Random(seed)
        self.calm_since: Instant = 0
        self.store = PrivateMysql(mariadb.mysql)
        stack.callback(self.store.remove)
        for statement in journal.STATEMENTS:
            self.store.rows(statement)
        runtime = SystemRuntime()
        self.timers = Timers(runtime, "tasks")
        stack.callback(self.timers.stop)
        self.tasks = Tasks()
        self.record = Record()
        self._gates: list[Gate] = []
        patches = plan.patches(statements())
        self.fleet = Fleet(self.timers, self.tasks, self.record, self._gate(redis), patches, plan.leashes)
        proxies = Proxies(runtime)
        stack.callback(proxies.close)
        stack.callback(self._close_gates)
        stack.callback(self.fleet.close)
        self.machines = [self._machine(f"node-{n}", proxies, mariadb.port) for n in range(MACHINES)]
        self.people = People(
            StoreUrl.parse(self.store.admin_url),
            Timers(runtime, "people"),
            self.tasks,
            self.record,
            self._new_random(),
        )
        self.people.task_s = plan.task_s
        self.scene = Scene(Timers(runtime, "faults"), mariadb, redis, self.machines, self._new_random())
        stack.callback(self._end_ill_treatment)

    def _new_random(self) -> Random:
        return Random(self.random.getrandbits(64))

    def _machine(self, name: str, proxies: Proxies, port: int) -> Machine:
        proxy = proxies.open(HOST, port, self._new_random())
        url = replace(StoreUrl.parse(self.store.url), port=proxy.port)
        return Machine(self.fleet, name, proxy, url, self._new_random())

    def _gate(self, redis: Redis) -> Callable[[], Gate]:
        """Every second seed has a Redis."""
        installation = str(self.store.rows("SELECT installation AS i FROM schema_info")[0]["i"])

        def gate() -> Gate:
            where = deployment(settings.Redis(redis.url), TIMEOUT_S)
            made = RedisGate(where, installation, SystemRuntime()) if self.seed % 2 else OpenGate()
            self._gates.append(made)
            return made

        return gate

    def _close_gates(self) -> None:
        with ThreadPoolExecutor() as pool:  # each waits for its threads
            list(pool.map(_close, self._gates))

    # the life of a fleet

    def live(self) -> None:
        """From the first start to the last end."""
        for _ in range(SCHEDULES):
            self.people.add_schedule()
        for machine in self.machines:
            machine.proxy.rough = self.plan.rough * self.random.choice((0.005, 0.01, 0.02))
            machine.boot()
        self._plan_deeds()
        self._plan_faults()
        _wait(self.plan.seconds)
        self._heal()
        _wait(2.0)
        self.people.calm()
        self.calm_since = store_now()
        end = time.monotonic() + self.plan.settle_s
        while not self._settled() and time.monotonic() < end:
            _wait(0.1)

    def _plan_deeds(self) -> None:
        people, seconds = self.people, self.plan.seconds
        deeds: list[Callable[[], None]] = [people.edit] * round(2 * seconds)
        deeds += [people.run_now, people.kill_a_run] * round(seconds / 2)
        deeds += [people.hold_something] * round(1.2 * seconds)
        for deed in deeds:
            people.timers.after(round(self.random.uniform(0.5, seconds) * SECOND), _just(deed))

    def _plan_faults(self) -> None:
        scene, seconds = self.scene, self.plan.seconds
        drawn = self.random.choices(self.plan.faults, k=round(seconds * self.plan.faults_per_s))
        if self.plan.rough:
            drawn += [faults.kill_connections] * round(seconds / 4)
            scene.later(seconds * self.random.uniform(0.3, 0.7), partial(faults.restart_store, scene))
        for fault in drawn:
            scene.later(self.random.uniform(1.0, seconds), partial(fault, scene))

    def _heal(self) -> None:
        """Everything is well again, and everybody runs."""
        self._end_ill_treatment()
        for machine in self.machines:
            machine.proxy.rough, machine.proxy.refuses = 0.0, False
            machine.resume()
            machine.boot()
        self.scene.note("heal")

    def _end_ill_treatment(self) -> None:
        self.scene.timers.stop()
        self.people.timers.stop()
        self.scene.mariadb.thaw()
        self.scene.redis.thaw()
        self.people.go_home()

    def _settled(self) -> bool:
        """Nothing is open, everybody is live, and all that was due is accounted for."""
        (row,) = self.store.rows(
            f"SELECT (SELECT COUNT(*) FROM runs WHERE {_OPEN}) AS open,"
            " (SELECT COUNT(*) FROM nodes WHERE state = 'live') AS live,"
            f" (SELECT {journal.micros('watermark')} FROM roles WHERE name = 'auditor') AS watermark"
        )
        return (row["open"], row["live"]) == (0, MACHINES) and (row["watermark"] or 0) > self.calm_since

    # the verdict

    def report(self, broken: list[str]) -> Report:
        """Hold what is written against what was promised."""
        with self.timers.lock:
            executing = frozenset(
                task.launch.id for life in self.fleet.lives for task in life.guardian.tasks()
            )
        evidence = self._evidence(executing)
        violations = [*self._own_findings(evidence, broken), *check(evidence)]
        return Report(self.seed, violations, self._totals(evidence), list(evidence.journal))

    def _evidence(self, executing: frozenset[tuple[RunKey, int]]) -> Evidence:
        rows, now = self.store.rows, store_now()
        session = MysqlSession(StoreUrl.parse(self.store.admin_url), SystemRuntime())
        versions = {version.id: version for version in SqlStore(session).history(0)}
        session.close()
        written = [journal.written(row) for row in rows("SELECT * FROM chaos_journal ORDER BY at, id")]
        history = journal.History(written, self.record, self.people.deeds, versions.values())
        runs = [_run(row) for row in rows(f"SELECT *, {_MICROS} FROM runs")]
        return Evidence(
            journal=sorted([*history.entries, *self.tasks.journal], key=lambda entry: entry.at),
            rows={run.key: run for run in runs},
            nodes={
                row["id"]: _node(row["id"], row["name"], row["state"]) for row in rows("SELECT * FROM nodes")
            },
            versions=versions,
            clock=[(0, 0)],
            now=now,
            store_now=now,
            slots=SLOTS,
            lease=LEASE,
            calm_since=self.calm_since,
            enabled=frozenset(row["id"] for row in rows("SELECT id FROM schedules WHERE enabled = 1")),
            present=frozenset(machine.name for machine in self.machines if machine.up),
            executing=executing,
            calm_links=False,
            take_over_limit=3 * LEASE + 5 * SECOND,
            disturbed=sorted(self.scene.disturbed),
        )

    def _own_findings(self, evidence: Evidence, broken: list[str]) -> Iterator[Violation]:
        yield from (Violation("services do not break", what) for what in broken)
        for run in evidence.rows.values():
            if run.status in ("queued", "running"):
                what = f"{run.key.schedule_id}@{to_text(run.key.fire_at)} is {run.status} for good"
                yield Violation("nothing is stuck", f"{what}: node {run.node_id}, attempt {run.attempt}")
        for timers in (self.timers, self.people.timers, self.scene.timers):
            yield from (Violation("the ring works", repr(problem)) for problem in timers.failures)

    def _totals(self, evidence: Evidence) -> Counter[str]:
        changes = [entry for entry in evidence.journal if entry.__class__ is RunChange]
        totals: Counter[str] = Counter(
            {
                "fires": sum(c.was is None and c.origin in ("trigger", "audit") for c in changes),
                "opened by the audit": sum(c.was is None and c.origin == "audit" for c in changes),
                "executions": sum(entry.__class__ is TaskBegin for entry in evidence.journal),
                "take-overs": sum(c.statement == "reclaim" for c in changes),
            }
        )
        # Order within so much is not known.
        totals["us by which this host's clock was set meanwhile"] = abs(lead() - self.timers.lead)
        for machine in self.machines:
            totals += machine.proxy.counts
        return totals + self.scene.counts + self.people.counts + self.record.counts


def statements() -> Mapping[str, str]:
    """The texts that a patch may change."""
    return load("mysql")


def _close(gate: Gate) -> None:
    gate.close()


def _just(deed: Callable[[], None]) -> Callable[[object], None]:
    return lambda _: deed()


def _wait(seconds: float) -> None:
    SystemRuntime().waiter().wait(seconds)


_TIMES = ("ready_at", "claimed_at", "started_at", "finished_at", "until")
_MICROS = ", ".join(f"{journal.micros(name)} AS {name}_us" for name in ("fire_at", *_TIMES))


def _run(row: Mapping[str, Any]) -> Run:
    run = Run(
        RunKey(row["fire_at_us"], row["schedule_id"], row["shard"]),
        row["status"],
        row["origin"],
        row["ready_at_us"],
    )
    for name in _TIMES:
        setattr(run, name, row[f"{name}_us"])
    for name in (
        "version",
        "node_id",
        "attempt",
        "failures",
        "take_overs",
        "serial",
        "reason_code",
        "reason",
    ):
        setattr(run, name, row[name])
    return run


def _node(node_id: str, name: str, state: str) -> NodeRow:
    facts = NodeFacts(node_id, name, "", "", 0, "", "", 0, SLOTS, BEAT_S, {}, (), "", "")
    node = NodeRow(facts, 0)
    node.state = state
    return node


@contextmanager
def _watched_services() -> Generator[list[str]]:
    """Errors inside services that are no answers of a port: the loop survives them, a seed does not."""
    broken: list[str] = []
    passed_on = loop.event

    def event(level: Any, action: str, message: str, /, **fields: object) -> None:
        if action == "service_failed" and level == "ERROR":
            broken.append(f"{message}: {fields['error']!r}")
        passed_on(level, action, message, **fields)

    loop.event = event
    try:
        yield broken
    finally:
        loop.event = passed_on


def describe(report: Report, most: int = 10) -> str:
    """The report of a seed for people: what is wrong, and how to see it again."""
    totals = ", ".join(f"{count} {what}" for what, count in sorted(report.totals.items()) if what)
    lines = [
        f"seed {report.seed}: {len(report.violations)} violations; again: scripts/chaos-store {report.seed}"
    ]
    for violation in report.violations[:most]:
        when = f" at {to_text(violation.at)}" if violation.at else ""
        lines.append(f"  [{violation.checker}]{when} {violation.what}")
    return "\n".join([*lines, f"  {totals}"])
