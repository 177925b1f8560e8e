"""Real time behind the simulation's interface: what calls things at their instant, one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.runtime import Runtime

_Action = Callable[[Any], None]


def lead() -> Micros:
    """How far the wall clock, which is the store's too, is ahead of CLOCK_BOOTTIME."""
    return (time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 1000


def store_now() -> Instant:
    """The store's clock, for it runs on this host: evidence of tasks and of the server in one order."""
    return time.time_ns() // 1000


class Timers:
    """Stands in for the simulation's `Kernel`. Actions run in one thread, under `lock`."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self.lock = threading.RLock()
        self.lead = lead()
        self.failures: list[BaseException] = []
        self._heap: list[tuple[Instant, int, _Action, object]] = []
        self._numbers = count()
        self._waiter = runtime.waiter()
        self._ended = False
        self._task = runtime.start(name, self._run)

    @property
    def now(self) -> Instant:
        """CLOCK_BOOTTIME, told as an instant: what deadlines and delays go by."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000 + self.lead

    def at(self, when: Instant, action: _Action, argument: object = None) -> None:
        """Call `action(argument)` at `when`; the past means now."""
        with self.lock:
            heappush(self._heap, (when, next(self._numbers), action, argument))
        self._waiter.wake()

    def after(self, delay: Micros, action: _Action, argument: object = None) -> None:
        """Call `action(argument)` in `delay` microseconds."""
        self.at(self.now + delay, action, argument)

    def stop(self) -> None:
        """End after the present action; what is not due yet never happens."""
        self._ended = True
        self._waiter.wake()
        self._task.join(10.0)

    def _run(self) -> None:
        while not self._ended:
            self._waiter.wait(self._next())

    def _next(self) -> float:
        """Run the next action if it is due; seconds until the one after it."""
        with self.lock:
            if not self._heap:
                return 1.0
            when, _, action, argument = self._heap[0]
            if when > self.now:
                return min(1.0, (when - self.now) / SECOND)
            heappop(self._heap)
            try:
                action(argument)
            except Exception as problem:
                self.failures.append(problem)
        return 0.0
