"""Where the store is: the URL of `[store] url`, taken apart.

sqlite:///leasebeat.db                      a file, relative to the folder of the settings file
sqlite:////var/lib/leasebeat/leasebeat.db   a file, absolute
mysql://user:password@host:3306/leasebeat   also mysql+pymysql:// and mariadb://
mysql://user@/leasebeat?unix_socket=/run/mysqld/mysqld.sock
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

__all__ = ["StoreUrl"]

MYSQL_PORT = 3306
DATABASE = "leasebeat"

_MYSQL_SCHEMES = frozenset({"mysql", "mysql+pymysql", "mariadb"})


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """The parts of a store's URL, percent-decoded. `path` is set for SQLite only, the rest for MySQL only.

    `scheme` is the kind of store: `mysql` stands for MySQL and MariaDB alike.
    """

    scheme: Literal["sqlite", "mysql"]
    path: Path | None = None
    host: str = ""
    port: int = MYSQL_PORT
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = DATABASE
    unix_socket: str | None = None

    @classmethod
    def parse(cls, text: str, folder: Path | None = None) -> StoreUrl:
        """The parts of `text`; a relative SQLite path begins at `folder`, or else at the working directory.

        Raises ValueError, with what was expected and never with the password.
        """
        parts = _split(text)
        if parts.scheme == "sqlite":
            return cls("sqlite", path=_sqlite_path(parts, folder or Path.cwd()))
        if parts.scheme in _MYSQL_SCHEMES:
            return _mysql(parts)
        raise ValueError(
            f"scheme {parts.scheme!r} is unknown; expected sqlite:///FILE or mysql://USER:PASSWORD@HOST/DATABASE"
        )

    def __str__(self) -> str:
        """The URL without its password, for messages."""
        if self.scheme == "sqlite":
            return f"sqlite:///{self.path}"
        place = f"{self.host}:{self.port}" if self.unix_socket is None else ""
        socket = f"?unix_socket={self.unix_socket}" if self.unix_socket else ""
        return f"mysql://{self.user}@{place}/{self.database}{socket}"


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError(
            "not a URL; expected mysql://USER:PASSWORD@HOST/DATABASE"
        ) from None  # urllib quotes it


def _sqlite_path(parts: SplitResult, folder: Path) -> Path:
    name = unquote(parts.path).removeprefix("/")
    if parts.netloc:
        raise ValueError(f"SQLite has no host; expected three slashes, sqlite:///{name or 'leasebeat.db'}")
    if not name or name.startswith(":") or parts.query:
        raise ValueError("SQLite needs a file that several processes can share, like sqlite:///leasebeat.db")
    return (folder / name).absolute()


def _mysql(parts: SplitResult) -> StoreUrl:
    if not parts.username:
        raise ValueError("no user is named; expected mysql://USER:PASSWORD@HOST/DATABASE")
    database = unquote(parts.path).removeprefix("/") or DATABASE
    if "/" in database:
        raise ValueError(f"{database!r} is no name of a database")
    return StoreUrl(
        "mysql",
        host=parts.hostname or "localhost",
        port=_port(parts),
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        database=database,
        unix_socket=_unix_socket(parts.query),
    )


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or MYSQL_PORT
    except ValueError:
        # `from None`: urllib quotes what it took for the port, and that may be part of a password.
        raise ValueError(
            "the port is not a number up to 65535; write / # ? @ : as %xx in passwords"
        ) from None


def _unix_socket(query: str) -> str | None:
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - {"unix_socket"})
    if unknown:
        raise ValueError(f"option {', '.join(unknown)} is unknown; only unix_socket=PATH is known")
    return options.get("unix_socket")
