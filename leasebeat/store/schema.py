"""Making a store, and refusing one that cannot hold Leasebeat.

init           make the tables, or bring older ones up to date (what is in them stays)
print_schema   the same as text, for those who apply it themselves
checks         everything that a start looks at, for `doctor`
check          raise when one of them fails
"""

from __future__ import annotations

from leasebeat import __version__
from leasebeat.errors import NoStore, StoreUnfit
from leasebeat.store.checks import Check
from leasebeat.store.session import Session
from leasebeat.store.tables import SCHEMA_VERSION, print_schema

__all__ = ["SCHEMA_VERSION", "Check", "check", "checks", "init", "print_schema"]


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
        return [*found, *_checks_of_dialect(session, worker)]
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
    # Newer tables have more columns and nothing less: whether this worker may use them says min_worker.
    return Check(
        "schema version",
        found >= SCHEMA_VERSION,
        "refuse",
        str(found),
        f"{SCHEMA_VERSION} or newer",
        "run `python scheduler.py init` with the owner's account; running workers go on meanwhile",
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
