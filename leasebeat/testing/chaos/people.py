"""What people do meanwhile, by SQL: they edit schedules and ask for runs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

import pymysql

from leasebeat.runtime import SystemRuntime
from leasebeat.testing.chaos.ground import Ground

__all__ = ["People", "at_work"]

EVERY_S = 4.0


@dataclass(slots=True)
class People:
    """Edits that change no instant, and manual runs. `refused` is what the server did not take."""

    ground: Ground
    random: Random
    counts: Counter[str] = field(default_factory=Counter[str])
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """One thing after the other, until `ended`."""
        while not self.ended.wait(self.random.uniform(0.5, 1.5) * EVERY_S):
            what = self.random.choice(("edits", "manual runs"))
            statement = self._edit() if what == "edits" else self._manual()
            try:
                self.ground.fleet.store.rows(statement)
                self.counts[what] += 1
            except (pymysql.MySQLError, OSError):
                self.counts["refused"] += 1  # the server is away; it may have been done all the same
                time.sleep(0.5)

    def _edit(self) -> str:
        number = self.random.randrange(self.ground.plan.schedules)
        change = self.random.choice(
            (f"priority = {self.random.randrange(9)}", f"description = 'edit {self.random.random()}'")
        )
        return f"UPDATE schedules SET {change} WHERE name = 'job-{number}'"

    def _manual(self) -> str:
        return "INSERT INTO runs (schedule_id) SELECT id FROM schedules WHERE name = 'byhand-0'"


@contextmanager
def at_work(ground: Ground, random: Random) -> Generator[People]:
    """People at work for the time of the block."""
    people = People(ground, random)
    task = SystemRuntime().start("people", people.run)
    try:
        yield people
    finally:
        people.ended.set()
        task.join(70)
