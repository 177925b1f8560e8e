"""A runtime whose clocks stand still until a test moves them. For services driven by `run_once()`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

from leasebeat.runtime import Lock, Task, Waiter


class ManualWaiter:
    """Never sleeps; remembers whether it was woken."""

    def __init__(self) -> None:
        self.woken = False

    def wait(self, seconds: float) -> bool:
        """Whether it was woken since the last wait."""
        del seconds
        woken, self.woken = self.woken, False
        return woken

    def wake(self) -> None:
        """Remember it."""
        self.woken = True


class ManualRuntime:
    """Boot time and monotonic time are `now` seconds; the wall clock is 2026-11-20 plus that."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.wall_offset = 0.0
        self._ids = itertools.count(1)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def boottime(self) -> float:
        """Seconds."""
        return self.now

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def wall(self) -> datetime:
        """UTC as this host has it."""
        return datetime(2026, 11, 20, tzinfo=UTC) + timedelta(seconds=self.now + self.wall_offset)

    def random(self) -> float:
        """Always the middle."""
        return 0.5

    def new_id(self) -> str:
        """1, 2, 3, ... as 32 digits."""
        return f"{next(self._ids):032x}"

    def lock(self) -> Lock:
        """No lock: there is one thread."""
        return nullcontext()

    def waiter(self) -> Waiter:
        """A ManualWaiter."""
        return ManualWaiter()

    def start(self, name: str, target: Callable[[], None]) -> Task:
        """Refused: a test that needs threads uses the real runtime."""
        raise AssertionError(f"the manual runtime starts no threads, but {name} ({target}) asked for one")
