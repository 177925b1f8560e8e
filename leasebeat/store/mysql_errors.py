"""What the errors of MySQL, MariaDB and PyMySQL mean to the protocol.

Everything that the server answers has changed nothing, except where it was interrupted at an
unknown point: those are `LOST`.
"""

from __future__ import annotations

from pymysql import MySQLError

from leasebeat.errors import (
    Busy,
    Duplicate,
    LeasebeatError,
    Refused,
    StoreError,
    StoreUnfit,
    Unavailable,
    Unknown,
)

__all__ = ["DONE_BEFORE", "NO_RIGHT", "kind_of", "words_of"]

_BUSY = frozenset(
    {
        1020,  # record has changed since last read
        1205,  # lock wait
        1213,  # deadlock
        1317,  # KILL QUERY
        1969,  # statement took longer than the server allows (MariaDB)
        3024,  # the same (MySQL)
        3101,  # refused by the group at the commit
    }
)
_AWAY = frozenset(
    {
        1040,  # too many connections
        1041,  # out of memory
        1047,  # a Galera node that is not ready
        1021,  # disk full
        1030,  # the storage engine could not
        1037,  # out of memory
        1114,  # table full
        1203,  # too many connections of this account
        1226,  # too many of something of this account
        1290,  # --read-only
        1792,  # read-only transaction
        1836,  # read-only mode
        2006,  # not sent
        4031,  # closed for idleness, told late
    }
)
_LOST = frozenset(
    {
        1053,  # server shutdown
        1180,  # at the commit
        1152,  # aborted connection
        1158,  # network, reading
        1159,
        1160,
        1161,
        1927,  # connection was killed
        2013,  # no reply
        2014,  # out of step
        2027,  # malformed packet
    }
)
_REFUSED = frozenset(
    {
        1048,  # NULL where none may be
        1264,  # out of range
        1265,  # truncated
        1292,  # no date
        1364,  # no default
        1366,  # not of the type
        1406,  # too long
        3140,  # not JSON
        3819,  # CHECK (MySQL)
        4025,  # CHECK (MariaDB)
    }
)
_UNFIT = frozenset(
    {
        1044,  # no rights on the database
        1046,  # the database is gone from under the connection
        1049,  # no such database
        1054,  # no such column
        1064,  # not understood
        1142,  # no right on a table
        1143,  # no right on a column
        1146,  # no such table
        1305,  # no such function
        1356,  # a view that does not work
        1370,  # no right on a routine
        1665,  # binlog_format=STATEMENT
    }
)
NO_RIGHT = frozenset({1044, 1142, 1143, 1227})
DONE_BEFORE = frozenset({1050, 1060, 1061})
"""Such a table, column or key is there already."""
_KINDS: tuple[tuple[frozenset[int], type[LeasebeatError]], ...] = (
    (frozenset({1062, 1586}), Duplicate),
    (_BUSY, Busy),
    (_AWAY, Unavailable),
    (_LOST, Unknown),
    (_REFUSED, Refused),
    (_UNFIT, StoreUnfit),
)


def kind_of(problem: MySQLError) -> type[LeasebeatError]:
    """The error of ours that it is."""
    code = problem.args[0] if problem.args else None
    if not isinstance(code, int):
        return Unknown  # the driver lost its way in the protocol
    if code == 0:
        return Unavailable  # InterfaceError: the connection was closed before anything was sent
    if code < 1000:
        return Unknown  # the server met an error of its system, like a file that it could not write
    return next((kind for codes, kind in _KINDS if code in codes), StoreError)


_NO_LOGIN = 1045

_NO_LOGIN_HINT = (
    "check user and password of [store] url; on a new server an account without a name may stand before"
    " yours, as root: DROP USER ''@'localhost'"
)


def words_of(problem: MySQLError) -> str:
    """Number and text, as the server gave them, and what to do about a login that it refused."""
    words = " ".join(str(arg) for arg in problem.args)
    return f"{words}; {_NO_LOGIN_HINT}" if problem.args[:1] == (_NO_LOGIN,) else words
