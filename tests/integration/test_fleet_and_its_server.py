"""Two workers and a MariaDB that goes away for longer than a lease, jumps in time, or lacks a table."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from leasebeat.testing.evidence import executions, findings
from leasebeat.testing.fleet import Fleet, mixed, numbered, until, utc
from leasebeat.testing.private import PrivateMysql
from leasebeat.testing.servers import MariaDB
from tests.conftest import FOLDER

pytestmark = pytest.mark.slow

LEASE_S = 3


@pytest.fixture(scope="module")
def server(servers: dict[str, str]) -> Iterator[MariaDB]:
    del servers  # asked for so that a machine without MariaDB is told of it as everywhere
    with MariaDB(Path(os.environ[FOLDER]), faketime=True) as made:
        yield made


@pytest.fixture
def fleet(server: MariaDB, tmp_path: Path) -> Iterator[Fleet]:
    """Two workers with three schedules that fire each second."""
    with Fleet(tmp_path, PrivateMysql(server.mysql), node_beat_s=LEASE_S / 3) as made:
        made.start("a", "b")
        made.await_live("a", "b")
        made.schedule(*mixed(numbered("job", 3), longest=10))
        more(made)
        yield made


def more(fleet: Fleet, count: int = 6) -> None:
    before = begun(fleet)
    until(lambda: begun(fleet) >= before + count, 40, f"tasks begin\n{fleet.tails()}")


def begun(fleet: Fleet) -> int:
    return fleet.evidence.read_text().count(" begin ")


def ids(fleet: Fleet) -> list[str]:
    """Of all nodes that ever were; none of them was purged."""
    rows = fleet.store.rows("SELECT id, state FROM nodes ORDER BY id")
    assert {row["state"] for row in rows} == {"live"}, fleet.tails()
    return [str(row["id"]) for row in rows]


def wind_up(fleet: Fleet) -> None:
    """Let no more come due; all that did has ended, once each."""
    end = fleet.next_second(1)
    fleet.store.rows(f"UPDATE schedules SET ends_at = '{utc(end)}'")
    until(lambda: fleet.settled(end), 60, f"everything ends\n{fleet.tails()}")
    assert set(fleet.counts()) == {"succeeded"}


def whole(fleet: Fleet) -> frozenset[str]:
    """The keys of every second from the first row to the last, of each schedule that has rows."""
    rows = fleet.store.rows("SELECT `key` FROM run_list")
    seconds = "SELECT TIMESTAMPDIFF(SECOND, MIN(fire_at), MAX(fire_at)) + 1 FROM runs GROUP BY schedule_id"
    assert sum(int(found) for row in fleet.store.rows(seconds) for found in row.values()) == len(rows)
    return frozenset(str(row["key"]) for row in rows)


@pytest.mark.fault(30, 31)
def test_an_outage_longer_than_the_lease_purges_nobody_and_loses_no_instant(
    fleet: Fleet, server: MariaDB
) -> None:
    before = ids(fleet)
    server.kill9()
    time.sleep(2 * LEASE_S)
    server.start()
    more(fleet)
    assert ids(fleet) == before
    wind_up(fleet)
    assert findings(fleet.collect(whole(fleet)), prompt=False) == []


@pytest.mark.fault(83)
def test_a_table_that_is_away_for_a_while_is_told_and_work_goes_on_when_it_is_back(fleet: Fleet) -> None:
    before = ids(fleet)
    fleet.store.rows("RENAME TABLE runs TO runs_away")
    until(lambda: "doesn't exist" in fleet["a"].tail(), 20, f"it is told\n{fleet.tails()}")
    fleet.store.rows("RENAME TABLE runs_away TO runs")
    more(fleet)
    assert ids(fleet) == before
    wind_up(fleet)
    assert findings(fleet.collect(whole(fleet)), prompt=False) == []


@pytest.mark.fault(42)
def test_a_jump_of_the_stores_clock_purges_nobody_and_repeats_nothing(fleet: Fleet, server: MariaDB) -> None:
    before = ids(fleet)
    for offset in ("+60s", "+0s"):
        server.shift_clock(offset)
        time.sleep(1.5 * LEASE_S)
        assert ids(fleet) == before
    found = executions(fleet.evidence.read_text().splitlines())
    assert set(Counter((each.key, each.attempt) for each in found).values()) == {1}
