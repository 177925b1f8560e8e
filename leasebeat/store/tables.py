"""The tables as text: `schema.sql` for MySQL and MariaDB, `sqlite_schema.sql` for SQLite.

What takes older tables to these lies in `sql/migrations`, a file for each version and dialect. A migration
only adds: an older worker goes on with what it knows. A step of it that was done already changes nothing.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from leasebeat.errors import Refused

__all__ = ["SCHEMA_VERSION", "migrations", "print_schema", "split"]

SCHEMA_VERSION = 2
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


def migrations(dialect: str, above: int) -> list[str]:
    """The statements that take tables of version `above` to this one's; each step ends with its version."""
    folder = Path(str(files("leasebeat.store") / "sql" / "migrations"))
    steps: list[str] = []
    for version in range(above + 1, SCHEMA_VERSION + 1):
        steps += split((folder / f"{dialect}_{version:04}.sql").read_text(encoding="utf-8"))
        steps.append(f"UPDATE schema_info SET version = {version} WHERE version < {version}")
    return steps


def split(text: str) -> list[str]:
    """The statements of a text that holds no `;` at the end of a line but between them."""
    bare = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [part.strip() for part in re.split(r";\s*(?:\n|$)", bare) if part.strip()]
