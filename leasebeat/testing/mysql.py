"""A MySQL or MariaDB server as tests use it: databases of their own, and the three accounts."""

from __future__ import annotations

import re
import secrets
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymysql

from leasebeat.runtime import SystemRuntime
from leasebeat.store import schema
from leasebeat.store.mysql import MysqlSession
from leasebeat.store.url import StoreUrl

__all__ = ["MySQL", "connect", "url_text"]

GRANTS = Path(__file__).parents[2] / "deploy/grants.sql"
ACCOUNTS = ("worker", "console", "owner")


def url_text(url: StoreUrl) -> str:
    """The URL with its password, as `[store] url` takes it."""
    user = quote(url.user, safe="")
    password = f":{quote(url.password, safe='')}" if url.password else ""
    socket = f"?unix_socket={quote(url.unix_socket)}" if url.unix_socket else ""
    return f"mysql://{user}{password}@{url.host}:{url.port}/{url.database}{socket}"


@dataclass(frozen=True, slots=True)
class MySQL:
    """A server, seen by an account that may create databases."""

    admin: StoreUrl

    @classmethod
    def parse(cls, url: str) -> MySQL:
        """The server at `url`. Raises ValueError for what is no URL of a MySQL server."""
        return cls(StoreUrl.parse(url))

    def answers(self) -> bool:
        """Whether it takes connections now."""
        try:
            self.run("SELECT 1", database=None)
        except (pymysql.MySQLError, OSError):
            return False
        return True

    def run(self, *statements: str, database: str | None = "") -> tuple[tuple[Any, ...], ...]:
        """Run the statements one by one; the rows of the last. In `database`, by default the URL's."""
        connection = connect(self.admin if database == "" else replace(self.admin, database=database or ""))
        rows: tuple[tuple[Any, ...], ...] = ()
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = tuple(cursor.fetchall())
        return rows

    @property
    def version(self) -> str:
        """As the server says it, like `10.11.19-MariaDB-0+deb12u1`."""
        return str(self.run("SELECT VERSION()", database=None)[0][0])

    def create_database(self) -> str:
        """A new empty database with a name of its own; its URL for the admin account."""
        name = f"lb_test_{secrets.token_hex(6)}"
        # Latin-1 is the default of many a server; nothing of ours may depend on it.
        self.run(f"CREATE DATABASE {name} CHARACTER SET latin1", database=None)
        return url_text(replace(self.admin, database=name))

    def create_store(self) -> str:
        """A new database with Leasebeat's tables; its URL for the admin account."""
        url = self.create_database()
        session = MysqlSession(StoreUrl.parse(url), SystemRuntime())
        schema.init(session)
        session.close()
        return url

    def create_accounts(self, url: str) -> dict[str, str]:
        """The accounts of deploy/grants.sql for a store: `worker`, `console` and `owner`, each with its URL.

        They are this database's own, with passwords drawn now: the server may be a real one.
        """
        store, password = StoreUrl.parse(url), secrets.token_urlsafe(16)
        grants = GRANTS.read_text().replace("leasebeat.", f"{store.database}.")
        grants = re.sub(r"'REPLACE-[A-Z]+-PASSWORD'", f"'{password}'", grants)
        grants = grants.replace("'leasebeat_", f"'{store.database}_")
        self.run(*_statements(grants), database=None)
        # Root may be known on the socket only; everybody else comes in over TCP.
        over_tcp = replace(store, unix_socket=None, password=password)
        return {role: url_text(replace(over_tcp, user=f"{store.database}_{role}")) for role in ACCOUNTS}

    def drop_database(self, url: str) -> None:
        """Remove a database that a test made, and its accounts."""
        name = StoreUrl.parse(url).database
        if not name.startswith("lb_test_"):
            raise ValueError(f"{name!r} was not made by a test and is left alone")
        accounts = [f"DROP USER IF EXISTS '{name}_{role}'@'%'" for role in ACCOUNTS]
        self.run(f"DROP DATABASE IF EXISTS {name}", *accounts, database=None)


def _statements(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [statement for statement in "\n".join(lines).split(";") if statement.strip()]


def connect(url: StoreUrl) -> pymysql.Connection[Any]:
    """A plain connection that commits by itself. Raises pymysql.MySQLError or OSError."""
    connection = pymysql.Connection(
        host=url.host,
        port=url.port,
        user=url.user,
        password=url.password,
        database=url.database or None,
        autocommit=True,
        connect_timeout=5,
        read_timeout=60,
        charset="utf8mb4",
        defer_connect=True,
    )
    connection.connect(_unix_socket(url.unix_socket) if url.unix_socket else None)
    return connection


def _unix_socket(path: str) -> socket.socket:
    # PyMySQL forgets to close a socket that could not be connected, and warnings are errors here.
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(5)
    try:
        made.connect(path)
    except OSError:
        made.close()
        raise
    return made
