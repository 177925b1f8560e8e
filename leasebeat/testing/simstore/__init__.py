"""A store in memory whose statements can be taken apart.

    Server          the tables, and each statement of the port as a function (reads) or a generator (writes)
    Direct          the port `Store` over a Server: every statement runs from start to end at once
    simulation/     drives the same generators step by step, with faults in between

READ COMMITTED as measured on MariaDB (REVIEW.md 4, "What locks what"): INSERT ... SELECT judges its
guards by a snapshot and locks only the keys that it inserts; UPDATE waits for locked rows and looks
at them again; a pull passes over what is locked; uncommitted keys make others wait.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, cast

from leasebeat.errors import Busy
from leasebeat.model.instant import Instant
from leasebeat.store.base import Store
from leasebeat.testing.simstore.audit import AuditStatements, RetentionStatements
from leasebeat.testing.simstore.membership import NodeStatements
from leasebeat.testing.simstore.schedules import Edits, ScheduleStatements

__all__ = ["Direct", "Server", "direct"]


class Server(NodeStatements, AuditStatements, RetentionStatements, ScheduleStatements, Edits):
    """The simulated database server."""

    def installation(self) -> str:
        """The id of this installation."""
        return self.installation_id


class Direct:
    """The port over a server, each statement from start to end at once."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def forget_connection(self) -> None:
        """There is none."""

    def close(self) -> None:
        """There is nothing to close."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        statement = getattr(self.server, name)

        def call(*arguments: object, **named: object) -> object:
            return run_through(statement(*arguments, **named))

        setattr(self, name, call)
        return call


def run_through(statement: object) -> object:
    """The result of a statement that nobody disturbs."""
    if not isinstance(statement, Generator):
        return statement
    steps = cast("Generator[object, None, object]", statement)
    try:
        while True:
            step = next(steps)
            if isinstance(step, tuple):
                steps.throw(Busy(f"{step!r} is locked"))
    except StopIteration as end:
        return end.value


def direct(now: Callable[[], Instant]) -> tuple[Server, Store]:
    """A new server with `now` as its clock, and the port to it."""
    server = Server(now)
    return server, cast("Store", Direct(server))
