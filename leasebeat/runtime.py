"""The only door to time, randomness, ids and threads.

Everything under `leasebeat` that waits, reads a clock, draws a number or starts a thread asks a
`Runtime` for it. The simulation hands in another one, with virtual time and threads that run one
at a time in an order drawn from a seed; nothing else changes. `pyproject.toml` bans the direct
calls (ruff TID251) everywhere else.

Three clocks, never mixed:

* `boottime()`, CLOCK_BOOTTIME in seconds: leases. It runs on through a suspend and cannot be set.
* `monotonic()`, CLOCK_MONOTONIC in seconds: waiting and measuring.
* `wall()`, the host's idea of UTC: what people read in logs. Nothing is ever decided by it.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol


class Waiter(Protocol):
    """Sleeping that can be ended from outside and cannot lose a wake-up."""

    def wait(self, seconds: float) -> bool:
        """Sleep at most `seconds`; True if woken. A wake that came before the sleep counts."""
        ...

    def wake(self) -> None:
        """End the present wait, or the next one. Safe from any thread and from signal handlers."""
        ...


class Lock(Protocol):
    """Mutual exclusion inside one process. Never held across a call to a port (store, gate, executor)."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> object: ...


class Task(Protocol):
    """A started thread."""

    def join(self, seconds: float) -> bool:
        """Wait for its end at most `seconds`; True if it has ended."""
        ...


class Runtime(Protocol):
    """What a process may ask of the machine it runs on."""

    def boottime(self) -> float: ...

    def monotonic(self) -> float: ...

    def wall(self) -> datetime: ...

    def random(self) -> float:
        """A number in [0, 1). For pauses between retries only: no identity ever comes from it."""
        ...

    def new_id(self) -> str:
        """A fresh id, 32 lower-case hexadecimal digits."""
        ...

    def lock(self) -> Lock: ...

    def waiter(self) -> Waiter: ...

    def start(self, name: str, target: Callable[[], None]) -> Task:
        """Run `target` in a daemon thread called `name`."""
        ...


class _EventWaiter:
    """A Waiter over threading.Event, whose wait is monotonic and therefore deaf to clock changes."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def wait(self, seconds: float) -> bool:
        # Clear only after a wake was seen: one that arrives between wait and clear asks for nothing
        # that the caller is not about to look at anyway.
        woken = self._event.wait(max(0.0, seconds))
        if woken:
            self._event.clear()
        return woken

    def wake(self) -> None:
        self._event.set()


class _ThreadTask:
    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    def join(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()


class SystemRuntime:
    """The real machine."""

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> datetime:
        return datetime.now(UTC)

    def random(self) -> float:
        return random.random()

    def new_id(self) -> str:
        return uuid.uuid4().hex

    def lock(self) -> Lock:
        return threading.Lock()

    def waiter(self) -> Waiter:
        return _EventWaiter()

    def start(self, name: str, target: Callable[[], None]) -> Task:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        return _ThreadTask(thread)
