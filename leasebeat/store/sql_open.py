"""Rows of fires that nobody has claimed: what the audit and the followers' part of `SqlStore` share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import groupby

from leasebeat.model.run import RunKey
from leasebeat.store.base import BATCH, OpenRow
from leasebeat.store.session import SqlValue
from leasebeat.store.sql_rows import Row, Statements, pack, short


def _row(row: OpenRow) -> Row:
    return (
        *row.key,
        row.version,
        row.status,
        row.reason_code,
        short(row.reason),
        row.queue,
        row.priority,
        row.delay,
        row.grace,
        row.serial,
        row.overlap,
        row.until,
        row.missed_count,
        row.lane,
        row.shards,
        row.pinned_node_id,
    )


def _fires(rows: Sequence[OpenRow]) -> Iterator[list[OpenRow]]:
    """In key order, at most BATCH rows at a time; a fire is never cut."""
    part: list[OpenRow] = []
    for _, fire in groupby(sorted(rows, key=lambda row: row.key), lambda row: row.key[:2]):
        found = list(fire)
        if part and len(part) + len(found) > BATCH:
            yield part
            part = []
        part += found
    if part:
        yield part


class OpenStatements(Statements):
    """A session, and how rows are opened."""

    def _open_rows(self, rows: Sequence[OpenRow], **guards: SqlValue) -> int:
        return sum(self._open(part, guards) for part in _fires(rows))

    def _open(self, rows: Sequence[OpenRow], guards: dict[str, SqlValue]) -> int:
        """Rows, and the end of what they replace, in one transaction where there is any."""
        replacing: list[RunKey] = [row.key for row in rows if row.overlap == "replace"]
        with self._session.transaction() if replacing else nullcontext():
            count = self._session.execute("open_rows", rows=pack(map(_row, rows)), **guards)
            if count and replacing:
                self._session.execute("replace_older", rows=pack(replacing))
        return count
