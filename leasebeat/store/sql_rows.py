"""How lists of rows are sent and how records become dataclasses: what the parts of `SqlStore` share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import TypeVar

from leasebeat.model.run import RunKey
from leasebeat.store.base import BATCH
from leasebeat.store.session import Record, Session, SqlValue

PART = 1024 * 1024
"""The most characters of JSON, or bytes of output, that one statement carries, unless a single row has more.

Quoted and as UTF-8, four bytes each at worst, they fit the `max_allowed_packet` that a start asks for.
"""

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


def batches(rows: Iterable[Item], weight: Callable[[Item], int]) -> Iterator[list[Item]]:
    """`rows`, at most BATCH and at most PART of `weight` at a time, but one at least."""
    part: list[Item] = []
    size = 0
    for row in rows:
        more = weight(row)
        if part and (len(part) == BATCH or size + more > PART):
            yield part
            part, size = [], 0
        part.append(row)
        size += more
    if part:
        yield part


def packs(rows: Iterable[object]) -> Iterator[str]:
    """The parameter `rows` of one statement after the other."""
    for part in batches(map(_encode, rows), len):
        yield f"[{','.join(part)}]"


REASON_CHARS = 1000
"""How much of a reason is kept."""


def short(reason: str | None) -> str | None:
    """A reason as `runs.reason` can hold it: tasks may raise with texts of any length and any bytes."""
    return None if reason is None else reason[:REASON_CHARS].encode("utf-8", "replace").decode("utf-8")


def run_key(record: Record) -> RunKey:
    """The key of the run that a record is about."""
    return RunKey(record["fire_at"], record["schedule_id"], record["shard"])


class Statements:
    """A session, and the two ways in which lists are sent to it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def _execute_all(self, name: str, rows: Sequence[object], **params: SqlValue) -> int:
        return sum(self._session.execute(name, rows=sent, **params) for sent in packs(rows))

    def _query_all(self, name: str, rows: Sequence[object], **params: SqlValue) -> list[Record]:
        found: list[Record] = []
        for sent in packs(rows):
            found += self._session.query(name, rows=sent, **params)
        return found
