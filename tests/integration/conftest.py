"""What the integration tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from leasebeat.store.url import StoreUrl
from tests.integration.commands import Commands


@pytest.fixture
def lb_on_sqlite(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    """The commands on a new SQLite store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEASEBEAT_STORE__URL", sqlite_url)
    commands = Commands(StoreUrl.parse(sqlite_url), capsys.readouterr)
    assert commands("init").code == 0
    return commands


@pytest.fixture
def lb_on_mysql(
    mysql_url: str,
    accounts: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Commands:
    """The commands on a new store on MariaDB, as the console's account."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEASEBEAT_STORE__URL", accounts["console"])
    return Commands(StoreUrl.parse(mysql_url), capsys.readouterr)


@pytest.fixture(params=["lb_on_sqlite", "lb_on_mysql"])
def lb(request: pytest.FixtureRequest) -> Commands:
    """The commands on each kind of store."""
    return request.getfixturevalue(request.param)
