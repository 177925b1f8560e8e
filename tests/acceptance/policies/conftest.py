"""One trial for each store, and one with every policy ignored: side by side, once for all tests here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from leasebeat.testing.mysql import MySQL
from leasebeat.testing.private import PrivateMysql, PrivateSqlite
from leasebeat.testing.servers import Redis
from leasebeat.testing.trials.cases import CASES
from leasebeat.testing.trials.policies import run
from leasebeat.testing.trials.seen import Seen

Trials = Mapping[str, Future[Seen]]


@pytest.fixture(scope="session")
def trials(tmp_path_factory: pytest.TempPathFactory, mariadb: MySQL) -> Iterator[Trials]:
    """What became of the schedules of all proofs that were collected, by store."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("sqlite", "mariadb", "ignored")}
    cases = list(CASES.values())
    with Redis(folders["mariadb"]) as one, Redis(folders["ignored"]) as other, ThreadPoolExecutor(3) as pool:
        sqlite, ignored = (PrivateSqlite(folders[name]) for name in ("sqlite", "ignored"))
        yield {
            "sqlite": pool.submit(run, folders["sqlite"], sqlite, cases),
            "mariadb": pool.submit(run, folders["mariadb"], PrivateMysql(mariadb), cases, one.url),
            "ignored": pool.submit(run, folders["ignored"], ignored, cases, other.url, ignored=True),
        }


@pytest.fixture(params=["sqlite", "mariadb"])
def seen(request: pytest.FixtureRequest, trials: Trials) -> Seen:
    """What became of them on one store."""
    return trials[request.param].result().by(CASES[request.function.__name__].offset)
