"""Real workers under three ZooKeeper servers: what becomes of running tasks when parts of it fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from leasebeat.coordination.kazoo_link import KazooLink, ZooKeeperAddress
from leasebeat.runtime import SystemRuntime
from leasebeat.testing.fleet import TELL, Fleet, until
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.private import PrivateMysql
from leasebeat.testing.store_chaos.proxy import Proxies, Proxy
from leasebeat.testing.zookeeper import ZooKeeperEnsemble

SESSION_S = 6
Config = Callable[[bytes], object]
ENDLESS = TELL + "tell begin\nwhile sleep 0.1; do tell alive; done\n"


@pytest.fixture
def fleet(mariadb: MySQL, ensemble: ZooKeeperEnsemble, tmp_path: Path) -> Iterator[Fleet]:
    """Beats of 10 s: what happens within a few seconds happens by ZooKeeper's word."""
    settings: dict[str, Any] = {
        "node_coordinator": "zookeeper",
        "node_beat_s": 10,
        "zookeeper_hosts": ensemble.hosts,
        "zookeeper_root": f"/{tmp_path.name.replace('.', '')}",
        "zookeeper_session_s": SESSION_S,
    }
    with Fleet(tmp_path, PrivateMysql(mariadb), **settings) as fleet:
        yield fleet


@pytest.fixture
def link(ensemble: ZooKeeperEnsemble) -> Iterator[Proxy]:
    """One worker's way to ZooKeeper."""
    proxies = Proxies(SystemRuntime())
    host, port = ensemble.leader().hosts.split(":")
    yield proxies.open(host, int(port), Random(1))
    proxies.close()


@pytest.fixture
def config(ensemble: ZooKeeperEnsemble, tmp_path: Path) -> Iterator[Config]:
    """Write the fleet's config."""
    link = KazooLink(ZooKeeperAddress(ensemble.hosts, SESSION_S), SystemRuntime())
    root = f"/{tmp_path.name.replace('.', '')}"
    for path in (root, f"{root}/config"):
        link.create(path, b"")
    yield lambda data: link.set(f"{root}/config", data)
    link.close()


def lines(fleet: Fleet, attempt: int, what: str) -> list[tuple[str, str, int]]:
    """(key, node id, CLOCK_BOOTTIME) of what the tasks wrote."""
    words = [line.split() for line in fleet.evidence.read_text().splitlines()]
    return [
        (word[0], word[3], int(word[5]))
        for word in words
        if int(word[1]) == attempt and (what in ("", word[4]))
    ]


def one_long_run(fleet: Fleet, node: str) -> None:
    """Have it started on that node: nobody else is there yet."""
    fleet.start(node)
    fleet.await_live(node)
    (fleet.folder / "endless.sh").write_text(ENDLESS)
    command = f". {fleet.folder}/endless.sh"
    fleet.schedule({"name": "long-1", "cron": "@manual", "command": command, "route": "any"})
    fleet.store.rows("INSERT INTO runs (schedule_id) SELECT id FROM schedules")
    until(lambda: lines(fleet, 1, "begin"), 20, f"the task begins\n{fleet.tails()}")


def states(fleet: Fleet) -> list[str]:
    return [row["state"] for row in fleet.store.rows("SELECT state FROM nodes")]


@pytest.mark.fault(49)
def test_running_work_of_a_killed_node_is_taken_over_after_its_session_and_not_after_three_beats(
    fleet: Fleet,
):
    one_long_run(fleet, "a")
    fleet.start("b")
    fleet.await_live("b")
    time.sleep(SESSION_S + 1)  # until b has been connected for a whole session
    began = time.monotonic()
    fleet["a"].kill()
    until(lambda: lines(fleet, 2, "begin"), 25, f"b takes it over\n{fleet.tails()}")
    assert time.monotonic() - began < 25 < 3 * 10
    assert fleet["b"].said("node_purged")


@pytest.mark.fault(49, 51)
def test_a_node_that_is_cut_off_from_zookeeper_has_killed_its_tasks_before_another_starts_them(
    fleet: Fleet, link: Proxy
):
    fleet.add("a", zookeeper_hosts=f"127.0.0.1:{link.port}")
    one_long_run(fleet, "a")
    fleet.start("b")
    fleet.await_live("b")
    time.sleep(SESSION_S + 1)
    link.refuses = True
    link.cut()
    until(lambda: lines(fleet, 2, "begin"), 30, f"b takes it over\n{fleet.tails()}")
    last = max(at for _, _, at in lines(fleet, 1, ""))
    first = min(at for _, _, at in lines(fleet, 2, "begin"))
    assert last < first
    assert fleet["a"].said("lease_lost")
    link.refuses = False
    until(lambda: states(fleet).count("live") == 2, 30, f"a comes back under a new id\n{fleet.tails()}")


@pytest.mark.fault(48, 50)
def test_a_leader_that_dies_or_stands_still_for_a_while_costs_no_node_and_no_task(
    fleet: Fleet, ensemble: ZooKeeperEnsemble
):
    one_long_run(fleet, "a")
    fleet.start("b", "c")
    fleet.await_live("b", "c")
    leader = ensemble.leader()
    leader.kill9()
    ensemble.leader()
    time.sleep(SESSION_S)
    leader.start()
    assert states(fleet) == ["live"] * 3, fleet.tails()
    assert not lines(fleet, 2, ""), fleet.tails()
    until(
        lambda: fleet.store.rows("SELECT 1 FROM roles WHERE expires_at > UTC_TIMESTAMP(6)"), 20, "an auditor"
    )


def test_the_config_of_the_fleet_applies_without_a_restart(fleet: Fleet, config: Config):
    config(b'{"paused_queues": ["default"], "slots": 7, "beat_s": 3, "log_level": "DEBUG"}')
    fleet.start("a")
    fleet.await_live("a")
    until(
        lambda: fleet.store.rows("SELECT 1 FROM nodes WHERE slots = 7 AND beat_s = 3"), 15, "its row says so"
    )
    fleet.schedule({"name": "paused-1"})
    until(lambda: fleet.counts().get("queued", 0) >= 2, 20, "runs are opened")
    config(b'{"paused_queues": "default", "slots": 0}')
    until(lambda: fleet["a"].said("config_refused"), 15, "a mistake is told")
    assert not lines(fleet, 1, ""), "the queue stays paused"
    config(b"{}")
    until(lambda: lines(fleet, 1, "begin"), 15, f"the queue goes on\n{fleet.tails()}")
    until(lambda: fleet.store.rows("SELECT 1 FROM nodes WHERE slots = 100"), 15, "its own slots again")
