"""A MySQL or MariaDB server as tests use it: databases of their own, and the three accounts."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import pymysql

from leasebeat.store.url import StoreUrl

__all__ = ["MySQL", "url_text"]


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
        self.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4", database=None)
        return url_text(replace(self.admin, database=name))

    def drop_database(self, url: str) -> None:
        """Remove a database that `create_database` made."""
        name = StoreUrl.parse(url).database
        if not name.startswith("lb_test_"):
            raise ValueError(f"{name!r} was not made by a test and is left alone")
        self.run(f"DROP DATABASE IF EXISTS {name}", database=None)


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
