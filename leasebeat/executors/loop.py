"""One thread that watches the descriptors of all child processes and runs what is due.

Executors keep their state in this thread alone: everything that touches it goes through `call`, so
there are no locks and no order of locks.
"""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
from collections import deque
from collections.abc import Callable

from leasebeat import logs
from leasebeat.runtime import Runtime, Task

Call = Callable[[], None]

MOST_PATIENCE_S = 60.0
"""How long the loop waits at once: the system refuses waits of more than 2^31 ms."""

STUMBLE_S = 0.1
"""The pause after the descriptors could not be looked at, so that a lasting error does not spin."""


class Timer:
    """Something that is to happen at `when`, seconds of the monotonic clock, unless cancelled."""

    __slots__ = ("call", "when")

    def __init__(self, when: float, call: Call) -> None:
        self.when = when
        self.call: Call | None = call

    def cancel(self) -> None:
        """Do not do it. Without effect once it was done."""
        self.call = None


class Loop:
    """Descriptors, timers and calls from other threads, served one after the other in one thread.

    Nothing that it runs may block. An error in a call, or in the loop itself, is a bug: it is logged,
    and the loop goes on, because the other tasks still need it.
    """

    def __init__(self, runtime: Runtime, name: str = "children") -> None:
        self._runtime = runtime
        self._name = name
        self._lock = runtime.lock()
        self._calls: deque[Call] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._woken)
        self._thread: Task | None = None
        self._closed = False

    def call(self, function: Call) -> None:
        """Run it in the loop's thread. From any thread; after `close` it is dropped."""
        with self._lock:
            if self._closed:
                return
            if self._thread is None:
                self._thread = self._runtime.start(self._name, self._run)
            self._calls.append(function)
            self._wake()

    def at(self, when: float, function: Call) -> Timer:
        """Run it at `when`, seconds of the monotonic clock. Only from the loop's thread."""
        timer = Timer(when, function)
        heapq.heappush(self._timers, (when, next(self._count), timer))
        return timer

    def after(self, seconds: float, function: Call) -> Timer:
        """Run it `seconds` from now. Only from the loop's thread."""
        return self.at(self._runtime.monotonic() + seconds, function)

    def watch(self, fd: int, readable: Call) -> None:
        """Run `readable` whenever something can be read from `fd`. Only from the loop's thread."""
        self._selector.register(fd, selectors.EVENT_READ, readable)

    def unwatch(self, fd: int) -> None:
        """Stop that, before `fd` is closed. Only from the loop's thread."""
        self._selector.unregister(fd)

    def close(self) -> None:
        """Finish the calls already made, then end the thread."""
        with self._lock:
            thread, self._closed = self._thread, True
            self._wake()
        if thread is None:
            self._free()
        else:
            thread.join(5.0)

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b".")
        except BlockingIOError:
            return  # full of wake-ups that were not seen yet

    def _woken(self) -> None:
        os.read(self._wake_read, 4096)

    def _run(self) -> None:
        while not self._closed or self._calls:
            if not self._guard(self._look):
                self._runtime.waiter().wait(STUMBLE_S)
            # Those that are there now; what they add comes after the next look at the descriptors.
            for _ in range(len(self._calls)):
                self._guard(self._calls.popleft())
            self._guard(self._run_timers)
        self._free()

    def _look(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            # A call earlier in this round may have closed it, and its number may be another's now.
            if self._selector.get_map().get(key.fd) is key:
                self._guard(key.data)

    def _patience(self) -> float:
        if self._calls:
            return 0.0
        if not self._timers:
            return MOST_PATIENCE_S
        return min(MOST_PATIENCE_S, max(0.0, self._timers[0][0] - self._runtime.monotonic()))

    def _run_timers(self) -> None:
        now = self._runtime.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.call is not None:
                self._guard(timer.call)

    def _guard(self, function: Call) -> bool:
        """Whether it went well."""
        try:
            function()
        # All of them: with this thread, every run of this worker would be left running for ever.
        except BaseException as problem:
            text = f"a call in the thread {self._name} failed"
            logs.event("ERROR", "loop_error", text, problem=problem)
            return False
        return True

    def _free(self) -> None:
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
