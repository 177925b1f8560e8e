"""Making a store, and refusing one that cannot hold Leasebeat.

init           make the tables (what is there already stays)
print_schema   the same as text, for those who apply it themselves
checks         everything that a start looks at, for `doctor`
check          raise when one of them fails
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from leasebeat import __version__
from leasebeat.errors import NoStore, Refused, StoreUnfit
from leasebeat.store.session import Session

__all__ = ["SCHEMA_VERSION", "Check", "check", "checks", "init", "print_schema"]

SCHEMA_VERSION = 1
"""Of the tables that this Leasebeat makes and uses."""

_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the store must be like. `refuse`: no start without it; `warn`: said, and gone on."""

    name: str
    ok: bool
    severity: Literal["refuse", "warn"]
    found: str
    expected: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: found {self.found}, expected {self.expected}; {self.advice}"


def print_schema(dialect: str, timezone: str = "UTC") -> str:
    """The tables as SQL, with `timezone` as the default of new schedules.

    Raises Refused for a text that can be no name of a time zone.
    """
    name = "schema.sql" if dialect == "mysql" else "sqlite_schema.sql"
    packed = Path(str(files("leasebeat.store") / "sql" / name))
    # In a checkout the MySQL schema lies where people look for it; a wheel has it inside the package.
    path = packed if packed.is_file() else Path(__file__).parents[2] / name
    if not _ZONE.fullmatch(timezone):
        raise Refused(f"{timezone!r} is no name of a time zone; expected one like Europe/Berlin")
    text = path.read_text(encoding="utf-8")
    return text.replace("NOT NULL DEFAULT 'UTC'", f"NOT NULL DEFAULT '{timezone}'")


def init(session: Session, timezone: str = "UTC") -> None:
    """Make the store; where it is there already, only what is missing.

    Raises StoreUnfit for a server that cannot hold it, and for tables of our names that are not ours.
    """
    if session.dialect == "sqlite":
        from leasebeat.store.sqlite import SqliteSession, create

        assert isinstance(session, SqliteSession)
        create(session.path, timezone)
    else:
        from leasebeat.store import mysql_checks

        mysql_checks.make(session, print_schema("mysql", timezone))


def checks(session: Session, worker: bool = True) -> list[Check]:
    """What the store is like. `worker`: whether the account has the rights of a worker is looked at too.

    Raises NoStore where there is none, Unavailable where it cannot be reached.
    """
    if not session.query("schema_present"):
        raise NoStore(_NO_STORE)
    for row in session.query("schema_info"):
        found = [_schema_version(row["version"]), _worker_version(row["min_worker"])]
        return found + _checks_of_dialect(session, worker)
    raise NoStore(_NO_STORE)


_NO_STORE = "there is no store here yet: run `python scheduler.py init`"


def check(session: Session, worker: bool = False) -> list[Check]:
    """The warnings. Raises NoStore, Unavailable, and StoreUnfit with everything that must be changed."""
    found = checks(session, worker)
    failed = [str(one) for one in found if not one.ok and one.severity == "refuse"]
    if failed:
        raise StoreUnfit("\n  - ".join(["the store cannot be used:", *failed]))
    return [one for one in found if not one.ok]


def _checks_of_dialect(session: Session, worker: bool) -> list[Check]:
    if session.dialect == "sqlite":
        from leasebeat.store import sqlite

        assert isinstance(session, sqlite.SqliteSession)
        return sqlite.checks(session)
    from leasebeat.store import mysql_checks

    return mysql_checks.checks(session, worker)


def _schema_version(found: int) -> Check:
    return Check(
        "schema version",
        found == SCHEMA_VERSION,
        "refuse",
        str(found),
        str(SCHEMA_VERSION),
        "use the Leasebeat that made these tables, or run `python scheduler.py init` of the newest one",
    )


def _worker_version(least: str) -> Check:
    return Check(
        "Leasebeat version",
        _numbers(__version__) >= _numbers(least),
        "refuse",
        __version__,
        f"{least} or newer",
        "install a newer Leasebeat on this host",
    )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]
