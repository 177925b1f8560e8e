"""What is done to workers, links and servers: drawn by a seed, dealt evenly, each with its end."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count, cycle
from random import Random
from typing import Any

from leasebeat.testing.chaos.ground import Ground
from leasebeat.testing.chaos.links import Link
from leasebeat.testing.evidence import boottime_ns
from leasebeat.testing.servers import Server

__all__ = ["KINDS", "Nemesis", "Suffered"]

SERVERS = "servers"
"""In the place of a node's name: what all of them suffer."""


@dataclass(slots=True)
class Suffered:
    """An entry of the fault log. Times in nanoseconds of CLOCK_BOOTTIME."""

    kind: str
    node: str
    detail: str
    at: int
    until: int
    pid: int = 0  #: of the worker's process


@dataclass(slots=True)
class Nemesis:
    """Ill-treats a fleet. `log` is what it did."""

    ground: Ground
    random: Random
    log: list[Suffered] = field(default_factory=list[Suffered])
    _ends: list[tuple[float, int, Callable[[], None]]] = field(
        default_factory=list[tuple[float, int, Callable[[], None]]]
    )
    _numbers: Iterator[int] = field(default_factory=count)
    _free_at: dict[str, float] = field(default_factory=dict[str, float])

    def run(self, seconds: float) -> None:
        """Faults for so long; returns when each has ended."""
        began = time.monotonic()
        bag = _dealt(self.ground, self.random)
        turns = {kind: cycle(self.random.sample(range(6), 6)) for kind in KINDS}
        at = 1.0
        while at < seconds:
            self._pass_until(began + at)
            kind = next(bag)
            KINDS[kind](self, next(turns[kind]))
            at += self.random.uniform(0.4, 1.6) * self.ground.plan.fault_every_s
        self._pass_until(began + seconds)
        while self._ends:
            self._pass_until(self._ends[0][0])

    def counts(self) -> Counter[str]:
        """How often each kind happened."""
        return Counter(suffered.kind for suffered in self.log)

    def victim(self, seconds: float) -> str:
        """Who suffers for so long: somebody who has recovered from what came before."""
        free = [name for name in self.ground.names if self._free_at.get(name, 0.0) <= time.monotonic()]
        while not free:
            self._pass_until(time.monotonic() + 0.2)
            free = [name for name in self.ground.names if self._free_at.get(name, 0.0) <= time.monotonic()]
        name = self.random.choice(free)
        self._free_at[name] = time.monotonic() + seconds + self.ground.plan.lease_s / 2
        return name

    def note(self, kind: str, node: str, detail: str, seconds: float) -> None:
        """Write it down, before it is done."""
        at = boottime_ns()
        pid = 0 if node == SERVERS else self.ground.fleet[node].process.pid
        self.log.append(Suffered(kind, node, detail, at, at + round(seconds * 1e9), pid))

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do it in so many seconds."""
        heappush(self._ends, (time.monotonic() + seconds, next(self._numbers), action))

    def lease(self, least: float, most: float) -> float:
        """Seconds, drawn between so many leases."""
        return self.ground.plan.lease_s * self.random.uniform(least, most)

    def _pass_until(self, moment: float) -> None:
        while self._ends and self._ends[0][0] <= moment:
            when, _, action = heappop(self._ends)
            time.sleep(max(0.0, when - time.monotonic()))
            action()
        time.sleep(max(0.0, moment - time.monotonic()))


def _dealt(ground: Ground, random: Random) -> Iterator[str]:
    """Kinds without end: of each bag every kind once, kills and stops three times."""
    kinds = [kind for kind in KINDS if kind != "cut_zookeeper" or ground.ensemble is not None]
    bag = kinds + ["kill", "stop"] * 2
    while True:
        yield from random.sample(bag, len(bag))


def _kill(nemesis: Nemesis, turn: int) -> None:
    """Kill -9, and a new start: at once, so that the successor purges, or when the others have."""
    seconds = nemesis.lease(0.05, 0.3) if turn % 3 == 0 else nemesis.lease(1.2, 2.0)
    name = nemesis.victim(seconds + 2.0)
    worker = nemesis.ground.fleet[name]
    nemesis.note("kill", name, "kill -9", seconds)
    worker.signal(signal.SIGKILL)
    worker.process.wait()
    nemesis.later(seconds, lambda: _again(worker))


def _again(worker: Any) -> None:
    worker.start(faketime="+0s")


def _stop(nemesis: Nemesis, turn: int) -> None:
    """SIGSTOP for less, or (two times of three) for more than a lease."""
    seconds = nemesis.lease(0.2, 0.8) if turn % 3 == 0 else nemesis.lease(1.3, 2.0)
    name = nemesis.victim(seconds)
    worker = nemesis.ground.fleet[name]
    nemesis.note("stop", name, "stopped", seconds)
    worker.signal(signal.SIGSTOP)
    nemesis.later(seconds, worker.resume)


def _cut(target: str) -> Callable[[Nemesis, int], None]:
    """One worker cannot reach the servers of one kind: without a word, or refused."""

    def fault(nemesis: Nemesis, turn: int) -> None:
        seconds = nemesis.lease(0.2, 0.7) if turn % 3 == 0 else nemesis.lease(1.2, 1.8)
        name = nemesis.victim(seconds)
        links = nemesis.ground.links[name][target]
        nemesis.note(f"cut_{target}", name, "refused" if turn % 2 else "silent", seconds)
        for link in links:
            if turn % 2:
                link.refuse()
            else:
                link.hold("requests", "replies")
        nemesis.later(seconds, lambda: _heal(links))

    return fault


def _one_way(nemesis: Nemesis, turn: int) -> None:
    """Requests arrive and their replies do not, or the other way round."""
    target = ("mysql", "redis", "mysql", "zookeeper", "mysql", "mysql")[turn]
    seconds = nemesis.lease(0.3, 1.6)
    name = nemesis.victim(seconds)
    links = nemesis.ground.links[name][target] or nemesis.ground.links[name]["mysql"]
    way = nemesis.random.choice(("requests", "replies"))
    nemesis.note("one_way", name, f"no {way}, {target}", seconds)
    for link in links:
        link.hold(way)
    nemesis.later(seconds, lambda: _heal(links))


def _slow(nemesis: Nemesis, turn: int) -> None:
    """Everything of one worker takes longer, each way."""
    delay, seconds = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)[turn], nemesis.lease(0.5, 1.5)
    name = nemesis.victim(seconds)
    links = [link for found in nemesis.ground.links[name].values() for link in found]
    nemesis.note("slow", name, f"{delay * 1000:.0f} ms", seconds)
    for link in links:
        link.slow(delay)
    nemesis.later(seconds, lambda: _heal(links))


def _heal(links: list[Link]) -> None:
    for link in links:
        link.heal()


def _server(nemesis: Nemesis, turn: int) -> None:
    """A server is restarted, killed or frozen. Of three ZooKeepers it is one."""
    found = nemesis.ground
    what = ("restart", "kill -9", "freeze")[turn % 3]
    seconds = nemesis.random.uniform(0.3, 2.0)
    if turn < 3:
        name, server = "MariaDB", found.mariadb
    elif found.ensemble is not None and turn > 3:
        name, server = "ZooKeeper", nemesis.random.choice(found.ensemble.servers)
    else:
        name, server = "Redis", found.redis
    nemesis.note("server", SERVERS, f"{what} {name}", seconds)
    _ill_treat(server, what, seconds)
    nemesis.log[-1].until = boottime_ns()


def _ill_treat(server: Server, what: str, seconds: float) -> None:
    # To its end: what follows may want to ask the store.
    if what == "freeze":
        server.freeze()
        time.sleep(seconds)
        server.thaw()
    elif what == "restart":
        server.restart()
    else:
        server.kill9()
        time.sleep(seconds)
        server.start()


def _clock(nemesis: Nemesis, turn: int) -> None:
    """The wall clock of a host jumps, and back again."""
    jump = ("+3600s", "-3600s", "+30s", "-30s", "+86400s", "-2s")[turn]
    seconds = nemesis.lease(0.5, 1.5)
    name = nemesis.victim(seconds)
    worker = nemesis.ground.fleet[name]
    nemesis.note("clock", name, jump, seconds)
    worker.set_clock(jump)
    nemesis.later(seconds, lambda: worker.set_clock("+0s"))


KINDS: dict[str, Callable[[Nemesis, int], None]] = {
    "kill": _kill,
    "stop": _stop,
    "cut_mysql": _cut("mysql"),
    "cut_redis": _cut("redis"),
    "cut_zookeeper": _cut("zookeeper"),
    "one_way": _one_way,
    "slow": _slow,
    "server": _server,
    "clock": _clock,
}
"""Each is called with a number from 0 to 5, every one of them equally often, that picks its variant."""
