"""Writes that refuse the past: an attempt that was given up finds that a newer one has been here.

The place that a task writes to remembers the largest fence it has seen of each run. `check` does so in
the caller's own transaction of a database, `write` together with one command of Redis. Nothing is
imported here: the caller hands in a cursor or a client. docs/fencing.md has the same as plain SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from leasebeat.context import current_run
from leasebeat.errors import Fenced

__all__ = ["CREATE", "KEEP_S", "REDIS", "SEE", "Cursor", "Dialect", "Fenced", "Shown", "check", "write"]

Dialect = Literal["mysql", "postgresql", "sqlite"]

_CREATE = "CREATE TABLE IF NOT EXISTS task_fences (run_key {text} PRIMARY KEY, fence BIGINT NOT NULL)"

CREATE: dict[Dialect, str] = {
    "mysql": _CREATE.format(text="VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
    "postgresql": _CREATE.format(text="VARCHAR(190)"),
    "sqlite": _CREATE.format(text="TEXT"),
}
"""The table, beside those that the task writes to. Names of schedules may differ in case only."""

SEE: dict[Dialect, tuple[str, str]] = {
    "mysql": (
        (
            "INSERT INTO task_fences (run_key, fence) VALUES (%s, %s)"
            " ON DUPLICATE KEY UPDATE fence = GREATEST(fence, VALUES(fence))"
        ),
        "SELECT fence FROM task_fences WHERE run_key = %s FOR UPDATE",
    ),
    "postgresql": (
        (
            "INSERT INTO task_fences (run_key, fence) VALUES (%s, %s)"
            " ON CONFLICT (run_key) DO UPDATE SET fence = GREATEST(task_fences.fence, EXCLUDED.fence)"
        ),
        "SELECT fence FROM task_fences WHERE run_key = %s FOR UPDATE",
    ),
    "sqlite": (
        (
            "INSERT INTO task_fences (run_key, fence) VALUES (?, ?)"
            " ON CONFLICT (run_key) DO UPDATE SET fence = max(fence, excluded.fence)"
        ),
        "SELECT fence FROM task_fences WHERE run_key = ?",
    ),
}
"""Remember a fence of a run, and the largest one that is remembered.

The first statement locks the run's row until the transaction ends: whoever has the smaller fence
either comes first, and is followed by the larger, or waits, and then sees it.
"""

KEEP_S = 7 * 86_400
"""How many seconds Redis remembers a fence: longer than any attempt can be late."""

REDIS = """
-- KEYS: 1 the fence's (string), 2 the one that is written. ARGV: 1 fence, 2 seconds to keep it,
-- 3 command, 4... its arguments after the key.
-- Returns {1, what the command answered}; {0, the larger fence} where nothing was written.
local seen = redis.call('GET', KEYS[1])
if seen and tonumber(seen) > tonumber(ARGV[1]) then
  return {0, seen}
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return {1, redis.call(ARGV[3], KEYS[2], unpack(ARGV, 4))}
"""
"""A write into Redis that looks at the fence first, all in one."""


class Shown(Protocol):
    """What a task shows: `current_run()` has both."""

    @property
    def run_key(self) -> str:
        """The run, the same for all its attempts."""
        ...

    @property
    def fence(self) -> int:
        """Grows with every attempt of the run."""
        ...


class Cursor(Protocol):
    """What is used of a cursor of the Python DB-API."""

    def execute(self, statement: str, parameters: Sequence[object], /) -> object:
        """Run a statement."""
        ...

    def fetchone(self) -> Sequence[object] | None:
        """The next row."""
        ...


class Client(Protocol):
    """What is used of redis-py's client."""

    def eval(self, script: str, numkeys: int, /, *keys_and_args: str | bytes | float) -> object:
        """Run a script."""
        ...


def check(cursor: Cursor, dialect: Dialect = "mysql", run: Shown | None = None) -> None:
    """Raise Fenced where a newer attempt of the run was here; else nobody else is until the commit.

    To be called inside the transaction that does the work, before it: with autocommit it is worth
    nothing. `run` is by default the run that the calling code belongs to.
    """
    shown = run or current_run()
    remember, look = SEE[dialect]
    cursor.execute(remember, (shown.run_key, shown.fence))
    cursor.execute(look, (shown.run_key,))
    row = cursor.fetchone()
    assert row is not None, "it was inserted just now"
    _compare(shown, int(str(row[0])))


def write(
    client: Client, command: str, key: str, *args: str | bytes | float, run: Shown | None = None
) -> object:
    """Send a command that writes `key`, like `write(redis, "SET", "report", text)`; what Redis answers.

    Raises Fenced, with nothing written, where a newer attempt of the run was here. In a cluster both
    keys, `key` and `task_fence:{key}`, lie in one slot where `key` has no braces of its own.
    """
    shown = run or current_run()
    fence_key = f"task_fence:{{{key}}}:{shown.run_key}"
    answer = client.eval(REDIS, 2, fence_key, key, shown.fence, KEEP_S, command, *args)
    assert isinstance(answer, list)
    done, said = answer  # pyright: ignore[reportUnknownVariableType]
    if not done:
        _compare(shown, int(said))  # pyright: ignore[reportUnknownArgumentType]
    return said  # pyright: ignore[reportUnknownVariableType]


def _compare(shown: Shown, seen: int) -> None:
    if seen > shown.fence:
        raise Fenced(
            f"{shown.run_key}: a newer attempt has written already (its fence {seen}, ours {shown.fence});"
            " roll back and end"
        )
