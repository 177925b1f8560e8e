"""A worker's session with the store, with a door in it.

At the door the threads of a stopped worker stop, before a statement is sent and after its reply
came, and those of a dead one end. The statements are written down, so that the journal of the
server can name them, and the errors counted.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pymysql import MySQLError
from pymysql.connections import Connection
from pymysql.cursors import DictCursor

from leasebeat.errors import LeasebeatError
from leasebeat.model.instant import Instant
from leasebeat.runtime import Runtime
from leasebeat.store.mysql import REPLY_S, MysqlSession
from leasebeat.store.session import SqlValue
from leasebeat.store.url import StoreUrl
from leasebeat.testing.simulation.kernel import Process, SimCrash
from leasebeat.testing.store_chaos.timers import store_now

if TYPE_CHECKING:
    from leasebeat.store.mysql import _Connection  # pyright: ignore[reportPrivateUsage]

CODES = {1205: "lock waits", 1213: "deadlocks", 1062: "duplicates", 1317: "killed queries"}
"""Errors of the server that are counted by name."""


_NEVER: Instant = 1 << 60


@dataclass(slots=True)
class Sent:
    """A statement that somebody sent, and when its answer came."""

    at: Instant
    name: str
    params: Mapping[str, SqlValue]
    answered: Instant = _NEVER


class Record:
    """Everything that all workers sent, by connection, and what became of it."""

    def __init__(self) -> None:
        self.sent: dict[int, list[Sent]] = {}
        self.counts: Counter[str] = Counter()

    def note(self, connection: int, name: str, params: Mapping[str, SqlValue]) -> Sent:
        """Before it is sent. A restarted server gives the same numbers again."""
        sent = Sent(store_now(), name, params)
        self.sent.setdefault(connection, []).append(sent)
        return sent

    def statement(self, connection: int, began: Instant) -> Sent:
        """What that connection was doing when the server began something for it."""
        return self.sent[connection][self._index(connection, began)]

    def committed_by(self, connection: int, began: Instant) -> Instant:
        """When what was begun then was surely committed: the answer to it, or to the COMMIT behind it."""
        sent, index = self.sent[connection], self._index(connection, began)
        commits = index + 1 < len(sent) and sent[index + 1].name == "COMMIT"
        return sent[index + commits].answered

    def _index(self, connection: int, began: Instant) -> int:
        return bisect_right(self.sent[connection], began, key=lambda sent: sent.at) - 1


class Door:
    """Open while the worker runs."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._open = threading.Event()
        self._open.set()

    def shut(self) -> None:
        """SIGSTOP: whoever comes here waits."""
        self._open.clear()

    def reopen(self) -> None:
        """SIGCONT, or the end."""
        self._open.set()

    def __call__(self) -> None:
        """Go through. Raises SimCrash, which no service survives, once the worker is dead."""
        self._open.wait()
        if self._process.dead:
            raise SimCrash

    @property
    def dead(self) -> bool:
        """Whether the worker is dead."""
        return self._process.dead


class ChaosSession(MysqlSession):
    """The shipped session; every statement goes through the door twice. `patches` replace statements."""

    def __init__(
        self,
        url: StoreUrl,
        runtime: Runtime,
        beat_s: float,
        door: Door,
        record: Record,
        patches: Mapping[str, str],
    ) -> None:
        super().__init__(url, runtime, beat_s=beat_s)
        self._statements = {**self._statements, **patches}
        self._door = door
        self._record = record
        self._kept: list[_Connection] = []  # a dead worker's connections stay open, as after a power cut

    def _connect(self, reply_s: float = REPLY_S) -> _Connection:
        self._door()
        connection = super()._connect(reply_s)
        self._kept.append(connection)
        return connection

    def _send(
        self, connection: _Connection, name: str, text: str, params: dict[str, SqlValue]
    ) -> tuple[DictCursor, int]:
        self._door()
        sent = self._record.note(thread_of(connection), name, params)
        self._record.counts["statements"] += 1
        try:
            done = super()._send(connection, name, text, params)
            sent.answered = store_now()
            return done
        finally:
            self._door()

    def _translated(self, name: str, connection: _Connection, problem: MySQLError) -> LeasebeatError:
        error = super()._translated(name, connection, problem)
        code: Any = problem.args[0] if problem.args else None
        self._record.counts[CODES.get(code, "")] += 1
        self._record.counts[f"{type(error).__name__} to workers"] += 1
        return error

    def _rollback(self, connection: _Connection) -> None:
        if not self._door.dead:
            super()._rollback(connection)


def thread_of(connection: Connection[Any]) -> int:
    """The number by which the server knows a connection: CONNECTION_ID()."""
    return int(cast("Any", connection).thread_id())
