"""Fires of every second on three workers, while Redis breaks in one way after the other.

Worker `c` has a proxy before it: what happens to its way alone. Between two troubles the gates of all
workers are usable again, so that each trouble is felt anew.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.exceptions import ResponseError

from leasebeat.model.instant import SECOND, Instant
from leasebeat.model.run import parse_key
from leasebeat.testing.fleet import Fleet, in_window, sleep_until, until, utc
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.private import PrivateMysql
from leasebeat.testing.redis_servers import Proxy, admin
from leasebeat.testing.servers import HOST, Redis, free_port
from leasebeat.testing.trials.burst import TASKS

__all__ = ["ALL", "GONE", "SHORT", "Scene", "Trouble", "Window", "run"]

READY_S = 30.0
"""How long a gate may take to be usable again: its pauses are up to 5 s, and this machine may be slow."""


ROWS = """
SELECT status, origin, TIMESTAMPDIFF(MICROSECOND, fire_at, claimed_at) AS late_us
FROM runs WHERE fire_at >= '{first}' AND fire_at < '{end}'
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """What troubles may get their hands on."""

    redis: Redis
    proxy: Proxy  #: on the way of worker `c`


Trouble = Callable[[Scene], Any]
"""Gives a context manager; the trouble is there while it is open."""


@dataclass(frozen=True, slots=True)
class Window:
    """What became of the fires of some seconds."""

    name: str
    due: int
    rows: int
    succeeded: int
    ran: int  #: distinct keys, by the tasks' own file
    ran_twice: int
    late_s: float  #: claimed_at - fire_at of the latest, by the store's clock
    late_p99_s: float
    by_audit: int  #: rows that the auditor opened, as no node's own claim did
    gates_lost: int  #: workers that have left Redis out meanwhile

    @property
    def whole(self) -> bool:
        """Whether each fire has its row and ran once."""
        return self.due == self.rows == self.succeeded == self.ran and not self.ran_twice

    def line(self) -> str:
        """For people."""
        missing, late = self.due - self.rows, f"latest {self.late_s:.3f} s, p99 {self.late_p99_s:.3f} s"
        return (
            f"{self.name}: {self.due} due, {self.rows} rows, {missing} missing, {self.ran_twice} ran twice,"
            f" {late}, {self.by_audit} opened by the audit; {self.gates_lost} gates lost"
        )


# --- troubles of everybody ------------------------------------------------------------------------


@contextmanager
def _again_and_again(act: Callable[[Any], object], redis: Redis, pause_s: float) -> Generator[None]:
    ended = threading.Event()

    def repeat() -> None:
        with admin(redis) as client:
            while not ended.wait(pause_s):
                act(client)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def flushed(scene: Scene) -> Any:
    """FLUSHALL five times a second."""
    return _again_and_again(lambda client: client.flushall(), scene.redis, 0.2)


def vanishing(scene: Scene) -> Any:
    """Keys expire at once, as after a jump of the host's clock."""

    def expire(client: Any) -> None:
        for key in client.keys("lb:*"):
            client.pexpire(key, 1)

    return _again_and_again(expire, scene.redis, 0.05)


@contextmanager
def evicting(scene: Scene) -> Generator[None]:
    """No room for what it holds, and leave to forget it. Raises AssertionError if it forgets nothing."""
    with admin(scene.redis) as client:
        before = client.info("stats")["evicted_keys"]
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", client.info("memory")["used_memory"])
        yield
        evicted = client.info("stats")["evicted_keys"] - before
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")
        assert evicted > 0, "Redis has evicted nothing"


@contextmanager
def restarted(scene: Scene) -> Generator[None]:
    """Killed, and back at once with nothing in it."""
    scene.redis.kill9()
    scene.redis.start()
    yield


@contextmanager
def gone(scene: Scene) -> Generator[None]:
    """Killed, and back when the trouble is over."""
    scene.redis.kill9()
    yield
    scene.redis.start()


@contextmanager
def frozen(scene: Scene) -> Generator[None]:
    """Connections stay open and nothing answers."""
    scene.redis.freeze()
    yield
    scene.redis.thaw()


@contextmanager
def full(scene: Scene) -> Generator[None]:
    """-OOM."""
    with _configured(scene.redis, maxmemory="1"):
        yield


@contextmanager
def read_only(scene: Scene) -> Generator[None]:
    """A replica of nobody."""
    with admin(scene.redis) as client:
        client.replicaof(HOST, free_port())
        yield
        client.replicaof("NO", "ONE")


@contextmanager
def busy(scene: Scene) -> Generator[None]:
    """In somebody's endless script."""
    with (
        _configured(scene.redis, **{"busy-reply-threshold": "1"}),
        admin(scene.redis) as client,
        socket.create_connection((HOST, scene.redis.port)) as somebody,
    ):
        somebody.sendall(b"EVAL 'while true do end' 0\r\n")
        yield
        client.script_kill()
        # It ends a moment later; until then whoever asks is told that it runs.
        until(lambda: not _is_busy(client), READY_S, "the script ends")


def _is_busy(client: Any) -> bool:
    try:
        return not client.ping()
    except ResponseError as problem:
        if "BUSY" not in str(problem):
            raise
        return True


@contextmanager
def locked(scene: Scene) -> Generator[None]:
    """A password that nobody was told: -NOAUTH."""
    with admin(scene.redis) as client:
        client.config_set("requirepass", "unknown")
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        yield
        client.config_set("requirepass", "")


@contextmanager
def crowded(scene: Scene) -> Generator[None]:
    """No connection is left."""
    with admin(scene.redis) as client:
        client.config_set("maxclients", 1)
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        yield
        client.config_set("maxclients", 1000)


@contextmanager
def _configured(redis: Redis, **settings: str) -> Generator[None]:
    with admin(redis) as client:
        before = client.config_get(*settings)
        for name, setting in settings.items():
            client.config_set(name, setting)
        yield
        for name in settings:
            client.config_set(name, before[name])


# --- troubles of worker `c` alone -----------------------------------------------------------------


@contextmanager
def cut_off(scene: Scene) -> Generator[None]:
    """It cannot reach Redis, which is well."""
    scene.proxy.refuses = True
    scene.proxy.cut()
    yield
    scene.proxy.refuses = False


@contextmanager
def slow(scene: Scene) -> Generator[None]:
    """Answers take a second."""

    def late(reply: bytes) -> bytes:
        time.sleep(1)
        return reply

    scene.proxy.answer = late
    yield
    scene.proxy.answer = lambda reply: reply


@contextmanager
def mute(scene: Scene) -> Generator[None]:
    """What it asks is done, and the answer is lost."""
    scene.proxy.answer = lambda reply: b""
    yield
    scene.proxy.answer = lambda reply: reply


SHORT: dict[str, Trouble] = {
    trouble.__name__: trouble
    for trouble in (
        *(flushed, vanishing, evicting, restarted, frozen, full, read_only, busy, crowded),
        *(cut_off, mute),
    )
}
"""What fits into CI, by name."""

ALL = SHORT | {"slow": slow, "locked": locked}
GONE: dict[str, Trouble] = {"gone": gone}


# --- the trial ------------------------------------------------------------------------------------


def run(
    folder: Path, server: MySQL, redis: Redis, troubles: dict[str, Trouble], seconds: int, per_s: int
) -> list[Window]:
    """`per_s` fires each second; each trouble lasts `seconds`. The first window and the last are calm."""
    evidence = folder / "keys"
    (folder / "burst_tasks.py").write_text(TASKS.format(path=str(evidence)))
    evidence.touch()
    settings = {"node_slots": 4 * per_s, "node_python_isolation": "thread", "node_python_path": str(folder)}
    store, proxy = PrivateMysql(server), Proxy(redis.port)
    try:
        with Fleet(folder, store, redis.url, node_beat_s=4, **settings) as fleet:
            fleet.add("c", redis_url=proxy.url)
            fleet.start("a", "b", "c")
            fleet.await_live("a", "b", "c")
            spans = _take_its_course(fleet, Scene(redis, proxy), troubles, seconds, per_s)
            return _windows(fleet, spans, evidence, per_s)
    finally:
        proxy.close()


Span = tuple[str, Instant, Instant, int]
"""A name, the first instant, that after the last, and the gates that were lost."""


def _take_its_course(
    fleet: Fleet, scene: Scene, troubles: dict[str, Trouble], seconds: int, per_s: int
) -> list[Span]:
    first = fleet.next_second(3)
    _insert(fleet, per_s, first)
    at, spans = first + max(2, seconds // 6) * SECOND, list[Span]()
    spans.append(("calm", first, at, 0))
    for name, trouble in troubles.items():
        # Between two instants, so that all fires of a window meet the trouble.
        sleep_until(fleet.store, at - SECOND // 2)
        before, end = _said(fleet, "gate_lost"), at + seconds * SECOND
        with trouble(scene):
            sleep_until(fleet.store, end - SECOND // 2)
        spans.append((name, at, end, sum((_said(fleet, "gate_lost") - before).values())))
        until(lambda: _said(fleet, "gate_lost") == _said(fleet, "gate_ready"), READY_S, "the gates come back")
        # The next one begins half a second before an instant, and not before now.
        at = ((fleet.store.now() + SECOND // 2) // SECOND + 1) * SECOND
        spans.append((f"after {name}", end, at, 0))
    fleet.store.rows(f"UPDATE schedules SET ends_at = '{utc(at)}'")
    sleep_until(fleet.store, at + SECOND)
    until(lambda: fleet.settled(at), 60, f"everything ends\n{fleet.tails()}")
    return spans


def _insert(fleet: Fleet, per_s: int, first: Instant) -> None:
    columns = in_window(first, first + 3600 * SECOND)
    fleet.store.rows(
        "INSERT INTO schedules (name, cron, kind, command, overlap, starts_at, ends_at)"
        " SELECT CONCAT('light-', j.n), '* * * * * *', 'python', 'burst_tasks:note', 'allow',"
        f" '{columns['starts_at']}', '{columns['ends_at']}'"
        f" FROM JSON_TABLE('{json.dumps(list(range(per_s)))}', '$[*]' COLUMNS (n INT PATH '$')) j"
    )


def _said(fleet: Fleet, action: str) -> Counter[str]:
    """How often each worker's log has that event."""
    return Counter(
        {name: worker.log.read_text().count(f"action={action}") for name, worker in fleet.workers.items()}
    )


def _windows(fleet: Fleet, spans: Sequence[Span], evidence: Path, per_s: int) -> list[Window]:
    keys = Counter(evidence.read_text().split())
    found: list[Window] = []
    for name, first, end, lost in spans:
        ran = [count for key, count in keys.items() if first <= parse_key(key)[1] < end]
        rows = fleet.store.rows(ROWS.format(first=utc(first), end=utc(end)))
        late = sorted((row["late_us"] or 0) / SECOND for row in rows) or [0.0]
        found.append(
            Window(
                name=name,
                due=(end - first) // SECOND * per_s,
                rows=len(rows),
                succeeded=sum(row["status"] == "succeeded" for row in rows),
                ran=len(ran),
                ran_twice=sum(count > 1 for count in ran),
                late_s=late[-1],
                late_p99_s=late[len(late) * 99 // 100],
                by_audit=sum(row["origin"] == "audit" for row in rows),
                gates_lost=lost,
            )
        )
    return found
