"""A store of the tests' own, as people see it: made, looked at and edited apart from any worker.

Its installation id begins with `private-`, which is what lets fault points arm. On MariaDB the
workers get an account with the rights of `deploy/grants.sql` and no more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, cast

from pymysql.cursors import DictCursor

from leasebeat.faults import PRIVATE
from leasebeat.model.instant import Instant, from_datetime
from leasebeat.runtime import SystemRuntime
from leasebeat.store import schema
from leasebeat.store.sqlite import SqliteSession
from leasebeat.store.url import StoreUrl
from leasebeat.testing.mysql import MySQL, connect

__all__ = ["PrivateMysql", "PrivateSqlite", "PrivateStore", "value"]

Row = Mapping[str, Any]


class PrivateStore(Protocol):
    """What a trial asks of the store besides what workers do with it."""

    url: str  #: for `[store] url` of the workers

    def rows(self, *statements: str) -> list[Row]:
        """Run statements, each committed at once; the rows of the last, by column."""
        ...

    def now(self) -> Instant:
        """The store's clock."""
        ...

    def remove(self) -> None: ...


def value(store: PrivateStore, statement: str) -> Any:
    """The first value of a statement's first row; None where there is none."""
    return next((next(iter(row.values())) for row in store.rows(statement)), None)


class PrivateMysql:
    """A database of its own on a private server; `made` is one that has its tables already."""

    def __init__(self, server: MySQL, made: str = "") -> None:
        self._server = server
        self.admin_url = made or server.create_store()
        self.url = server.create_accounts(self.admin_url)["worker"]
        self._admin = StoreUrl.parse(self.admin_url)
        self.rows(f"UPDATE schema_info SET installation = CONCAT('{PRIVATE}', installation)")

    def rows(self, *statements: str) -> list[Row]:
        with connect(self._admin) as connection, connection.cursor(DictCursor) as cursor:
            cursor.execute("SET time_zone = '+00:00'")
            for statement in statements:
                cursor.execute(statement)
            return list(cast("Sequence[Row]", cursor.fetchall()))

    def now(self) -> Instant:
        return from_datetime(value(self, "SELECT UTC_TIMESTAMP(6) AS now").replace(tzinfo=UTC))

    def remove(self) -> None:
        self._server.drop_database(self.admin_url)


class PrivateSqlite:
    """A file of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "leasebeat.db"
        self.url = f"sqlite:///{self.path}"
        session = SqliteSession(self.path, SystemRuntime())
        schema.init(session)
        session.close()
        self.rows(f"UPDATE schema_info SET installation = '{PRIVATE}' || installation")

    def rows(self, *statements: str) -> list[Row]:
        found: list[Row] = []
        with closing(sqlite3.connect(self.path, timeout=10, isolation_level=None)) as file:
            file.row_factory = sqlite3.Row
            for statement in statements:
                found = [dict(row) for row in file.execute(statement)]
        return found

    def now(self) -> Instant:
        return from_datetime(datetime.now(UTC))  # the store's clock is the host's

    def remove(self) -> None:
        for path in self.path.parent.glob("leasebeat.db*"):
            path.unlink()
