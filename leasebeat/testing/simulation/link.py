"""The way from a node to the simulated store, and what may happen on it.

    request -> snapshot -> commit -> reply

Most statements run from start to end at once, which costs nothing. Those that the weather picks
become a `Flight`: each step is an event of its own, so that other strands run in between, and the
flight belongs to the server: it goes on when its client has timed out, is stopped or dead (a zombie
statement). A transaction needs its client again before its commit (`TRIP`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from leasebeat.errors import Busy, StoreError, Unavailable, Unknown
from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.testing.simstore import Server
from leasebeat.testing.simstore.locks import TRIP, Key
from leasebeat.testing.simulation.kernel import Kernel, Process, SimCrash, Strand

READ_TIME_OUT: Micros = 5 * SECOND // 2
LOCK_WAIT: Micros = SECOND
_SHORT: Micros = 20_000
_MEDIUM: Micros = SECOND // 2
_LONG: Micros = 6 * SECOND


@dataclass(slots=True)
class Weather:
    """What the links to the store are like. Shared by all nodes of a world."""

    rough: float = 0.03  #: the part of the statements that is taken apart
    usual: float = 0.03  #: the same when nothing special is wrong
    kinds: tuple[str, ...] = ("slow", "late", "request lost", "reply lost", "busy")
    down: bool = False  #: nobody answers: connections are refused
    frozen: bool = False  #: connections stand, nothing comes back, until the server goes on
    restarts: int = 0  #: transactions and connections of an earlier life are gone
    idle_cut: Micros = 20 * SECOND  #: `wait_timeout`: how long a transaction may wait for its client
    counts: Counter[str] = field(default_factory=Counter[str])


class StoreLink:
    """The port `Store` for one process."""

    def __init__(
        self, kernel: Kernel, server: Server, process: Process, weather: Weather, random: Random
    ) -> None:
        self.kernel = kernel
        self.server = server
        self.process = process
        self.weather = weather
        self.random = random
        self.cut = False  #: this host cannot reach the store
        self.trap: str | None = None  #: die at this point: "claim before", "claim after", "* before", ...
        self.crash: Callable[[], None] = process.crash
        self.statements = 0
        self._restarts = weather.restarts
        self._uniform = random.random

    def forget_connection(self) -> None:
        """The next statement opens another."""

    def close(self) -> None:
        """Nothing is kept."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.server, name)
        weather, process, uniform = self.weather, self.process, self._uniform

        def call(*arguments: Any, **named: Any) -> Any:
            if process.dead:
                raise SimCrash
            self.statements += 1
            if self.trap is not None:
                self.spring(name, "before")
            if uniform() < weather.rough or weather.down or weather.frozen or self.cut:
                answer = self._rough(lambda: method(*arguments, **named))
            elif self._restarts != weather.restarts:
                self._restarts = weather.restarts
                raise Unavailable("the server has gone away")
            else:
                answer = method(*arguments, **named)
                if answer.__class__ is _GENERATOR:
                    answer = self._smooth(answer)
            if self.trap is not None:
                self.spring(name, "after")
            return answer

        setattr(self, name, call)
        return call

    def spring(self, name: str, when: str) -> None:
        """Die here if the trap says so. Also called by the other ports of the process."""
        if self.trap in (f"{name} {when}", f"* {when}"):
            self.trap = None
            self.kernel.after(0, lambda _: self.crash())
            _strand(self.kernel).park()

    def _smooth(self, steps: Generator[Any, None, Any]) -> object:
        try:
            while True:
                step = next(steps)
                if step.__class__ is tuple:
                    return _Flight(self, None, _begun, steps).await_lock(cast("Key", step))
        except StopIteration as end:
            return cast("object", end.value)

    def _rough(self, begin: Callable[[], object]) -> object:
        weather = self.weather
        if weather.down or self.cut:
            self._unreachable()
        kind = self.random.choice(weather.kinds)
        weather.counts[kind] += 1
        if kind == "request lost":
            self._unreachable()
        if kind == "busy":
            raise Busy("deadlock found when trying to get lock")
        return _Flight(self, kind, begin).fly()

    def _unreachable(self) -> None:
        """Refused at once, or no answer until the time-out: the client cannot know that nothing arrived."""
        if self._uniform() < 0.5:
            raise Unavailable("connection refused")
        strand = _strand(self.kernel)
        strand.park_until(self.kernel.now + READ_TIME_OUT)
        raise Unknown("timed out")


Steps = Generator[Any, None, Any]
_GENERATOR = type(_ for _ in ())


def _begun() -> object:
    raise AssertionError("this statement has begun long ago")


def _strand(kernel: Kernel) -> Strand:
    assert kernel.current is not None, "a statement outside a strand"
    return kernel.current


class _Flight:
    """A statement on its way."""

    __slots__ = (
        "_begin_it",
        "_blocked",
        "_born",
        "_kernel",
        "_kind",
        "_life",
        "_link",
        "_name",
        "_steps",
        "_strand",
        "answer",
        "left",
    )

    def __init__(
        self, link: StoreLink, kind: str | None, begin: Callable[[], object], steps: Steps | None = None
    ) -> None:
        self._link = link
        self._kind = kind
        self._begin_it = begin
        self._steps = steps
        self._kernel = link.kernel
        self._strand = _strand(link.kernel)
        self._life = link.weather.restarts
        self._born = link.kernel.now
        self._blocked: Instant | None = None
        self.answer: tuple[object, Exception | None] | None = None
        self.left = False  #: the client waits no longer

    # the client's side

    def fly(self) -> object:
        """Send it, wait for the reply. Raises what the statement raises, or Unknown."""
        self._kernel.after(self._delay(), self._begin)
        return self._wait()

    def await_lock(self, key: Key) -> object:
        """Go on with a statement that ran into a lock."""
        self._wait_for(key)
        return self._wait()

    def _wait(self) -> object:
        time_out = self._born + READ_TIME_OUT
        while self.answer is None:
            self._strand.park_until(max(time_out, self._kernel.now))
            # The reply of a paused client lies in its socket: it is there when the client looks.
            if self.answer is None and self._kernel.now >= time_out:
                self.left = True
                raise Unknown("timed out")
        value, problem = self.answer
        if problem is not None:
            raise problem
        return value

    # the server's side

    def _delay(self) -> Micros:
        uniform = self._link.random.random
        scale = _SHORT if self._kind == "brisk" or uniform() < 0.5 else _MEDIUM
        if self._kind == "late" and uniform() < 0.5:
            scale = _LONG
        return int(uniform() * scale)

    def _begin(self, _: object) -> None:
        weather = self._link.weather
        if weather.restarts != self._life:
            self._reply(None, Unknown("the server went away"))
        elif weather.frozen:
            self._kernel.after(SECOND // 10, self._begin)  # it lies in the socket of the stopped server
        else:
            self._start()

    def _start(self) -> None:
        try:
            begun = self._begin_it()
        except StoreError as problem:
            self._reply(None, problem)
            return
        if begun.__class__ is _GENERATOR:
            self._steps = cast("Steps", begun)
            self._kernel.after(self._delay(), self._step)
        else:
            self._reply(begun, None)

    def _step(self, _: object) -> None:
        weather = self._link.weather
        if weather.restarts != self._life:
            self._roll_back()
        elif weather.frozen:
            self._kernel.after(SECOND // 10, self._step)
        else:
            self._advance()

    def _open_steps(self) -> Steps:
        assert self._steps is not None, "a read has one step"
        return self._steps

    def _advance(self) -> None:
        try:
            step = next(self._open_steps())
        except StopIteration as end:
            self._reply(end.value, None)
        except StoreError as problem:
            self._reply(None, problem)
        else:
            if step is None:
                self._kernel.after(self._delay(), self._step)
            elif step is TRIP:
                self._kernel.after(self._delay(), self._trip)
            else:
                self._wait_for(cast("Key", step))

    def _trip(self, since: Instant | None) -> None:
        """The client must send the COMMIT."""
        process = self._link.process
        since = since or self._kernel.now
        if process.dead or self.left or self._kernel.now - since > self._link.weather.idle_cut:
            self._roll_back()
        elif process.paused:
            self._kernel.after(SECOND // 10, self._trip, since)
        else:
            self._step(None)

    def _wait_for(self, key: Key) -> None:
        """Another statement holds `key`: be called when it is free, but at most for the lock wait."""
        now = self._kernel.now
        if self._blocked is None:
            self._blocked = now
        waiting = self._link.server.locks.waiting.setdefault(key, [])
        served = False

        def wake(timed_out: bool) -> None:
            nonlocal served
            if served:
                return
            served = True
            if timed_out:
                self._give_up()
            else:
                self._kernel.after(0, self._step)

        waiting.append(lambda: wake(timed_out=False))
        self._kernel.at(self._blocked + LOCK_WAIT, lambda _: wake(timed_out=True))

    def _give_up(self) -> None:
        self._link.weather.counts["lock wait"] += 1
        try:
            self._open_steps().throw(Busy("lock wait timeout exceeded"))
        except StopIteration as end:
            self._reply(end.value, None)
        except StoreError as problem:
            self._reply(None, problem)

    def _roll_back(self) -> None:
        self._open_steps().close()
        self._reply(None, Unknown("the server went away"))

    def _reply(self, value: object, problem: Exception | None) -> None:
        if self._kind == "reply lost":
            if self._link.random.random() < 0.5:
                return  # the client's time-out tells it
            value, problem = None, Unknown("lost connection during query")
        self._kernel.after(self._delay(), self._deliver, (value, problem))

    def _deliver(self, answer: tuple[object, Exception | None]) -> None:
        if not self.left and not self._link.process.dead:
            self.answer = answer
            self._strand.ready()
