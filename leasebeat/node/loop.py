"""One small loop for every service of a node.

A service does one turn of its work in `run_once()`, never sleeps, and says how long it may be left
alone. The loop calls it, catches what it raises, and waits. That is all that a thread of a node is,
and what lets the simulation run the same services in virtual time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from leasebeat.errors import LeasebeatError
from leasebeat.logs import event
from leasebeat.runtime import Runtime, Waiter

IDLE_S = 1.0
"""How long a service that looks around by itself may be left alone."""

WOKEN_S = 30.0
"""How long one may be left alone that is woken when there is something to do."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0
_SAY_AGAIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn came to: how many things it did, and seconds until it wants the next."""

    wait_s: float = IDLE_S
    did: int = 0


AT_ONCE = Turn(0.0)


class Service(Protocol):
    """A part of a node that works in turns."""

    @property
    def name(self) -> str:
        """Of its thread, and in the log."""
        ...

    @property
    def waiter(self) -> Waiter:
        """Wake it to ask for a turn now."""
        ...

    def run_once(self) -> Turn: ...


class Loop:
    """Runs a service until told to stop. A turn that raises is followed by a pause, then by the next turn."""

    def __init__(self, service: Service, runtime: Runtime, stopped: Callable[[], bool]) -> None:
        self._service = service
        self._runtime = runtime
        self._stopped = stopped
        self._failures = 0
        self._said = float("-inf")

    def run(self) -> None:
        """Returns once `stopped()` says so, at the end of the present turn."""
        while not self._stopped():
            self._service.waiter.wait(self._turn())

    def _turn(self) -> float:
        try:
            turn = self._service.run_once()
        except (Exception, SystemExit) as problem:  # one bad turn must not end a service
            return self._failed(problem)
        if self._failures:
            event("INFO", "service_recovered", f"{self._service.name} works again", failures=self._failures)
        self._failures = 0
        return turn.wait_s

    def _failed(self, problem: BaseException) -> float:
        self._failures += 1
        now = self._runtime.monotonic()
        if self._failures == 1 or now - self._said >= _SAY_AGAIN_S:
            self._said = now
            level = "WARNING" if isinstance(problem, LeasebeatError) else "ERROR"
            event(level, "service_failed", f"{self._service.name} failed; it goes on", error=problem)
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10))
        return pause * (0.5 + self._runtime.random() / 2)
