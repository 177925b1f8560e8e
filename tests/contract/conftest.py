"""`bench`: every test of the store runs on MariaDB (as a worker), on SQLite and on the simulated store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from leasebeat.store.base import Store
from leasebeat.store.url import StoreUrl
from leasebeat.testing.mysql import MySQL
from tests.contract.desk_bench import Office, mysql_office, sqlite_office
from tests.contract.store_bench import Bench, MysqlBench, SimBench, SqliteBench, empty


@pytest.fixture(scope="session")
def mysql_accounts(mariadb: MySQL) -> Iterator[dict[str, StoreUrl]]:
    """One store of this process, and its accounts."""
    url = mariadb.create_store()
    accounts = mariadb.create_accounts(url)
    yield {role: StoreUrl.parse(account) for role, account in accounts.items()}
    mariadb.drop_database(url)


@pytest.fixture(params=["simulated", "sqlite", "mysql"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """An empty store of each kind."""
    made = _bench(request, tmp_path)
    yield made
    made.close()


def _bench(request: pytest.FixtureRequest, folder: Path) -> Bench:
    if request.param == "simulated":
        return SimBench()
    if request.param == "sqlite":
        return SqliteBench(folder / "leasebeat.db")
    accounts: dict[str, StoreUrl] = request.getfixturevalue("mysql_accounts")
    empty(accounts["owner"])
    return MysqlBench(accounts["worker"], accounts["owner"])


@pytest.fixture
def store(bench: Bench) -> Store:
    """The port to it."""
    return bench.store


@pytest.fixture(params=["sqlite", "mysql"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Office]:
    """A desk, with the rights of people, beside a bench."""
    bench = _bench(request, tmp_path)
    if isinstance(bench, MysqlBench):
        made = mysql_office(bench, request.getfixturevalue("mysql_accounts")["console"])
    else:
        assert isinstance(bench, SqliteBench)
        made = sqlite_office(bench)
    yield made
    made.desk.close()
    bench.close()
