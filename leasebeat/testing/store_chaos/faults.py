"""What is done to workers, connections and servers. Each fault heals by itself."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import pymysql

from leasebeat.model.instant import SECOND, Instant
from leasebeat.testing.servers import MariaDB, Redis
from leasebeat.testing.store_chaos.machines import BEAT_S, Machine
from leasebeat.testing.store_chaos.timers import Timers, store_now


@dataclass(slots=True)
class Scene:
    """Whom faults happen to. They happen one after the other, in the thread of `timers`."""

    timers: Timers
    mariadb: MariaDB
    redis: Redis
    machines: Sequence[Machine]
    random: Random
    counts: Counter[str] = field(default_factory=Counter[str])
    disturbed: list[tuple[Instant, Instant]] = field(default_factory=list[tuple[Instant, Instant]])

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do it in so many seconds."""
        self.timers.after(round(seconds * SECOND), lambda _: action())

    def machine(self) -> Machine:
        """One of them."""
        return self.random.choice(self.machines)

    def note(self, what: str, seconds: float = 0.0) -> None:
        """From now on for so long nobody can be expected to be in time."""
        self.counts[what] += 1
        self.disturbed.append((store_now(), store_now() + round(seconds * SECOND)))


Fault = Callable[[Scene], None]


def crash(scene: Scene) -> None:
    """Kill -9; its connections end, or stay open until the server closes them for idleness."""
    machine = scene.machine()
    scene.note("crashes")
    machine.crash(cut=scene.random.random() < 0.5)
    scene.later(scene.random.choice((0.1, 2.0, 6.0)), machine.boot)


def pause(scene: Scene) -> None:
    """SIGSTOP for less or for more than a lease."""
    seconds = BEAT_S * scene.random.choice((0.5, 1.2, 2.0, 4.5, 5.5))
    if scene.machine().pause(seconds):
        scene.note("pauses", seconds)


def pause_long(scene: Scene) -> None:
    """SIGSTOP for much longer than a lease: others have taken over when it goes on."""
    seconds = BEAT_S * scene.random.uniform(5.0, 7.0)
    if scene.machine().pause(seconds):
        scene.note("pauses", seconds)


def drain(scene: Scene) -> None:
    """SIGTERM, and a new start once it has left."""
    scene.note("drains")
    scene.machine().drain()


def cut_off(scene: Scene) -> None:
    """One host cannot reach the store."""
    proxy = scene.machine().proxy
    seconds = scene.random.uniform(0.3, 4.0)
    scene.note("cut off", seconds)
    proxy.refuses = True
    proxy.cut()
    scene.later(seconds, lambda: setattr(proxy, "refuses", False))


def kill_connections(scene: Scene) -> None:
    """KILL, and KILL QUERY, of some connections of workers."""
    scene.note("rounds of KILL")
    look = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER LIKE '%\\_worker'"
    ids = [row[0] for row in scene.mariadb.mysql.run(look)]
    for number in scene.random.sample(ids, min(len(ids), scene.random.randrange(3, 13))):
        how = scene.random.choice(("KILL", "KILL", "KILL QUERY"))
        try:
            scene.mariadb.mysql.run(f"{how} {number}")
            scene.counts["kills"] += 1
        except pymysql.MySQLError:
            scene.counts["kills of nobody"] += 1  # it has gone by itself


def freeze_store(scene: Scene) -> None:
    """The server is stopped for a while: what was sent to it is done when it goes on."""
    seconds = scene.random.uniform(0.7, 2.0)
    scene.note("frozen store", seconds)
    scene.mariadb.freeze()
    time.sleep(seconds)  # no other fault meanwhile: KILL would wait for the thaw
    scene.mariadb.thaw()


def restart_store(scene: Scene) -> None:
    """In good order, or as after a power cut that spared the disk."""
    scene.note("restarts of the store", 3.0)
    if scene.random.random() < 0.5:
        scene.mariadb.restart()
    else:
        scene.mariadb.kill9()
        scene.mariadb.start()


def freeze_redis(scene: Scene) -> None:
    """The gate gives no answer."""
    scene.note("frozen Redis")
    scene.redis.freeze()
    scene.later(scene.random.uniform(0.3, 3.0), scene.redis.thaw)


OFTEN: tuple[Fault, ...] = (crash, pause, pause, pause_long, drain, cut_off, freeze_store, freeze_redis)
"""Drawn from; what is named more often is done more often."""
