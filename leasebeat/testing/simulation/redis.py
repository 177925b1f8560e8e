"""The simulated gate: one Redis for all, which may vanish, forget, or lose its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from leasebeat.errors import GateUnavailable
from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.model.run import RunKey
from leasebeat.testing.simulation.kernel import Kernel, Process, SimCrash

TIME_OUT: Micros = SECOND // 5
TTL: Micros = 60 * SECOND


class Redis:
    """The server. `present` False: the fleet runs without a gate."""

    def __init__(self, kernel: Kernel, random: Random) -> None:
        self.kernel = kernel
        self.random = random
        self.keys: dict[RunKey, tuple[str, Instant]] = {}
        self.listeners: list[tuple[Process, Callable[[str], None]]] = []
        self.down = False
        self.lost_replies = 0.0  #: the part of the answers that get lost
        self.lost = 0

    def flush(self) -> None:
        """FLUSHALL, or a restart without persistence."""
        self.keys.clear()

    def set_if_new(self, key: RunKey, token: str) -> bool:
        """SET NX PX; True also where `token` is what the key holds."""
        held = self.keys.get(key)
        if held is not None and held[1] > self.kernel.now:
            return held[0] == token
        self.keys[key] = (token, self.kernel.now + TTL)
        return True


class SimGate:
    """The port `Gate` for one process."""

    def __init__(self, redis: Redis, process: Process) -> None:
        self._redis = redis
        self._process = process
        self.spring: Callable[[str, str], None] = lambda name, when: None

    def ask(self, fires: Sequence[RunKey], token: str) -> list[bool]:
        if self._process.dead:
            raise SimCrash
        redis = self._redis
        self.spring("ask", "before")
        if redis.down:
            self._time_out()
        answers = [redis.set_if_new(key, token) for key in fires]
        if redis.lost_replies and redis.random.random() < redis.lost_replies:
            redis.lost += 1
            self._time_out()
        self.spring("ask", "after")
        return answers

    def notify(self, topic: str) -> None:
        redis = self._redis
        if self._process.dead:
            raise SimCrash
        if redis.down:
            return
        for process, heard in redis.listeners:
            if not process.dead and not process.paused:
                redis.kernel.after(int(redis.random.random() * 5000), _tell, (process, heard, topic))

    def listen(self, heard: Callable[[str], None]) -> None:
        self._redis.listeners = [each for each in self._redis.listeners if not each[0].dead]
        self._redis.listeners.append((self._process, heard))

    def close(self) -> None:
        """The connection goes with the process."""

    def _time_out(self) -> None:
        kernel = self._redis.kernel
        strand = kernel.current
        assert strand is not None
        strand.park_until(kernel.now + int(self._redis.random.random() * TIME_OUT))
        raise GateUnavailable


def _tell(message: tuple[Process, Callable[[str], None], str]) -> None:
    process, heard, topic = message
    if not process.dead and not process.paused:
        heard(topic)
