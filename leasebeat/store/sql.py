"""`Store` over named statements, for both dialects.

MySQL and SQLite differ in the text of their statements and in their sessions, never here. What
every statement is sent and gives back is said at its place in `sql/*.sql`; lists of rows travel as
one parameter `rows`, JSON arrays of arrays, with instants and lengths of time as whole microseconds
(a date as text in JSON would lose its offset without a word).
"""

from __future__ import annotations

from leasebeat.errors import NoStore
from leasebeat.store.session import Session
from leasebeat.store.sql_audit import AuditStatements
from leasebeat.store.sql_follow import FollowStatements
from leasebeat.store.sql_nodes import NodeStatements
from leasebeat.store.sql_runs import RunStatements
from leasebeat.store.sql_schedules import ScheduleStatements

__all__ = ["SqlStore"]


class SqlStore(ScheduleStatements, RunStatements, FollowStatements, NodeStatements, AuditStatements):
    """The whole port `leasebeat.store.base.Store`."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)

    def installation(self) -> str:
        """The id that `init` gave this installation. Raises NoStore where there is none."""
        if self._session.query("schema_present"):
            for record in self._session.query("installation"):
                return record["installation"]
        raise NoStore

    def forget_connection(self) -> None:
        """Close the calling thread's connection; the next call opens another."""
        self._session.forget()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()
