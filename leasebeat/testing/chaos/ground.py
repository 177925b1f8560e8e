"""Where a chaos run takes place: the servers, the workers behind links of their own, and the load."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from leasebeat.model.instant import SECOND, Instant, to_text
from leasebeat.runtime import SystemRuntime
from leasebeat.store.url import StoreUrl
from leasebeat.testing.chaos.links import Link, Links
from leasebeat.testing.fleet import TELL, Fleet, in_window
from leasebeat.testing.mysql import url_text
from leasebeat.testing.private import PrivateMysql
from leasebeat.testing.servers import MariaDB, Redis
from leasebeat.testing.zookeeper import ZooKeeperEnsemble

__all__ = [
    "LANE",
    "LANE_SIZE",
    "SLOTS",
    "Coordinator",
    "Ground",
    "Plan",
    "due_keys",
    "ground",
    "in_lane",
    "is_serial",
    "lasts_s",
    "load_rows",
]

Coordinator = Literal["store", "zookeeper"]

TASK = (
    TELL
    + """\
# Says when it begins, that it lives, and when it ends; lasts $TENTHS tenths of a second.
tell begin
left=$TENTHS
while [ $left -gt 5 ]; do
    sleep 0.5
    left=$((left - 5))
    tell alive
done
sleep 0.$left
tell end
"""
)

SLOTS = 20
LANE, LANE_SIZE = "narrow", 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for. `every_s` is how often each schedule fires; it divides 60."""

    seed: int
    coordinator: Coordinator = "store"
    seconds: int = 120
    nodes: int = 5
    schedules: int = 200
    beat_s: float = 2.0
    session_s: float = 6.0
    fault_every_s: float = 4.5
    every_s: int = 30

    @property
    def lease_s(self) -> float:
        """Seconds after which the work of a silent node is given to others."""
        return self.session_s if self.coordinator == "zookeeper" else 3 * self.beat_s

    @property
    def tail_s(self) -> float:
        """Seconds without faults at the end."""
        return 4 * self.lease_s

    @property
    def command(self) -> str:
        """What repeats it."""
        return (
            f"scripts/chaos --minutes {self.seconds / 60:g} --seed {self.seed}"
            f" --coordinator {self.coordinator} --nodes {self.nodes} --schedules {self.schedules}"
        )


@dataclass(frozen=True, slots=True)
class Ground:
    """The servers, the fleet, and each worker's links: `links["a"]["mysql"]`."""

    plan: Plan
    fleet: Fleet
    mariadb: MariaDB
    redis: Redis
    ensemble: ZooKeeperEnsemble | None
    links: Mapping[str, Mapping[str, list[Link]]]

    @property
    def names(self) -> list[str]:
        """Of the workers."""
        return list(self.links)


@contextmanager
def ground(folder: Path, plan: Plan) -> Generator[Ground]:
    """Servers and workers of a plan, live; gone afterwards."""
    with ExitStack() as stack:
        mariadb = stack.enter_context(MariaDB(folder))
        redis = stack.enter_context(Redis(folder))
        ensemble = None
        if plan.coordinator == "zookeeper":
            ensemble = stack.enter_context(ZooKeeperEnsemble(folder))
        links = Links(SystemRuntime())
        stack.callback(links.close)
        settings: dict[str, Any] = {"node_beat_s": plan.beat_s, "node_slots": SLOTS}
        if ensemble is not None:
            settings |= {"node_coordinator": "zookeeper", "zookeeper_session_s": plan.session_s}
        fleet = stack.enter_context(Fleet(folder, PrivateMysql(mariadb.mysql), redis.url, **settings))
        names = [f"node{number}" for number in range(1, plan.nodes + 1)]
        made = {name: _links(links, mariadb, redis, ensemble) for name in names}
        for name, own in made.items():
            fleet.add(name, **_addresses(fleet.store.url, own)).start(faketime="+0s")
        fleet.await_live(*names, seconds=90)
        yield Ground(plan, fleet, mariadb, redis, ensemble, made)


def _links(
    links: Links, mariadb: MariaDB, redis: Redis, ensemble: ZooKeeperEnsemble | None
) -> dict[str, list[Link]]:
    keepers = ensemble.servers if ensemble is not None else []
    return {
        "mysql": [links.open(mariadb.port)],
        "redis": [links.open(redis.port)],
        "zookeeper": [links.open(server.port) for server in keepers],
    }


def _addresses(store_url: str, own: Mapping[str, list[Link]]) -> dict[str, str]:
    store = replace(StoreUrl.parse(store_url), host="127.0.0.1", port=own["mysql"][0].port)
    found = {"store_url": url_text(store), "redis_url": f"redis://127.0.0.1:{own['redis'][0].port}/0"}
    if own["zookeeper"]:
        found["zookeeper_hosts"] = ",".join(f"127.0.0.1:{link.port}" for link in own["zookeeper"])
    return found


# --- the load -----------------------------------------------------------------------------------


def lasts_s(plan: Plan, number: int) -> float:
    """How long the task of a schedule lasts. Two of five outlast a lease."""
    if number % 5 < 2:
        return plan.lease_s * (1.2 + 0.05 * (number % 7))
    return 0.2 + 0.3 * (number % 6)


def is_serial(number: int) -> bool:
    """Whether runs of that schedule may never meet."""
    return number % 10 == 5


def in_lane(number: int) -> bool:
    """Whether that schedule is in the lane."""
    return number % 10 == 1


def load_rows(plan: Plan, fleet: Fleet, first: Instant, end: Instant) -> list[dict[str, object]]:
    """The rows for `Fleet.schedule`, and one more that fires by hand only."""
    (fleet.folder / "chaos.sh").write_text(TASK)
    routes = ("any", "spread", "sticky")
    rows: list[dict[str, object]] = []
    for number in range(plan.schedules + 1):
        env = {"EVIDENCE": str(fleet.evidence), "TENTHS": str(round(lasts_s(plan, number) * 10))}
        seconds = ",".join(str(second) for second in range(number % plan.every_s, 60, plan.every_s))
        row: dict[str, object] = {
            "name": f"job-{number}",
            "cron": f"{seconds} * * * * *",
            "command": f". {fleet.folder}/chaos.sh",
            "args": json.dumps({"env": env}),
            "route": routes[number % 3],
            "overlap": "skip" if is_serial(number) else "allow",
            "lane": LANE if in_lane(number) else None,
            **in_window(first, end),
        }
        if number == plan.schedules:
            row |= {"name": "byhand-0", "cron": "@manual", "starts_at": None, "ends_at": None, "lane": None}
        rows.append(row)
    return rows


def due_keys(plan: Plan, first: Instant, end: Instant) -> frozenset[str]:
    """The keys of all instants of the load, reckoned without the product."""
    moments = [(instant // SECOND % plan.every_s, to_text(instant)) for instant in range(first, end, SECOND)]
    return frozenset(
        f"job-{number}@{moment}"
        for number in range(plan.schedules)
        for second, moment in moments
        if second == number % plan.every_s
    )
