"""Virtual time, and threads that run one at a time.

A `Process` is a simulated worker, a `Strand` one of its threads (a greenlet). Whoever has nothing to
do parks; the kernel then takes the next entry from its heap, moves the clock there and runs it.
What is due at the same microsecond runs in an order drawn from the seed.

Clocks are whole microseconds of UTC. A crash throws `SimCrash` into every strand wherever it is
parked, which is inside a call to a port: nothing else ever gives up control. A paused process
(SIGSTOP) keeps what has come due for it until it goes on; the clocks do not wait.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from greenlet import getcurrent, greenlet

from leasebeat.model.instant import Instant, Micros

_SPIN = 200_000
"""More events than this at one microsecond mean a loop that never waits."""


class SimCrash(BaseException):
    """kill -9 of the worker: no `except Exception` may see it."""


class Stuck(AssertionError):
    """A loop ran again and again without letting time pass."""


class Kernel:
    """The heap of what happens next."""

    __slots__ = ("_same", "current", "heap", "hub", "now", "random", "uniform")

    def __init__(self, start: Instant, random: Random) -> None:
        self.now = start
        self.random = random
        self.uniform = random.random
        self.current: Strand | None = None
        self.heap: list[tuple[Instant, float, Callable[[Any], None], Any]] = []
        self.hub = getcurrent()
        self._same = 0

    def at(self, when: Instant, action: Callable[[Any], None], argument: object = None) -> None:
        """Call `action(argument)` at `when`; the past means now. It must not park."""
        heappush(self.heap, (when if when > self.now else self.now, self.uniform(), action, argument))

    def after(self, delay: Micros, action: Callable[[Any], None], argument: object = None) -> None:
        """Call `action(argument)` in `delay` microseconds."""
        heappush(self.heap, (self.now + delay, self.uniform(), action, argument))

    def run(self, until: Instant) -> None:
        """Let everything happen that is due before `until`."""
        heap = self.heap
        self.hub = getcurrent()
        while heap and heap[0][0] < until:
            when, _, action, argument = heappop(heap)
            if when != self.now:
                self.now = when
                self._same = 0
            else:
                self._same += 1
                if self._same > _SPIN:
                    raise Stuck(f"no time passes any more; {argument!r} is next")
            action(argument)
        self.now = until


class Process:
    """A simulated worker process: strands that are paused and die together."""

    __slots__ = ("_held", "dead", "kernel", "name", "paused", "resumed", "strands")

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.dead = False
        self.paused = False
        self.strands: list[Strand] = []
        self.resumed: list[Callable[[], None]] = []  #: what to do when it goes on after a pause
        self._held: list[tuple[Strand, int]] = []

    def spawn(self, name: str, target: Callable[[], None]) -> Strand:
        """A new thread, started now."""
        strand = Strand(self, name, target)
        self.strands.append(strand)
        self.kernel.after(0, strand.fire, 0)
        return strand

    def hold(self, strand: Strand, epoch: int) -> None:
        """Keep a wake-up that came during the pause."""
        self._held.append((strand, epoch))

    def pause(self) -> None:
        """SIGSTOP."""
        self.paused = True

    def resume(self) -> None:
        """SIGCONT: what came due meanwhile is due now, in any order."""
        self.paused = False
        held, self._held = self._held, []
        for strand, epoch in held:
            self.kernel.after(0, strand.fire, epoch)
        waiting, self.resumed = self.resumed, []
        for action in waiting:
            action()

    def crash(self) -> None:
        """Kill -9. Called from the heap, never from a strand."""
        self.dead = True
        self.paused = False
        strands, self.strands = self.strands, []
        for strand in strands:
            strand.kill()


class Strand:
    """A thread of a process."""

    __slots__ = ("_joiners", "_target", "ended", "epoch", "fire", "kernel", "name", "process", "thread")

    def __init__(self, process: Process, name: str, target: Callable[[], None]) -> None:
        self.process = process
        self.kernel = process.kernel
        self.name = name
        self.epoch = 0  #: grows at each wake-up, so that the timers that lost are known by their number
        self.ended = False
        self.fire = self._fire  # bound once: it goes into the heap with every wait
        self.thread = greenlet(self._run, parent=process.kernel.hub)
        self._target = target
        self._joiners: list[Strand] = []

    def __repr__(self) -> str:
        return f"{self.process.name}/{self.name}"

    def park_until(self, when: Instant) -> None:
        """Give up control until `when`, or until `ready`. Only from the strand itself."""
        kernel = self.kernel
        heappush(kernel.heap, (when, kernel.uniform(), self.fire, self.epoch))
        kernel.hub.switch()

    def park(self) -> None:
        """Give up control until `ready`."""
        self.kernel.hub.switch()

    def ready(self) -> None:
        """End the present park now."""
        self.epoch += 1
        self.kernel.after(0, self.fire, self.epoch)

    def join(self, seconds: float) -> bool:
        """Wait for its end at most `seconds`; True if it has ended."""
        kernel = self.kernel
        joiner = kernel.current
        if joiner is None or joiner.process.dead:
            raise SimCrash
        if not self.ended:
            self._joiners.append(joiner)
            joiner.park_until(kernel.now + round(seconds * 1e6))
        return self.ended

    def kill(self) -> None:
        """Throw the crash into it where it is parked."""
        self.epoch += 1
        if self.thread:  # started, and not ended
            self.thread.throw(SimCrash)

    def _fire(self, epoch: int) -> None:
        if epoch != self.epoch:
            return  # woken otherwise meanwhile, or dead
        if self.process.paused:
            self.process.hold(self, epoch)
            return
        self.epoch += 1
        self.kernel.current = self
        self.thread.switch()
        self.kernel.current = None

    def _run(self) -> None:
        try:
            if not self.process.dead:
                self._target()
        except SimCrash:
            assert self.process.dead, "a crash is thrown by Process.crash only"
        self.ended = True
        for joiner in self._joiners:
            joiner.ready()
