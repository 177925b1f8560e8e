"""What `SqlStore` and `Desk` need of a database: named statements on the calling thread's own connection."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from leasebeat.model.instant import Instant

SqlValue = int | float | str | bytes | None
Record = dict[str, Any]
"""A row by column name: dates as instants, JSON columns as text, DECIMAL as int or float."""

IMPOSSIBLE: Instant = -62_135_596_800_000_000
"""What a date is read as that is none, like 0000-00-00 or February 30: the first instant of the year 1.

Sessions that are not strict write such dates, and one row of them may not hide all others.
"""

FaultHook = Callable[[str, str], None]
"""Called with (statement name, "before" | "after"); tests kill the process or raise in it."""


class Session(Protocol):
    """One database, a connection for each thread, errors translated into `leasebeat.errors`."""

    dialect: str  #: "mysql" or "sqlite"

    def query(self, name: str, **params: SqlValue) -> list[Record]:
        """The rows of the statement called `name` in the dialect's .sql file (or in desk.sql)."""
        ...

    def execute(self, name: str, **params: SqlValue) -> int:
        """Run it; how many rows it inserted, matched (UPDATE) or deleted."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """BEGIN ... COMMIT around the statements inside; ROLLBACK when one raises."""
        ...

    def forget(self) -> None:
        """Close the calling thread's connection."""
        ...

    def close(self) -> None:
        """Close every thread's connection."""
        ...
