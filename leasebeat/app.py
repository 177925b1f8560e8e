"""The composition root: the only place that picks adapters.

`open_session` and `open_desk` serve the commands, `run_worker` the worker. What a setup does not
use (Redis, PyMySQL, HTTP) is not even imported.
"""

from __future__ import annotations

import faulthandler
import getpass
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from leasebeat import __version__, faults, host, logs
from leasebeat.coordinators import agree, open_coordinator
from leasebeat.errors import Refused, SettingsError, StoreError, StoreUnfit
from leasebeat.executors.base import Executor
from leasebeat.gate.base import Gate, OpenGate
from leasebeat.journal.base import Journal, MemoryJournal
from leasebeat.journal.file import FileJournal
from leasebeat.logs import event
from leasebeat.model.node import NodeFacts
from leasebeat.node.audit import AuditConfig
from leasebeat.node.node import Node, NodeConfig, Notice, Ports
from leasebeat.node.retention import Ages
from leasebeat.node.verdict import OutputLimits
from leasebeat.runtime import Runtime, SystemRuntime
from leasebeat.settings import Settings, load

if TYPE_CHECKING:
    from leasebeat.alerts import Alerts
    from leasebeat.executors.leash import GuardianLeash
    from leasebeat.gate.link import Link
    from leasebeat.gate.look import Looks
    from leasebeat.store.desk import Desk
    from leasebeat.store.session import Session

__all__ = ["look_at_redis", "open_desk", "open_session", "run_worker"]

_SWITCH_S = 0.001
"""Who comes back from the store or from Redis waits no longer for a thread that computes: in a burst the
interpreter's 5 ms, once for each answer, add up."""

_STORE_PATIENCE_S = 30.0
_LOOK_S = 0.2
_LAST_WORDS_S = 5.0

_PUBLISH_S = 5.0
"""How long a `publish` task waits for Redis: it is worth more patience than a fire, which has the store."""


# --- the store ----------------------------------------------------------------------------------


def open_session(settings: Settings, runtime: Runtime | None = None) -> Session:
    """The store that the settings name; nothing is connected or checked yet."""
    runtime = runtime or SystemRuntime()
    url = settings.store.url
    if url.scheme == "sqlite":
        from leasebeat.store.sqlite import SqliteSession

        assert url.path is not None
        return SqliteSession(url.path, runtime)
    from leasebeat.store.mysql import MysqlSession

    return MysqlSession(
        url,
        runtime,
        ssl_ca=settings.store.ssl_ca,
        ssl_verify=settings.store.ssl_verify,
        beat_s=settings.node.beat_s,
    )


def open_desk(settings: Settings) -> Desk:
    """What people's commands ask of the store. Raises NoStore, StoreUnfit, Unavailable."""
    from leasebeat.store.desk import Desk
    from leasebeat.store.schema import check

    session = open_session(settings)
    check(session)
    return Desk(session, _who())


def _who() -> str:
    """The user of this process, by name if the host knows one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())


def look_at_redis(settings: Settings) -> Looks:
    """What the servers of Redis say of themselves, for `doctor`. Raises GateUnavailable."""
    from leasebeat.gate.deployment import deployment
    from leasebeat.gate.link import TIMEOUT_S
    from leasebeat.gate.look import look

    return look(deployment(settings.redis, TIMEOUT_S))


# --- the worker ---------------------------------------------------------------------------------


def run_worker(settings: Settings, cordoned: bool = False) -> int:
    """Run a node until it has left; the exit code of the process.

    Raises SettingsError (NoStore too), StoreUnfit, Unavailable.
    """
    logs.configure(settings.log, secrets=settings.secrets())
    faulthandler.enable()
    sys.setswitchinterval(_SWITCH_S)
    worker = _Worker(settings, SystemRuntime())
    try:
        worker.open(cordoned)
        return worker.run()
    finally:
        worker.close()


@dataclass(slots=True)
class _Signals:
    """What signals asked for. Handlers only set these; the main thread acts on them."""

    terms: int = 0
    hups: int = 0
    dumps: int = 0

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, self._term)
        signal.signal(signal.SIGINT, self._term)
        signal.signal(signal.SIGHUP, self._hup)
        signal.signal(signal.SIGUSR1, self._dump)

    def _term(self, *_: object) -> None:
        self.terms += 1

    def _hup(self, *_: object) -> None:
        self.hups += 1

    def _dump(self, *_: object) -> None:
        self.dumps += 1


@dataclass(slots=True)
class _Worker:
    """The parts of one worker process, opened in order and closed in the reverse one."""

    settings: Settings
    runtime: Runtime
    node: Node | None = None
    executors: Mapping[str, Executor] = field(default_factory=dict[str, Executor])
    leash: GuardianLeash | None = None
    environ: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    _closers: list[Callable[[], object]] = field(default_factory=list)

    def open(self, cordoned: bool) -> None:
        settings, runtime = self.settings, self.runtime
        session = open_session(settings, runtime)
        self._closers.append(session.close)
        self._await_store(session)
        agree(session, settings.node.coordinator, runtime)
        from leasebeat.store.sql import SqlStore

        store = SqlStore(session)
        installation = store.installation()
        faults.arm(self.environ, installation)
        _forget_settings()
        self._open_executors()
        gate = self._open_gate(installation)
        alerts = self._open_alerts()
        leash = self.leash
        assert leash is not None
        facts = host.facts(settings, cordoned)
        coordinator = open_coordinator(settings, runtime)
        self._closers.append(coordinator.close)
        self.node = Node(
            _config(settings, facts),
            Ports(
                runtime=runtime,
                store=store,
                gate=gate,
                coordinator=coordinator,
                executors=self.executors,
                leash=leash,
                journal=self._open_journal(installation),
                is_gone=lambda other: other.id == leash.predecessor and host.is_this_host(other, facts),
                joined=leash.sign,
                usage=host.usage(),
                tell=_teller(alerts, runtime),
                log_level=self._set_log_level,
            ),
        )

    def run(self) -> int:
        node = self.node
        assert node is not None
        signals = _Signals()
        signals.listen()
        node.start()
        event("INFO", "worker_started", "worker started", node=node.standing.facts.name, version=__version__)
        terms = hups = dumps = 0
        while not node.ended.wait(_LOOK_S):
            if signals.terms > terms:
                node.drain.request(hurry=signals.terms > 1)
                terms = signals.terms
            if signals.hups > hups:
                self._reload()
                hups = signals.hups
            if signals.dumps > dumps:
                _dump(node)
                dumps = signals.dumps
        node.join(_LAST_WORDS_S)
        if node.refused:
            raise StoreUnfit(
                f"{node.refused}; give all workers of a fleet the same, and start this one again"
            )
        return 0

    def close(self) -> None:
        while self._closers:
            self._closers.pop()()

    # parts

    def _await_store(self, session: Session) -> None:
        from leasebeat.store.schema import check

        waiter, until = self.runtime.waiter(), self.runtime.monotonic() + _STORE_PATIENCE_S
        while True:
            try:
                for warning in check(session, worker=True):
                    event("WARNING", "store_warning", str(warning))
                return
            except StoreUnfit:
                raise
            except StoreError as problem:
                if self.runtime.monotonic() >= until:
                    raise
                event("WARNING", "store_unreachable", "waiting for the store", error=problem)
                waiter.wait(1.0)

    def _open_executors(self) -> None:
        from leasebeat.executors import cgroup_home
        from leasebeat.executors.kinds import open_executors
        from leasebeat.executors.leash import GuardianLeash
        from leasebeat.executors.loop import Loop
        from leasebeat.executors.options import ExecutorOptions

        node = self.settings.node
        state_dir = host.state_dir(self.settings)
        loop = Loop(self.runtime)
        self._closers.append(loop.close)
        lock = state_dir / host.lock_name(node.name)
        home = cgroup_home.find(node.cgroup, node.task_memory_mb, node.task_pids_max)
        leash = GuardianLeash(self.runtime, loop, lock, node.no_new_privs, home)
        self.leash = leash
        self._closers.append(leash.close)
        self._start_guardian(leash)
        options = ExecutorOptions(
            allow_kinds=node.allow_kinds,
            allow_commands=node.allow_commands,
            allow_modules=node.allow_modules,
            allow_urls=node.allow_urls,
            allow_users=node.allow_users,
            python_isolation=node.python_isolation,
            slots=node.slots,
            python_processes=node.python_processes,
            python_path=node.python_path,
            python_init=node.python_init,
            python_recycle_runs=node.python_recycle_runs,
            state_dir=state_dir,
            kill_grace_s=node.kill_grace_s,
        )
        self.executors = open_executors(options, self.runtime, loop, leash, _redis(self.settings))
        self._closers.extend(executor.close for executor in self.executors.values())

    def _open_journal(self, installation: str) -> Journal:
        """Only now, with the lock file held: whoever wrote to it before is gone."""
        folder, stem = host.state_dir(self.settings), host.lock_name(self.settings.node.name)
        try:
            journal = FileJournal(folder, f"{stem.removesuffix('.lock')}.{installation[:16]}", self.runtime)
        except OSError as problem:
            advice = "outcomes and starts of this host will not survive its worker"
            event("ERROR", "journal_failed", f"the journal cannot be opened: {advice}", error=problem)
            return MemoryJournal()
        self._closers.append(journal.close)
        return journal

    def _start_guardian(self, leash: GuardianLeash) -> None:
        """A second worker of the same name on this host waits until the first and its guardian are gone."""
        waiter, told = self.runtime.waiter(), False
        while True:
            try:
                leash.restore()
                return
            except Refused as problem:
                if not told:
                    event("WARNING", "name_taken", f"{problem}; waiting until it is gone")
                told = True
                waiter.wait(0.5)

    def _open_gate(self, installation: str) -> Gate:
        if not self.settings.redis.url:
            return OpenGate()
        from leasebeat.gate.deployment import deployment
        from leasebeat.gate.link import TIMEOUT_S
        from leasebeat.gate.redis import RedisGate

        gate = RedisGate(deployment(self.settings.redis, TIMEOUT_S), installation, self.runtime)
        self._closers.append(gate.close)
        return gate

    def _open_alerts(self) -> Alerts:
        from leasebeat.alerts import Alerts, CommandDelivery, LogDelivery, Routes
        from leasebeat.executors.arguments import command_is_allowed

        node, command = self.settings.node, self.settings.alerts.command
        default = CommandDelivery(self.runtime, command) if command else LogDelivery()

        def allows(line: str) -> bool:
            return "shell" in node.allow_kinds and command_is_allowed(line, node.allow_commands)

        alerts = Alerts(self.runtime, Routes(self.runtime, default, allows))
        alerts.start()
        self._closers.append(lambda: alerts.close(_LAST_WORDS_S))
        return alerts

    def _set_log_level(self, level: str | None) -> None:
        """For all nodes, by ZooKeeper's config; None: the own setting."""
        log = self.settings.log
        logs.configure(replace(log, level=level or log.level), secrets=self.settings.secrets())

    def _reload(self) -> None:
        """SIGHUP: the log's settings anew, and new Python children for new code."""
        try:
            source = Path(self.settings.source)
            fresh = load(source if source.is_file() else None, self.environ)
        except SettingsError as problem:
            event("ERROR", "settings_refused", "settings not re-read; the old ones stay", error=problem)
            return
        logs.configure(fresh.log, secrets=fresh.secrets())
        for executor in self.executors.values():
            executor.renew()
        event("INFO", "reloaded", "log settings re-read, Python children renewed")


# --- what the parts are told ---------------------------------------------------------------------


def _config(settings: Settings, facts: NodeFacts) -> NodeConfig:
    kept = settings.retention
    return NodeConfig(
        facts=facts,
        drain_s=settings.node.drain_s,
        kill_grace_s=settings.node.kill_grace_s,
        audit=AuditConfig(settings.audit.lag_s, settings.audit.role_lease_s, settings.audit.catch_up_per_s),
        outputs=OutputLimits(kept.output_succeeded_bytes, kept.output_failed_bytes),
        ages=Ages(
            succeeded=kept.succeeded_days,
            failed=kept.failed_days,
            output_succeeded=kept.output_succeeded_days,
            output_failed=kept.output_failed_days,
            most_runs=kept.max_runs,
        ),
        queue_wait_s=settings.alerts.queue_wait_s,
    )


def _teller(alerts: Alerts, runtime: Runtime) -> Callable[[Notice], None]:
    from leasebeat.alerts import AlertEvent
    from leasebeat.model.alert import AlertReason, rule_of
    from leasebeat.model.instant import from_datetime

    def tell(notice: Notice) -> None:
        about = {"purged": "node", "queue": "queue"}.get(notice.kind, "schedule")
        alerts.tell(
            AlertEvent(
                reason=AlertReason(notice.kind),
                at=from_datetime(runtime.wall()),
                text=notice.reason,
                key=notice.key or None,
                attempt=notice.attempt or None,
                exit_code=notice.exit_code,
                rule=rule_of(notice.alert),
                **{about: notice.subject},
            )
        )

    return tell


def _redis(settings: Settings) -> Callable[[str], Link] | None:
    """How `publish` tasks connect to the fleet's Redis for a key; None if it has none."""
    if not settings.redis.url:
        return None

    def connect(key: str) -> Link:
        from leasebeat.gate.deployment import deployment

        return deployment(settings.redis, _PUBLISH_S).connect(key)

    return connect


def _forget_settings() -> None:
    """Tasks in threads see this process's environment: what Leasebeat was told there is not theirs."""
    for name in [name for name in os.environ if name.startswith("LEASEBEAT_")]:
        del os.environ[name]


def _dump(node: Node) -> None:
    """SIGUSR1: the state to the log, all threads to standard error."""
    standing = node.standing
    event(
        "INFO",
        "state",
        "state of this node",
        node=standing.facts.name,
        node_id=standing.node_id,
        node_state=standing.state,
        lease_s=round(node.lease.remaining(), 3),
        running=[str(launch_id) for launch_id in node.dispatch.running()],
        unrecorded=len(node.outbox),
        auditor=node.audit.leads,
        schedules=len(node.catalog.entries()),
    )
    faulthandler.dump_traceback(sys.stderr)
