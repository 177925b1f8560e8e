"""A node is paused in the middle of a task; what it writes when it wakes is refused.

    python examples/fencing.py

Two attempts of one run book a payment, in a file of SQLite. The first is stopped where a whole machine
would be (SIGSTOP), the second is what another node starts after the first lost its lease; then the
first goes on. It finds the larger fence and writes nothing.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # runs from the checkout as well

from leasebeat import fencing

TOLD = {
    "SCHEDULE": "payout",
    "SCHEDULE_ID": "7",
    "RUN_KEY": "payout@2026-11-20T03:00:00Z",
    "FIRE_AT": "2026-11-20T03:00:00Z",
    "SHARD": "0",
    "SHARDS": "1",
}
"""What Leasebeat tells both attempts."""

FIRST = {"ATTEMPT": "1", "FENCE": "1795143600000000", "NODE": "web-1", "NODE_ID": "n1"}
SECOND = {"ATTEMPT": "2", "FENCE": "1795143631000000", "NODE": "web-2", "NODE_ID": "n2"}


def task(path: str) -> int:
    """The task itself: nothing here knows which attempt it is."""
    db = sqlite3.connect(path, isolation_level=None)
    print("begun", flush=True)
    sys.stdin.readline()  # the work that takes its time; a machine may stop anywhere in it
    db.execute("BEGIN IMMEDIATE")
    try:
        fencing.check(db.cursor(), "sqlite")
        db.execute("INSERT INTO payments (amount) VALUES (100)")
        db.execute("COMMIT")
    except fencing.Fenced as problem:
        print(f"refused: {problem}")
        return 1
    finally:
        db.close()
    print("paid")
    return 0


def attempt(path: str, told: Mapping[str, str]) -> subprocess.Popen[str]:
    """A process that runs the task as a node would, once it has begun."""
    environ = {**os.environ, **{f"LEASEBEAT_{name}": value for name, value in {**TOLD, **told}.items()}}
    command = [sys.executable, __file__, path]
    child = subprocess.Popen(command, env=environ, stdin=-1, stdout=-1, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    return child


def main() -> None:
    """Run both attempts, the first with a pause in which it misses everything."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/bank.db"
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE payments (amount INTEGER)")
        db.execute(fencing.CREATE["sqlite"])
        first = attempt(path, FIRST)
        first.send_signal(signal.SIGSTOP)  # the machine is paused
        second = attempt(path, SECOND)
        print("attempt 2:", second.communicate("\n")[0], end="")
        first.send_signal(signal.SIGCONT)  # and wakes
        print("attempt 1:", first.communicate("\n")[0], end="")
        print("payments:", db.execute("SELECT count(*) FROM payments").fetchone()[0])
        db.close()


if __name__ == "__main__":
    sys.exit(task(sys.argv[1]) if len(sys.argv) > 1 else main())
