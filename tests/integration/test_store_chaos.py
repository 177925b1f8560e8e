"""The store chaos ring: shipped nodes on an ill-treated MariaDB, held to the simulation's checkers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from leasebeat.errors import Unknown
from leasebeat.model.node import NodeFacts
from leasebeat.runtime import SystemRuntime
from leasebeat.store.mysql import MysqlSession
from leasebeat.store.sql import SqlStore
from leasebeat.store.url import StoreUrl
from leasebeat.testing.mysql import MySQL, connect
from leasebeat.testing.private import PrivateMysql
from leasebeat.testing.servers import MariaDB, Redis
from leasebeat.testing.store_chaos import journal
from leasebeat.testing.store_chaos.mutations import MUTATIONS
from leasebeat.testing.store_chaos.proxy import Proxies, Proxy
from leasebeat.testing.store_chaos.ring import describe, run_seed

SEEDS = (11, 12)
"""Odd ones have a Redis."""
AWAKE = "no take-back"
"""The mutation of every run; `scripts/chaos-store SEED --mutation NAME` has the others."""

Eventually = Callable[[Callable[[], object]], None]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_an_ill_treated_fleet_keeps_its_promises(
    seed: int, own_mariadb: MariaDB, own_redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run_seed(seed, own_mariadb, own_redis)
    with capsys.disabled():
        print(f"\n{describe(report)}")
    assert not report.violations
    assert report.totals["restarts of the store"] == 1
    assert min(report.totals[what] for what in ("fires", "executions", "edits", "kills")) > 0


@pytest.mark.slow
def test_the_ring_notices_when_nobody_takes_back_the_runs_of_the_dead(
    own_mariadb: MariaDB, own_redis: Redis
) -> None:
    mutation = MUTATIONS[AWAKE]
    report = run_seed(1, own_mariadb, own_redis, mutation.plan)
    assert {violation.checker for violation in report.violations} & set(mutation.caught_by), describe(report)


# --- the parts of the ring ----------------------------------------------------------------------


@pytest.fixture
def store(mariadb: MySQL) -> Iterator[PrivateMysql]:
    store = PrivateMysql(mariadb)
    for statement in journal.STATEMENTS:
        store.rows(statement)
    yield store
    store.remove()


@pytest.fixture
def proxy(store: PrivateMysql) -> Iterator[Proxy]:
    url = StoreUrl.parse(store.url)
    proxies = Proxies(SystemRuntime())
    yield proxies.open(url.host, url.port, Random(1))
    proxies.close()


@pytest.fixture
def behind_the_proxy(store: PrivateMysql, proxy: Proxy) -> Iterator[SqlStore]:
    session = MysqlSession(replace(StoreUrl.parse(store.url), port=proxy.port), SystemRuntime())
    yield SqlStore(session)
    session.close()


def join(store: SqlStore, name: str) -> None:
    store.join(NodeFacts(name, name, "", "", 0, "", "", 0, 1, 1.0, {}, (), "", ""))


def written(store: PrivateMysql) -> list[tuple[Any, ...]]:
    rows = [journal.written(row) for row in store.rows("SELECT * FROM chaos_journal ORDER BY id")]
    return [(row.kind, row.what["id"], row.what.get("state", row.what.get("cron"))) for row in rows]


def fate(proxy: Proxy, monkeypatch: pytest.MonkeyPatch, fate: str) -> None:
    monkeypatch.setattr(proxy, "_fate", lambda: fate)


@pytest.mark.parametrize("how", ["lost", "swallowed"])
def test_what_a_lost_reply_was_the_answer_to_is_done(
    how: str, behind_the_proxy: SqlStore, store: PrivateMysql, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    join(behind_the_proxy, "a")
    fate(proxy, monkeypatch, how)
    with pytest.raises(Unknown):
        join(behind_the_proxy, "b")
    assert written(store) == [("node", "a", "live"), ("node", "b", "live")]


def test_a_late_request_is_done_after_its_sender_gave_up(
    behind_the_proxy: SqlStore,
    store: PrivateMysql,
    proxy: Proxy,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in "abc":
        join(behind_the_proxy, name)
    fate(proxy, monkeypatch, "")
    proxy.rough = 4.0  # every request is late, no reply is lost
    with pytest.raises(Unknown):
        join(behind_the_proxy, "d")
    assert len(written(store)) == 3
    eventually(lambda: len(written(store)) == 4)


def test_the_journal_has_what_was_committed_and_no_more(store: PrivateMysql) -> None:
    edit = "UPDATE schedules SET cron = '{}' WHERE name = 'a'"
    store.rows("INSERT INTO schedules (name, cron, command) VALUES ('a', '@hourly', 'x')")
    store.rows(edit.format("@daily"))
    store.rows(edit.format("@daily"))  # changes nothing
    with ExitStack() as stack:
        people = stack.enter_context(connect(StoreUrl.parse(store.admin_url)))
        people.begin()
        people.cursor().execute(edit.format("@manual"))
        people.rollback()
    store.rows("DELETE FROM schedules")
    assert written(store) == [("schedule", 1, "@hourly"), ("schedule", 1, "@daily"), ("deletion", 1, None)]
