"""How lists of rows are sent and how records become dataclasses: what the parts of `SqlStore` share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import TypeVar

from leasebeat.model.run import RunKey
from leasebeat.store.base import BATCH
from leasebeat.store.session import Record, Session, SqlValue

Row = tuple[object, ...]
Item = TypeVar("Item")

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_key = itemgetter(0, 1, 2)


def pack(rows: Iterable[object]) -> str:
    """The parameter `rows`: JSON, compact."""
    return _encode(list(rows))


def in_key_order(rows: Iterable[Row]) -> list[Row]:
    """Rows that begin with their run's key, in the order of the primary key: all nodes lock in one order."""
    return sorted(rows, key=_key)


def batches(rows: Sequence[Item], size: int = BATCH) -> Iterator[Sequence[Item]]:
    """`rows`, at most `size` at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def run_key(record: Record) -> RunKey:
    """The key of the run that a record is about."""
    return RunKey(record["fire_at"], record["schedule_id"], record["shard"])


class Statements:
    """A session, and the two ways in which lists are sent to it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def _execute_all(self, name: str, rows: Sequence[object], **params: SqlValue) -> int:
        return sum(self._session.execute(name, rows=pack(part), **params) for part in batches(rows))

    def _query_all(self, name: str, rows: Sequence[object], **params: SqlValue) -> list[Record]:
        found: list[Record] = []
        for part in batches(rows):
            found += self._session.query(name, rows=pack(part), **params)
        return found
