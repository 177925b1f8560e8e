"""Fires of every second on three workers, while Redis breaks in one way after the other.

With one server worker `c` has a proxy before it: what happens to its way alone. Between two troubles the
gates of all workers are usable again, so that each trouble is felt anew.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
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

__all__ = ["ALL", "GONE", "REPLACED", "SHORT", "Scene", "Trouble", "Window", "run"]

READY_S = 30.0
"""How long a gate may take to be usable again: its pauses are up to 5 s, and this machine may be slow."""


ROWS = """
SELECT status, origin, TIMESTAMPDIFF(MICROSECOND, fire_at, claimed_at) AS late_us
FROM runs WHERE fire_at >= '{first}' AND fire_at < '{end}'
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """What troubles may get their hands on."""

    redis: Redis  #: what takes writes, or some of them
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
            f" {late}, {self.by_audit} opened by the audit; {self.gates_lost} of 3 gates lost"
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
def replaced(scene: Scene) -> Generator[None]:
    """Killed for good: its replica takes its place, when those who watch have agreed on it."""
    scene.redis.kill9()
    yield


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
def unsaved(scene: Scene) -> Generator[None]:
    """-MISCONF: it was told to save itself, and cannot: a folder has the name of its file."""
    in_the_way = scene.redis.folder / "dump.rdb"
    in_the_way.mkdir()
    with _configured(scene.redis, save="3600 1"), admin(scene.redis) as client:
        client.bgsave()
        until(
            lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", READY_S, "it cannot save"
        )
        yield
    in_the_way.rmdir()  # without `save` it takes writes again


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

ALL = SHORT | {"slow": slow, "locked": locked, "unsaved": unsaved}
GONE: dict[str, Trouble] = {"gone": gone}
REPLACED: dict[str, Trouble] = {"replaced": replaced}


# --- the trial ------------------------------------------------------------------------------------


def run(
    folder: Path,
    server: MySQL,
    redis: Redis,
    troubles: Mapping[str, Trouble],
    seconds: int,
    per_s: int,
    url: str = "",
) -> list[Window]:
    """`per_s` fires each second; each trouble lasts `seconds`. The first window and the last are calm.

    `url` is how all workers reach Redis, where `redis` is but a part of it.
    """
    evidence = folder / "keys"
    (folder / "burst_tasks.py").write_text(TASKS.format(path=str(evidence)))
    evidence.write_text("")
    settings = {"node_slots": 4 * per_s, "node_python_isolation": "thread", "node_python_path": str(folder)}
    store, proxy = PrivateMysql(server), Proxy(redis.port)
    try:
        with Fleet(folder, store, url or redis.url, node_beat_s=4, **settings) as fleet:
            fleet.add("c", redis_url=url or proxy.url)
            fleet.start("a", "b", "c")
            fleet.await_live("a", "b", "c")
            spans = _take_its_course(fleet, Scene(redis, proxy), troubles, seconds, per_s)
            return _windows(fleet, spans, evidence, per_s)
    finally:
        proxy.close()


Span = tuple[str, Instant, Instant, int]
"""A name, the first instant, that after the last, and how many workers left Redis out."""


def _take_its_course(
    fleet: Fleet, scene: Scene, troubles: Mapping[str, Trouble], seconds: int, per_s: int
) -> list[Span]:
    end = fleet.next_second(3)
    _insert(fleet, per_s, end)
    sleep_until(fleet.store, end + max(1, seconds // 6) * SECOND)
    spans, name = list[Span](), "at first"
    for trouble_name, trouble in troubles.items():
        at = _await_calm(fleet)
        spans.append((name, end, at, 0))
        before, end = _said(fleet, "gate_lost"), at + seconds * SECOND
        with trouble(scene):
            sleep_until(fleet.store, end - SECOND // 2)
        spans.append((trouble_name, at, end, len(_said(fleet, "gate_lost") - before)))
        name = f"after {trouble_name}"
    at = _await_calm(fleet)
    spans.append((name, end, at, 0))
    fleet.store.rows(f"UPDATE schedules SET ends_at = '{utc(at)}'")
    sleep_until(fleet.store, at + SECOND)
    until(lambda: fleet.settled(at), 60, f"everything ends\n{fleet.tails()}")
    return spans


def _await_calm(fleet: Fleet) -> Instant:
    """Wait until all gates are usable, half a second before an instant; that instant.

    So all fires of a window meet its trouble.
    """

    def calm() -> bool:
        return _said(fleet, "gate_lost") == _said(fleet, "gate_ready")

    while True:
        until(calm, READY_S, f"the gates come back\n{fleet.tails()}")
        at = ((fleet.store.now() + SECOND // 2) // SECOND + 1) * SECOND
        sleep_until(fleet.store, at - SECOND // 2)
        if calm():
            return at


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
