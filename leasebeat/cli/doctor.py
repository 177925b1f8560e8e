"""`doctor`: what is wrong with this installation, and what to do about it.

Each check is a small function that looks and gives one `Finding`. What the store must be like is
checked by `store.schema`, which workers ask at their start, too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from leasebeat.cli.exits import DONE, FAILED, with_place
from leasebeat.cli.options import COMMON, Common, settings_of
from leasebeat.cli.output import Column, print_json, print_line, print_table
from leasebeat.cli.upcoming import problem_of
from leasebeat.errors import GateUnavailable, LeasebeatError, NoStore
from leasebeat.model.instant import SECOND, Instant, from_datetime, to_text
from leasebeat.runtime import Runtime, SystemRuntime
from leasebeat.settings import Settings
from leasebeat.store.session import Record
from leasebeat.triggers import tzdata_version
from leasebeat.triggers.dialects import hints

if TYPE_CHECKING:
    from leasebeat.store.checks import Check
    from leasebeat.store.desk import Desk
    from leasebeat.store.session import Session

__all__ = ["Finding", "doctor", "findings"]

OFFSET_MS = 1000.0
"""How far clocks may be apart before people will misread logs; leases do not care."""

LATE_S = 60
LATE_SHOWN = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one check. `advice` says what to do where it is not ok."""

    name: str
    ok: bool
    found: str
    advice: str = ""
    notes: tuple[str, ...] = ()  #: what people may want to know though it is ok


def doctor(*, common: Common = COMMON) -> int:
    """Look for what is wrong with this installation, and say what to do about it."""
    found = list(findings(settings_of(common), SystemRuntime()))
    if common.json:
        print_json([asdict(finding) for finding in found])
    else:
        _show(found)
    return DONE if all(finding.ok for finding in found) else FAILED


def _show(found: Sequence[Finding]) -> None:
    rows = [(finding.name, "ok" if finding.ok else "FAIL", finding.found) for finding in found]
    print_table([Column("CHECK"), Column("OK"), Column("FOUND", "fold")], rows)
    for finding in found:
        if not finding.ok:
            print_line(f"{finding.name}: {finding.advice}")
        for note in finding.notes:
            print_line(f"{finding.name}: {note}")


def findings(settings: Settings, runtime: Runtime) -> Iterator[Finding]:
    """The answers of all checks. Raises NoStore and Unavailable: there is nothing to look at then."""
    from leasebeat.app import open_session
    from leasebeat.store.desk import Desk
    from leasebeat.store.schema import checks

    session = open_session(settings, runtime)
    try:
        yield from (of_store(check, session) for check in checks(session, worker=True))
        yield from _of_fleet(Desk(session), settings, runtime)
    except NoStore as problem:
        raise with_place(problem, settings) from problem
    finally:
        session.close()
    yield from redis(settings)
    yield from zookeeper(settings, runtime)


def of_store(check: Check, session: Session) -> Finding:
    """A check of `store.schema`. People's account need not have a worker's rights."""
    if not check.ok and check.name == "rights of the account" and _is_peoples(session):
        found = "not a worker's account; run doctor with the worker's settings to check a worker's rights"
        return Finding(check.name, True, found)
    return Finding(check.name, check.ok, check.found, f"expected {check.expected}; {check.advice}")


def _is_peoples(session: Session) -> bool:
    from leasebeat.store import mysql_checks  # only there are rights looked at

    return mysql_checks.edits_schedules(session)


def _of_fleet(desk: Desk, settings: Settings, runtime: Runtime) -> Iterator[Finding]:
    asked = from_datetime(runtime.wall())
    now = desk.now()
    yield coordinator(desk.coordinator(), settings.node.coordinator)
    yield clock_offset(now, (asked + from_datetime(runtime.wall())) // 2)
    nodes, schedules = desk.nodes(False), desk.schedules()
    live = live_nodes(nodes)
    yield from (live, node_clocks(nodes), time_zone_data(tzdata_version(), nodes), definitions(nodes))
    yield auditor(desk.role("auditor"), now, live.ok)
    yield queues(schedules, nodes, [frozenset(json.loads(node["queues"])) for node in nodes])
    yield from (pinned(schedules, nodes), problems(schedules), shared_user(schedules, settings))
    yield dialects(schedules)
    yield late(desk.late(now - LATE_S * SECOND, LATE_SHOWN))
    yield ids(desk.ids_may_return())


def coordinator(found: str, told: str) -> Finding:
    """Whether this host's settings name the coordinator that the fleet has."""
    return Finding(
        "coordinator",
        found == told,
        f"{found}; [node] coordinator is {told} here",
        f'set [node] coordinator = "{found}", or stop all nodes and start them with "{told}"',
    )


def zookeeper(settings: Settings, runtime: Runtime) -> Iterator[Finding]:
    """Whether ZooKeeper, where it is the coordinator, answers this account, and nobody else."""
    if settings.node.coordinator != "zookeeper":
        return
    from leasebeat.coordinators import look_at_zookeeper

    try:
        said = look_at_zookeeper(settings, runtime)
    except LeasebeatError as problem:
        advice = "start it, and look at [zookeeper] hosts, root and auth: without it nothing is started"
        yield Finding("ZooKeeper", False, str(problem), advice)
        return
    yield Finding("ZooKeeper", True, said)
    yield Finding(
        "ZooKeeper account",
        bool(settings.zookeeper.auth),
        "digest" if settings.zookeeper.auth else "none: what is made is open to everybody",
        "set [zookeeper] auth on all nodes, with a new [zookeeper] root: others can declare nodes dead",
    )


def redis(settings: Settings) -> Iterator[Finding]:
    """Whether Redis, where there is one, takes writes and keeps what it is told."""
    from leasebeat.app import look_at_redis

    if not settings.redis.url:
        return
    try:
        looks = look_at_redis(settings)
    except GateUnavailable as problem:
        advice = "start it, or leave [redis] url empty: without it every claim goes to the store"
        yield Finding("Redis", False, str(problem), advice)
        return
    for name, said in looks.servers.items():
        of = f" of {name}" if len(looks.servers) > 1 else ""
        yield from (redis_role(said, of), redis_eviction(said, of))
        if "cluster_state" in said:
            yield redis_cluster(said, "+cluster://" in settings.redis.url, of)
    if looks.sentinels:
        yield redis_sentinels(looks.sentinels)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def redis_role(said: Mapping[str, str], of: str = "") -> Finding:
    """Whether it takes writes."""
    role = said.get("role", "unknown")
    advice = "name the primary in [redis] url, not a replica"
    return Finding(f"Redis role{of}", role == "master", role, advice)


def redis_eviction(said: Mapping[str, str], of: str = "") -> Finding:
    """Whether it may forget keys before their time."""
    policy, limit = said.get("maxmemory_policy", "unknown"), said.get("maxmemory", "0")
    return Finding(
        f"Redis eviction policy{of}",
        policy == "noeviction" or limit == "0",
        f"{policy}, maxmemory {limit}",
        "set maxmemory-policy noeviction: a forgotten key costs a needless claim in the store",
    )


def redis_cluster(said: Mapping[str, str], named: bool, of: str = "") -> Finding:
    """Whether all slots are served, and whether the URL has `named` it as a cluster."""
    state, size = said["cluster_state"], said.get("cluster_size", "unknown")
    found = f"{state}, {size} primaries with slots"
    if not named:
        advice = "begin [redis] url with redis+cluster:// and name some of its nodes"
        return Finding(f"Redis cluster{of}", False, f"{found}; named as a single server", advice)
    advice = "see CLUSTER INFO and CLUSTER NODES: while a slot has no primary every claim goes to the store"
    return Finding(f"Redis cluster{of}", state == "ok", found, advice)


def redis_sentinels(said: Mapping[str, str]) -> Finding:
    """Whether all Sentinels answer and know the service."""
    wrong = [problem for problem in said.values() if problem]
    return Finding(
        "Redis Sentinels",
        not wrong,
        "; ".join([f"{len(said) - len(wrong)} of {len(said)} name the primary", *wrong]),
        "start them, or name those of this service in [redis] url: a fail-over needs most of them",
    )


def clock_offset(store: Instant, host: Instant) -> Finding:
    """Whether this host and the store agree on the time."""
    offset_ms = (store - host) / 1000
    return Finding(
        "clock offset",
        abs(offset_ms) <= OFFSET_MS,
        f"the store is {offset_ms:+.0f} ms from this host",
        "run a time service (chrony) on both; leases are safe, but the times in logs mislead",
    )


def node_clocks(nodes: Sequence[Record]) -> Finding:
    """Whether the nodes and the store agree on the time."""
    off = [f"{node['name']} {node['clock_offset_ms']:+.0f} ms" for node in nodes]
    far = [text for text, node in zip(off, nodes, strict=True) if abs(node["clock_offset_ms"]) > OFFSET_MS]
    return Finding(
        "clocks of nodes",
        not far,
        ", ".join(far) or f"{_count(len(nodes), 'node')} within {OFFSET_MS:g} ms",
        "run a time service (chrony) on these hosts",
    )


def time_zone_data(own: str, nodes: Sequence[Record]) -> Finding:
    """Whether all nodes know the same time zone rules."""
    releases = Counter(str(node["tzdata"]) for node in nodes)
    held = ", ".join(f"{release} on {count}" for release, count in sorted(releases.items()))
    return Finding(
        "tzdata",
        set(releases) <= {own},
        f"{own} here; nodes: {held or 'none'}",
        "install the same tzdata package on every node: they must agree on every instant",
    )


def definitions(nodes: Sequence[Record]) -> Finding:
    """Whether all nodes hold the same versions of the schedules."""
    digests = Counter(str(node["digest"]) for node in nodes if node["digest"])
    told = f"{len(digests)} different sets on" if len(digests) > 1 else "the same on"
    # A node writes what it holds with each beat; one that has just joined has yet to do so.
    waiting = len(nodes) - digests.total()
    parts = [f"{told} {_count(digests.total(), 'node')}"] if digests else []
    parts += [f"{_count(waiting, 'node')} yet to tell"] if waiting else []
    return Finding(
        "definitions held",
        len(digests) <= 1,
        ", ".join(parts) or "no node is there",
        "wait for three beats and look again; if it stays, restart the nodes that are few",
    )


def live_nodes(nodes: Sequence[Record]) -> Finding:
    """Whether anybody runs schedules."""
    live = [str(node["name"]) for node in nodes if node["state"] == "live"]
    return Finding(
        "live nodes", bool(live), f"{len(live)} of {_count(len(nodes), 'node')}", "start `python worker.py`"
    )


def auditor(role: Record | None, now: Instant, any_live: bool) -> Finding:
    """Whether somebody checks that every due fire has its row."""
    if role is None:
        return Finding(
            "roles row", False, "no row `auditor` in `roles`", "run `python scheduler.py init` again"
        )
    expires = role["expires_at"]
    held = role["holder"] is not None and expires is not None and expires > now
    watermark = "never" if role["watermark"] is None else to_text(role["watermark"])
    return Finding(
        "roles row",
        held or not any_live,
        f"term {role['term']}, {'held' if held else 'not held'}, watermark {watermark}",
        "no live node holds the role: look for `action=audit` in the logs of the nodes",
    )


def queues(schedules: Sequence[Record], nodes: Sequence[Record], served: Sequence[frozenset[str]]) -> Finding:
    """Whether each queue in use has a live node."""
    live = {q for node, names in zip(nodes, served, strict=True) if node["state"] == "live" for q in names}
    bare = sorted({str(row["queue"]) for row in schedules if row["enabled"]} - live)
    return Finding(
        "queues without a node",
        not bare,
        ", ".join(bare) or "none",
        "start a worker with --queues, or change the `queue` of these schedules",
    )


def pinned(schedules: Sequence[Record], nodes: Sequence[Record]) -> Finding:
    """Whether nodes that schedules are pinned to are live."""
    wanted = {
        str(row["route"])[5:] for row in schedules if row["enabled"] and str(row["route"]).startswith("node:")
    }
    gone = sorted(wanted - {str(node["name"]) for node in nodes if node["state"] == "live"})
    return Finding(
        "pinned names not live",
        not gone,
        ", ".join(gone) or "none",
        "start these nodes, or change the `route`",
    )


def problems(schedules: Sequence[Record]) -> Finding:
    """Whether every row can be used."""
    broken = [str(row["name"]) for row in schedules if problem_of(row)]
    return Finding(
        "problem rows", not broken, ", ".join(broken) or "none", "`leasebeat show NAME` says what is wrong"
    )


def shared_user(schedules: Sequence[Record], settings: Settings) -> Finding:
    """Whether tasks run as the user who can read the worker's passwords."""
    sharing = [
        row
        for row in schedules
        if row["enabled"] and row["kind"] in ("shell", "python") and not row["run_as"]
    ]
    secret = bool(settings.secrets())
    return Finding(
        "tasks sharing the worker's uid",
        not (secret and sharing),
        f"{_count(len(sharing), 'schedule')} without `run_as`;"
        f" settings with{'' if secret else 'out'} passwords",
        "such tasks can read what the worker can: give them a `run_as` and list it in [node] allow_users",
    )


def dialects(schedules: Sequence[Record]) -> Finding:
    """Which expressions would mean something else to other crons: people bring them along from there."""
    named: dict[str, list[str]] = {}
    for row in schedules:
        for hint in hints(str(row["cron"])):
            named.setdefault(hint, []).append(str(row["name"]))
    differing = len({name for names in named.values() for name in names})
    notes = [f"{_some(names)}: {hint}" for hint, names in sorted(named.items())]
    found = f"{_count(differing, 'schedule')} that other crons read otherwise"
    return Finding("cron dialects", True, found if differing else "none differ", notes=tuple(notes))


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def late(runs: Sequence[Record]) -> Finding:
    """Whether queued runs wait that should have started; `runs` are those, the oldest first."""
    many = f"{len(runs)} or more runs" if len(runs) == LATE_SHOWN else _count(len(runs), "run")
    return Finding(
        f"due > {LATE_S} s and not started",
        not runs,
        many + (f", the oldest ready since {to_text(runs[0]['ready_at'])}" if runs else ""),
        "look for free slots (`leasebeat nodes`), paused queues and queues without a node",
    )


def ids(may_return: bool) -> Finding:
    """Whether ids of schedules are never given twice."""
    return Finding(
        "ids of schedules",
        not may_return,
        "the next one was given before" if may_return else "never given twice",
        "the next schedule would inherit another's runs: remove these, or raise AUTO_INCREMENT above them",
    )
