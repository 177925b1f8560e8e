"""The gate in front of the store: `SET NX` in Redis, and the channel on which nodes wake each other.

A question is one script call on a connection that is already open. Opening one (names, TLS, password)
is the work of a thread of its own, so that a fire never waits for it. This is the circuit breaker:

    closed      a connection that has passed a trial question; fires are asked for
    open        the first error closes the connection; fires go on to the store at once
    half open   after a pause of 1, 2, 4, then 5 s the thread connects and asks the trial question

So a Redis that is dead, frozen, full, read-only or busy costs one fire 0.2 s and the next ones nothing.
What takes writes is looked for anew with each connection: a fail-over is no more than a lost connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import cast

from leasebeat.errors import GateUnavailable
from leasebeat.gate.deployment import Deployment, Links
from leasebeat.gate.link import TIMEOUT_S
from leasebeat.logs import event
from leasebeat.model.instant import SECOND
from leasebeat.model.run import RunKey
from leasebeat.runtime import Runtime, Task

LONGEST_PAUSE_S = 5.0
RELISTEN_S = 1.0
"""How long a listener that lost its connection waits before the next try."""

IDLE_CHECK_S = 15.0
"""How often an idle connection is tried: servers and firewalls close those that nobody uses."""

BATCH = 1000
"""The most keys of one call: it holds the server for a few milliseconds, and others use it too."""

_HEAR_S = 0.5
_SCRIPT = files("leasebeat.gate").joinpath("ask.lua").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class GateCounters:
    """How the fires fared that were asked for: asked = won + lost + failed + skipped."""

    asked: int = 0
    won: int = 0
    lost: int = 0
    failed: int = 0  #: Redis gave no usable answer
    skipped: int = 0  #: not sent, as there was no usable connection


class RedisGate:
    """The gate over a Redis. Safe to use from several threads.

    `deployment` should wait for nothing longer than TIMEOUT_S. `installation` keeps fleets that share a
    Redis apart; `ttl_s` is how long a fire stays taken, which matters for speed only.
    """

    def __init__(
        self, deployment: Deployment, installation: str, runtime: Runtime, ttl_s: float = 10.0
    ) -> None:
        self._deployment = deployment
        self._runtime = runtime
        self._prefix = f"lb:{installation}"
        self._ttl_ms = max(1, round(ttl_s * 1000))
        self._lock = runtime.lock()
        self._links: Links | None = None
        self._failures = 0  #: since Redis last answered
        self._problem = "not connected yet"
        self._told = False  #: the log says that Redis is left out
        self._counters = GateCounters()
        self._ended = False
        self._tried = False
        self._first_try, self._wake, self._relisten = (runtime.waiter() for _ in range(3))
        self._tasks: list[Task] = [runtime.start("gate", self._keep_connected)]

    @property
    def counters(self) -> GateCounters:
        """The counts since the start."""
        return self._counters

    @property
    def usable(self) -> bool:
        """Whether the breaker is closed: fires are asked for."""
        return self._links is not None

    # the port

    def ask(self, fires: Sequence[RunKey], token: str) -> list[bool]:
        """See the port. The token must be new for each life of a node."""
        answers: list[bool] = []
        for start in range(0, len(fires), BATCH):
            answers += self._ask([self._key(fire) for fire in fires[start : start + BATCH]], token)
        return answers

    def notify(self, topic: str) -> None:
        """See the port."""
        with suppress(GateUnavailable):  # who misses it polls
            self._call(self._prefix, "PUBLISH", self._prefix, topic)

    def listen(self, heard: Callable[[str], None]) -> None:
        """See the port. A node hears itself too. What is said while the connection is lost is lost."""
        self._tasks.append(self._runtime.start("gate-listener", partial(self._keep_listening, heard)))

    def close(self) -> None:
        """End the connections and threads. Whoever asks from now on goes on to the store."""
        self._ended = True
        self._wake.wake()
        self._relisten.wake()
        for task in self._tasks:
            task.join(2 * _HEAR_S)

    # questions

    def _key(self, fire: RunKey) -> str:
        second, micros = divmod(fire.fire_at, SECOND)
        return f"{self._prefix}:{{{second}}}:{micros}:{fire.schedule_id}:{fire.shard}"

    def _ask(self, keys: list[str], token: str) -> list[bool]:
        try:
            answers = _answers(self._call(keys[0], *self._question(keys, token)), len(keys))
        except _LeftAlone:
            self._count(len(keys), skipped=len(keys))
            raise
        except GateUnavailable:
            self._count(len(keys), failed=len(keys))
            raise
        self._count(len(keys), won=sum(answers), lost=len(keys) - sum(answers))
        return answers

    def _question(self, keys: list[str], token: str) -> tuple[str | int, ...]:
        # The text goes along each time: a server that has forgotten the script needs no second question.
        return ("EVAL", _SCRIPT, len(keys), *keys, token, self._ttl_ms)

    def _call(self, key: str, *command: str | int) -> object:
        """Ask the server that has `key`."""
        return self._with(lambda links: links.of(key).call(*command))

    def _with(self, ask: Callable[[Links], object]) -> object:
        if not self._tried:
            self._first_try.wait(TIMEOUT_S)  # just started: the first connection is on its way
        try:
            with self._lock:
                return self._alone_with(ask)
        except _LeftAlone:
            raise
        except GateUnavailable as problem:
            self._failed(problem)
            self._wake.wake()
            raise

    def _alone_with(self, ask: Callable[[Links], object]) -> object:
        if self._links is None:
            raise _LeftAlone(f"Redis is left alone until it answers again; the last time: {self._problem}")
        try:
            reply = ask(self._links)
        except GateUnavailable:
            # Before the lock is free: others who wait for it go on to the store.
            self._links.close()
            self._links = None
            raise
        self._failures = 0
        return reply

    def _count(self, asked: int, won: int = 0, lost: int = 0, failed: int = 0, skipped: int = 0) -> None:
        with self._lock:
            was = self._counters
            self._counters = GateCounters(
                was.asked + asked, was.won + won, was.lost + lost, was.failed + failed, was.skipped + skipped
            )

    # the breaker

    def _failed(self, problem: GateUnavailable) -> None:
        with self._lock:
            self._failures += 1
            self._problem = str(problem)
            told, self._told = self._told, True
        if not told:
            event("WARNING", "gate_lost", "Redis is left out: fires go straight to the store", error=problem)

    def _keep_connected(self) -> None:
        while not self._ended:
            if self._links is None:
                self._connect()
            else:
                self._check()
            self._tried = True
            self._first_try.wake()
            while not self._ended and self._wake.wait(self._pause_s()):
                pass  # the connection was lost just now: its pause begins
        self._drop()

    def _pause_s(self) -> float:
        if self._links is not None:
            return IDLE_CHECK_S
        return min(LONGEST_PAUSE_S, 2.0 ** min(self._failures - 1, 10))

    def _connect(self) -> None:
        """Half open: connections, and on each one question that needs all that real ones need."""
        try:
            links = self._deployment.open()
        except GateUnavailable as problem:
            self._failed(problem)
            return
        try:
            for tag, link in links.each():
                link.call(*self._question([f"{self._prefix}:{{{tag}}}:trial"], "trial"))
        except GateUnavailable as problem:
            links.close()
            self._failed(problem)
            return
        with self._lock:
            self._links = links
            told, self._told = self._told, False
        if told:
            event("INFO", "gate_ready", "Redis answers again")

    def _check(self) -> None:
        with suppress(GateUnavailable):  # the breaker is open now, and has said so
            self._with(lambda links: [link.call("PING") for _, link in links.each()])

    def _drop(self) -> None:
        with self._lock:
            if self._links is not None:
                self._links.close()
            self._links = None

    # the channel

    def _keep_listening(self, heard: Callable[[str], None]) -> None:
        while not self._ended:
            try:
                self._listen(heard)
            except GateUnavailable as problem:
                event("DEBUG", "gate_deaf", "nothing is heard from other nodes over Redis", error=problem)
                self._relisten.wait(RELISTEN_S)

    def _listen(self, heard: Callable[[str], None]) -> None:
        link = self._deployment.connect(self._prefix)
        try:
            link.call("SUBSCRIBE", self._prefix)
            checked = self._runtime.monotonic()
            while not self._ended:
                if link.wait(_HEAR_S):
                    _pass_on(link.read(), heard)
                elif self._runtime.monotonic() - checked > IDLE_CHECK_S:
                    # A server that froze, or was replaced while this host could not see it, says nothing.
                    _pass_on(link.call("PING"), heard)
                    checked = self._runtime.monotonic()
        finally:
            link.close()


class _LeftAlone(GateUnavailable):
    """The breaker is open."""


def _answers(reply: object, count: int) -> list[bool]:
    """The answers to `count` keys. Raises GateUnavailable for a reply that is something else."""
    answers = cast("list[object]", reply) if isinstance(reply, list) else []
    if len(answers) != count:
        raise GateUnavailable(f"Redis gave no usable answer: {count} answers expected, not {reply!r:.80}")
    return [answer == 1 for answer in answers]


def _pass_on(said: object, heard: Callable[[str], None]) -> None:
    """A message to a channel comes as (b"message", channel, text); an answer to PING as (b"pong", text)."""
    parts = cast("list[bytes]", said) if isinstance(said, list) else [b""]
    if parts[0] == b"message":
        heard(parts[-1].decode(errors="replace"))
