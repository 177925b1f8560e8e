"""`Runtime` on virtual time: what a node of the simulation may ask of its machine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from heapq import heappush
from random import Random
from types import TracebackType

from leasebeat.model.instant import Micros, to_datetime
from leasebeat.testing.simulation.kernel import Process, SimCrash, Strand

_WAKE_UP = 64
"""A thread runs up to this many microseconds after its time."""


class NoLock:
    """Only one strand runs at a time, and none gives up control inside a lock: nothing to do."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class SimWaiter:
    """A Waiter of the simulation."""

    __slots__ = ("_process", "_strand", "_woken")

    def __init__(self, process: Process) -> None:
        self._process = process
        self._strand: Strand | None = None
        self._woken = False

    def wait(self, seconds: float) -> bool:
        process = self._process
        if process.dead:
            raise SimCrash
        kernel = process.kernel
        strand = kernel.current
        assert strand is not None, "waiting outside a strand"
        delay = 0 if self._woken or seconds <= 0 else round(seconds * 1e6)
        self._strand = strand
        drawn = kernel.uniform()
        # As `Strand.park_until`: most of what a simulation does is waiting.
        heappush(kernel.heap, (kernel.now + delay + int(drawn * _WAKE_UP), drawn, strand.fire, strand.epoch))
        kernel.hub.switch()
        self._strand = None
        woken, self._woken = self._woken, False
        return woken

    def wake(self) -> None:
        if self._strand is not None and not self._woken:
            self._strand.ready()
        self._woken = True


class SimRuntime:
    """One process's clocks, ids and threads. Boot times differ between hosts, wall clocks lie."""

    def __init__(self, process: Process, random: Random, booted: Micros) -> None:
        self._process = process
        self._kernel = process.kernel
        self._random = random
        self._booted = booted
        self._lock = NoLock()
        self.skew: Micros = 0  #: how far the host's wall clock is off

    def boottime(self) -> float:
        return (self._kernel.now - self._booted) / 1e6

    def monotonic(self) -> float:
        return (self._kernel.now - self._booted) / 1e6

    def wall(self) -> datetime:
        return to_datetime(self._kernel.now + self.skew)

    def random(self) -> float:
        return self._random.random()

    def new_id(self) -> str:
        return f"{self._random.getrandbits(128):032x}"

    def lock(self) -> NoLock:
        return self._lock

    def waiter(self) -> SimWaiter:
        return SimWaiter(self._process)

    def start(self, name: str, target: Callable[[], None]) -> Strand:
        if self._process.dead:
            raise SimCrash
        return self._process.spawn(name, target)
