"""Settings: what the host says about its node, its store and its limits.

Read, each over the one before: the defaults below; one TOML file, the first of `--config`,
`LEASEBEAT_CONFIG`, `./config/leasebeat.toml` and `/etc/leasebeat/leasebeat.toml`; environment
variables `LEASEBEAT_SECTION__KEY`; flags. Relative paths begin at the folder of the file, or at the
working directory where there is none. What is unknown or cannot be used is refused, all of it in
one message. `config/leasebeat.toml` has every key with its default, unit and reason.
"""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, cast, get_args
from urllib.parse import unquote, urlsplit

from leasebeat import layers, values
from leasebeat.errors import SettingsError
from leasebeat.store.url import StoreUrl

__all__ = [
    "FILES",
    "SECTIONS",
    "TASK_VARIABLES",
    "Alerts",
    "Audit",
    "Auth",
    "Console",
    "Log",
    "NodeSettings",
    "Redis",
    "Retention",
    "Settings",
    "Store",
    "StoreUrl",
    "ZooKeeper",
    "known_keys",
    "load",
]

DEFAULT_STORE = "sqlite:///leasebeat.db"

FILES = (Path("config/leasebeat.toml"), Path("/etc/leasebeat/leasebeat.toml"))
"""Where a settings file is looked for when none is named."""

_TOLD = (
    "SCHEDULE SCHEDULE_ID RUN_KEY FIRE_AT ATTEMPT FENCE SHARD SHARDS SHARD_ARG NODE NODE_ID CHILD RESULT"
    " UPSTREAM"
)
TASK_VARIABLES = frozenset(f"LEASEBEAT_{name}" for name in _TOLD.split())
"""What tasks are told in their environment; a command that a task starts must not trip over them."""


Coordinator = Literal["store", "zookeeper"]
Isolation = Literal["process", "thread"]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


@dataclass(frozen=True, slots=True)
class Store:
    """`[store]`: where schedules and runs are."""

    url: StoreUrl = field(default_factory=lambda: StoreUrl.parse(DEFAULT_STORE))
    ssl_ca: str = ""  #: PEM file; with it TLS is required
    ssl_verify: bool = True  #: with ssl_ca: the server's certificate must be of that CA and name the host


@dataclass(frozen=True, slots=True)
class Redis:
    """`[redis]`: the gate and the wake-up channel; an empty `url` means that there is none."""

    url: str = field(default="", repr=False)
    ssl_ca: str = ""  #: PEM file; empty: the authorities that the host trusts
    ssl_verify: bool = True  #: with TLS: the certificates must be of that authority and name their hosts
    sentinel_auth: str = field(
        default="", repr=False
    )  #: [user]:password for the Sentinels, if they ask for one


@dataclass(frozen=True, slots=True)
class ZooKeeper:
    """`[zookeeper]`: used with `[node] coordinator = "zookeeper"`."""

    hosts: str = ""
    root: str = "/leasebeat"
    session_s: float = 10.0
    auth: str = field(default="", repr=False)  #: user:password of the digest scheme
    ssl_ca: str = ""  #: PEM file; with it, or with ssl_cert, TLS is used
    ssl_cert: str = ""  #: PEM file of this client's certificate
    ssl_key: str = ""  #: PEM file of its key
    ssl_verify: bool = True  #: the server's certificate must be of that CA and name the host


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """`[node]`: this worker."""

    name: str = ""  #: "": the host's name
    coordinator: Coordinator = "store"
    roles: tuple[str, ...] = ("dispatch", "execute")
    queues: Mapping[str, int | None] = field(default_factory=lambda: {"default": None})
    slots: int = 20
    beat_s: float = 10.0
    drain_s: float = 60.0
    kill_grace_s: float = 10.0
    state_dir: str = ""  #: "": /var/lib/leasebeat for root, else ~/.local/state/leasebeat
    python_isolation: Isolation = "process"
    python_processes: int = 0  #: 0: as many as slots; threads at most 32
    python_path: tuple[str, ...] = ()
    python_init: str = ""
    python_recycle_runs: int = 1000
    allow_kinds: tuple[str, ...] = ("shell", "python", "http", "publish")
    allow_commands: tuple[str, ...] = ("*",)
    allow_modules: tuple[str, ...] = ("*",)
    allow_urls: tuple[str, ...] = ("*",)
    allow_users: tuple[str, ...] = ()
    no_new_privs: bool = True
    cgroup: str = "auto"  #: or "off", or the folder of a cgroup of version 2
    task_memory_mb: int = 0  #: MiB; 0: no limit
    task_pids_max: int = 0  #: 0: no limit


@dataclass(frozen=True, slots=True)
class Audit:
    """`[audit]`: the check that every due fire has its row."""

    lag_s: float = 2.0
    role_lease_s: float = 4.0
    catch_up_per_s: int = 50


@dataclass(frozen=True, slots=True)
class Retention:
    """`[retention]`: how long rows are kept. Ages in days, sizes in bytes."""

    succeeded_days: float = 14.0  #: succeeded and skipped
    failed_days: float = 90.0  #: failed, timed_out, killed, lost, missed
    output_succeeded_days: float = 3.0
    output_failed_days: float = 30.0
    output_succeeded_bytes: int = 4096
    output_failed_bytes: int = 65536
    max_runs: int = 20_000_000


@dataclass(frozen=True, slots=True)
class Console:
    """`[console]`: nothing to set yet."""


@dataclass(frozen=True, slots=True)
class Auth:
    """`[auth]`: nothing to set yet."""


@dataclass(frozen=True, slots=True)
class Log:
    """`[log]`: the log on standard error."""

    level: Level = "INFO"
    json: bool = False


@dataclass(frozen=True, slots=True)
class Alerts:
    """`[alerts]`: who is told when something went wrong for good."""

    command: str = ""  #: "": a line at ERROR in the log
    queue_wait_s: float = 300.0  #: 0: nobody is told of queues


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything, checked. `source` says where it comes from, for messages."""

    store: Store = field(default_factory=Store)
    redis: Redis = field(default_factory=Redis)
    zookeeper: ZooKeeper = field(default_factory=ZooKeeper)
    node: NodeSettings = field(default_factory=NodeSettings)
    audit: Audit = field(default_factory=Audit)
    retention: Retention = field(default_factory=Retention)
    console: Console = field(default_factory=Console)
    auth: Auth = field(default_factory=Auth)
    log: Log = field(default_factory=Log)
    alerts: Alerts = field(default_factory=Alerts)
    source: str = "no settings file"

    def secrets(self) -> tuple[str, ...]:
        """The values that no log line, message or task may show."""
        redis = unquote(urlsplit(self.redis.url).password or "")
        sentinel = self.redis.sentinel_auth.rpartition(":")[2]
        found = (self.store.url.password, redis, sentinel, self.zookeeper.auth)
        return tuple(value for value in found if value)


SECTIONS: dict[str, type] = {
    "store": Store,
    "redis": Redis,
    "zookeeper": ZooKeeper,
    "node": NodeSettings,
    "audit": Audit,
    "retention": Retention,
    "console": Console,
    "auth": Auth,
    "log": Log,
    "alerts": Alerts,
}
"""The sections, in the order of `config/leasebeat.toml`."""

SECRETS = frozenset({("store", "url"), ("redis", "url"), ("redis", "sentinel_auth"), ("zookeeper", "auth")})
"""What may also be given as KEY_file, a path to a file that holds the value."""


ROLES = ("dispatch", "execute")
KINDS = ("shell", "python", "http", "publish")
REDIS_SCHEMES = (
    *("redis", "rediss", "unix"),
    *("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
)
ZNODE_ROOT = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
NODE_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")

_READERS: dict[str, Callable[[object], object]] = {
    "str": values.text,
    "int": values.whole,
    "float": values.number,
    "bool": values.flag,
    "tuple[str, ...]": values.names,
    "Mapping[str, int | None]": values.queues,
    "Coordinator": values.choice(get_args(Coordinator)),
    "Isolation": values.choice(get_args(Isolation)),
    "Level": values.choice(get_args(Level)),
}
"""By the annotation of the field. `StoreUrl` is read apart: it needs the folder."""

_BOUNDS: dict[tuple[str, str], tuple[float, float]] = {
    ("zookeeper", "session_s"): (2, 300),
    ("node", "slots"): (1, 10_000),
    ("node", "beat_s"): (1, 300),  # three beats less TRUST_MARGIN_S must leave time for a beat and its retry
    ("node", "drain_s"): (0, math.inf),
    ("node", "kill_grace_s"): (0, math.inf),
    ("node", "python_processes"): (0, 10_000),
    ("node", "python_recycle_runs"): (0, math.inf),
    ("node", "task_memory_mb"): (0, math.inf),
    ("node", "task_pids_max"): (0, math.inf),
    ("audit", "lag_s"): (1, 60),  # younger fires may still be on their way through a late ranked node
    ("audit", "role_lease_s"): (2, 60),
    ("audit", "catch_up_per_s"): (1, math.inf),
    ("retention", "succeeded_days"): (1, math.inf),  # a late node may still ask for a row of today
    ("retention", "failed_days"): (1, math.inf),
    ("retention", "output_succeeded_days"): (0, math.inf),
    ("retention", "output_failed_days"): (0, math.inf),
    ("retention", "output_succeeded_bytes"): (0, 65536),  # an executor keeps no more
    ("retention", "output_failed_bytes"): (0, 65536),
    ("retention", "max_runs"): (1000, math.inf),
    ("alerts", "queue_wait_s"): (0, math.inf),
}


def known_keys() -> dict[str, tuple[str, ...]]:
    """The keys of each section, the `_file` forms of secrets among them."""
    return {section: tuple(_known(section, kind)) for section, kind in SECTIONS.items()}


def _known(section: str, kind: type) -> list[str]:
    names = [item.name for item in fields(kind)]
    return names + [f"{name}_file" for name in names if (section, name) in SECRETS]


def load(
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of this process.

    `config` is what `--config` named; `environ` is the process's unless given; `overrides` are the
    flags, `{"node.slots": "4"}`. Raises SettingsError with every problem found.
    """
    environ = os.environ if environ is None else environ
    path = layers.find(config, environ, FILES)
    folder = path.parent.absolute() if path else Path.cwd()
    reading = layers.Layers(known_keys(), SECRETS, _is_for_others, folder)
    raw = reading.collect(path, environ, overrides or {})
    raw.setdefault(("store", "url"), ("the default", DEFAULT_STORE))
    settings = _build(raw, folder, reading.problems)
    problems = reading.problems + _contradictions(settings)
    source = str(path) if path else "no settings file"
    if problems:
        what = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise SettingsError("\n  - ".join([f"{what} in the settings ({source}):", *problems]))
    return _completed(settings, source, folder, environ)


def _is_for_others(variable: str) -> bool:
    return variable in TASK_VARIABLES or variable.startswith("LEASEBEAT_TEST_")


def _build(raw: layers.Raw, folder: Path, problems: list[str]) -> Settings:
    built: dict[str, object] = {}
    for section, kind in SECTIONS.items():
        found: dict[str, object] = {}
        for item in fields(kind):
            if (section, item.name) not in raw:
                continue
            where, value = raw[section, item.name]
            try:
                found[item.name] = _read(section, item.name, str(item.type), value, folder)
            except ValueError as problem:
                shown = "" if (section, item.name) in SECRETS else f" = {value!r}"
                problems.append(f"{where}{shown}: {problem}")
        built[section] = kind(**found)
    return Settings(**built)  # pyright: ignore[reportArgumentType]


def _read(section: str, key: str, annotation: str, value: object, folder: Path) -> object:
    if annotation == "StoreUrl":
        return StoreUrl.parse(values.text(value), folder)
    meant = _READERS[annotation](value)
    least, most = _BOUNDS.get((section, key), (-math.inf, math.inf))
    if (section, key) in _BOUNDS and not least <= cast("float", meant) <= most:
        raise ValueError(
            f"expected {least:g} to {most:g}" if most < math.inf else f"expected at least {least:g}"
        )
    return meant


def _contradictions(settings: Settings) -> list[str]:
    node = settings.node
    found = [
        f"[node] queues: {name}:{limit} is more than [node] slots = {node.slots}"
        for name, limit in node.queues.items()
        if limit is not None and limit > node.slots
    ]
    for key, given, known in (("roles", node.roles, ROLES), ("allow_kinds", node.allow_kinds, KINDS)):
        if set(given) - set(known) or not given:
            found.append(f"[node] {key} = {list(given)}: expected some of {', '.join(known)}")
    if not node.queues and "execute" in node.roles:
        found.append('[node] queues = []: a node that executes needs a queue, like ["default"]')
    if node.name and not NODE_NAME.fullmatch(node.name):
        found.append(f"[node] name = {node.name!r}: expected at most 128 letters, digits and . _ -")
    if node.coordinator == "zookeeper" and not settings.zookeeper.hosts:
        found.append(
            '[zookeeper] hosts is empty; [node] coordinator = "zookeeper" needs it, like "zk1:2181,zk2:2181"'
        )
    auth = settings.zookeeper.auth
    if auth and not all(auth.partition(":")):
        found.append("[zookeeper] auth: expected user:password")
    if not ZNODE_ROOT.fullmatch(settings.zookeeper.root):
        found.append(f"[zookeeper] root = {settings.zookeeper.root!r}: expected a path like /leasebeat")
    if settings.redis.url and urlsplit(settings.redis.url).scheme not in REDIS_SCHEMES:
        found.append(f"[redis] url: expected a URL that begins with one of {', '.join(REDIS_SCHEMES)}")
    if settings.redis.ssl_ca and not settings.redis.url.startswith("rediss"):
        found.append("[redis] ssl_ca means TLS, and [redis] url does not: begin it with rediss")
    return found


def _completed(settings: Settings, source: str, folder: Path, environ: Mapping[str, str]) -> Settings:
    """The settings with what only this host knows: its name, its folders, absolute paths."""
    node, store, redis = settings.node, settings.store, settings.redis
    return replace(
        settings,
        source=source,
        store=replace(store, ssl_ca=str(folder / store.ssl_ca) if store.ssl_ca else ""),
        redis=replace(redis, ssl_ca=str(folder / redis.ssl_ca) if redis.ssl_ca else ""),
        zookeeper=replace(
            settings.zookeeper,
            **{
                key: str(folder / path)
                for key in ("ssl_ca", "ssl_cert", "ssl_key")
                if (path := getattr(settings.zookeeper, key))
            },
        ),
        node=replace(
            node,
            name=node.name or socket.gethostname(),
            state_dir=str(folder / (node.state_dir or _state_dir(environ))),
            python_path=tuple(str(folder / entry) for entry in node.python_path),
        ),
    )


def _state_dir(environ: Mapping[str, str]) -> str:
    """The StateDirectory= of systemd, else /var/lib for root, else the user's own state folder."""
    if environ.get("STATE_DIRECTORY"):
        return environ["STATE_DIRECTORY"].split(":")[0]
    if os.geteuid() == 0:
        return "/var/lib/leasebeat"
    return str(Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "leasebeat")
