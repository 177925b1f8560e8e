"""The tables as text: `schema.sql` for MySQL and MariaDB, `sqlite_schema.sql` for SQLite."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from leasebeat.errors import Refused

__all__ = ["SCHEMA_VERSION", "print_schema"]

SCHEMA_VERSION = 1
"""Of the tables that this Leasebeat makes and uses."""

_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}")


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
