"""Redis deployed otherwise, private ones: a primary and its replica under three Sentinels, and a Cluster."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import redis

from leasebeat.testing.servers import HOST, Redis, Server, asked, free_port, need

__all__ = ["Proxy", "RedisCluster", "RedisSentinel", "Sentinels", "admin", "tls_options", "until"]

SERVICE = "fleet"
SLOTS = 16384
CONVERGED_S = 30.0
DOWN_MS = 1000
"""Without an answer for so long a server is taken for dead: short, for tests."""


def admin(server: Server, **options: Any) -> Any:
    """A client for the test's own questions; its types say less than it does."""
    return redis.Redis(host=HOST, port=server.port, socket_timeout=10, **options)


def until(true: Callable[[], object], what: str) -> None:
    """Wait for it. Raises RuntimeError after 30 s."""
    end = time.monotonic() + CONVERGED_S
    while not true():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {CONVERGED_S:g} s")
        time.sleep(0.05)


class Proxy:
    """Stands before a Redis: loses, delays or replaces what it answers to a script, or is gone."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server = socket.create_server((HOST, 0))
        self._sockets: list[socket.socket] = []
        self.refuses = False  #: new connections end at once
        self.scripts = 0  #: how many came through
        self.answer: Callable[[bytes], bytes] = lambda reply: reply
        self.url = f"redis://{HOST}:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections, whatever is under way in them."""
        while self._sockets:
            _end(self._sockets.pop())

    def close(self) -> None:
        """Take no more."""
        _end(self._server)
        self.cut()

    def _accept(self) -> None:
        while client := self._accepted():
            try:
                if self.refuses:
                    raise ConnectionRefusedError
                upstream = socket.create_connection((HOST, self._target))
            except OSError:
                client.close()  # as Redis is gone, or to be so
                continue
            self._sockets += [client, upstream]
            talk = _Talk(client, upstream)
            for carry in (self._questions, self._answers):
                threading.Thread(target=carry, args=(talk,), daemon=True).start()

    def _accepted(self) -> socket.socket | None:
        try:
            return self._server.accept()[0]
        except OSError:
            return None

    def _questions(self, talk: _Talk) -> None:
        with suppress(OSError):
            while part := talk.client.recv(1 << 20):
                if part.startswith(b"*"):  # else the rest of a long one
                    talk.script = b"EVAL" in part
                    self.scripts += talk.script
                talk.upstream.sendall(part)
        talk.end()

    def _answers(self, talk: _Talk) -> None:
        with suppress(OSError):
            while reply := talk.upstream.recv(1 << 20):
                talk.client.sendall(self.answer(reply) if talk.script else reply)
        talk.end()


@dataclass(slots=True)
class _Talk:
    """One connection through a proxy, and its other half."""

    client: socket.socket
    upstream: socket.socket
    script: bool = False  #: the last question was one

    def end(self) -> None:
        """Either end has hung up."""
        _end(self.client)
        _end(self.upstream)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):  # its other end was faster
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class RedisSentinel(Server):
    """One Sentinel that watches the primary on that port; of three, two must agree that it is dead."""

    package = "redis-sentinel"

    def __init__(self, watched: int, parent: Path | None = None, *, options: Sequence[str] = ()) -> None:
        self._program = need("redis-sentinel", self.package)
        super().__init__(parent)
        # It writes into its file what it learns.
        self._file = self.folder / "sentinel.conf"
        lines = [
            *(f"port {self.port}", f"bind {HOST}", f"dir {self.folder}"),
            *options,
            f"sentinel monitor {SERVICE} {HOST} {watched} 2",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_MS}",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        self._file.write_text("\n".join(lines) + "\n")

    def command(self) -> Sequence[str]:
        return [self._program, str(self._file)]

    def ready(self) -> bool:
        return asked(self.port, b"PING\r\n").startswith((b"+PONG", b"-NOAUTH"))


class Sentinels:
    """A primary, its replica, and three Sentinels. A context manager, like a server.

    With `tls`, a certificate and its key, all of them talk by TLS; tests may ask without. `password` is
    the Sentinels'.
    """

    def __init__(
        self, parent: Path | None = None, *, password: str = "", tls: tuple[Path, Path] | None = None
    ) -> None:
        self._password = password or None
        self._tls = [free_port() for _ in range(5)] if tls else []
        secured: list[list[str]] = [tls_options(port, *tls) for port in self._tls] if tls else [[]] * 5
        self.primary = Redis(parent, options=secured[0])
        watched = self._tls[0] if tls else self.primary.port
        follow = ["--replicaof", f"{HOST} {watched}", "--repl-diskless-sync-delay", "0"]
        self.replica = Redis(parent, options=[*secured[1], *follow])
        lines = [f"requirepass {password}", f"sentinel sentinel-pass {password}"] if password else []
        self.sentinels = [
            RedisSentinel(watched, parent, options=[*_as_lines(options), *lines]) for options in secured[2:]
        ]
        self._stack = ExitStack()

    @property
    def places(self) -> str:
        """Where the Sentinels are, for `[redis] url`."""
        ports = self._tls[2:] or [sentinel.port for sentinel in self.sentinels]
        return ",".join(f"{HOST}:{port}" for port in ports)

    @property
    def url(self) -> str:
        """For `[redis] url`."""
        return f"redis{'s' * bool(self._tls)}+sentinel://{self.places}/{SERVICE}"

    def _met(self) -> bool:
        """Whether the Sentinels know each other and the replica: before that they cannot fail over."""
        for sentinel in self.sentinels:
            with admin(sentinel, password=self._password) as client:
                (told,) = client.sentinel_masters().values()
                if (told["num-other-sentinels"], told["num-slaves"]) != (2, 1):
                    return False
        with admin(self.primary) as client:
            return client.info("replication").get("slave0", {}).get("state") == "online"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for server in (self.primary, self.replica, *self.sentinels):
                stack.enter_context(server)
            until(self._met, "the Sentinels meet")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


def _as_lines(options: Sequence[str]) -> list[str]:
    return [f"{name[2:]} {value}" for name, value in zip(options[::2], options[1::2], strict=True)]


def tls_options(port: int, certificate: Path, key: Path) -> list[str]:
    """Of a server that answers by TLS on another port, and asks no certificate of its clients."""
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    authority = ["--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no"]
    return ["--tls-port", str(port), *files, *authority, "--tls-replication", "yes"]


class RedisCluster:
    """Three primaries, and a replica of the first. A context manager, like a server.

    With `tls`, a certificate and its key, `url` is by TLS, and the nodes talk by TLS to each other.
    """

    def __init__(
        self,
        parent: Path | None = None,
        *,
        options: Sequence[str] = (),
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(DOWN_MS)]
        self._bus = [free_port() for _ in range(4)]
        self._tls = [free_port() for _ in range(4)] if tls else []
        if tls:
            cluster += ["--tls-cluster", "yes"]
        self.nodes = [
            Redis(
                parent,
                options=[
                    *(*cluster, "--cluster-port", str(self._bus[number])),
                    *("--repl-diskless-sync-delay", "0"),
                    *(tls_options(self._tls[number], *tls) if tls else ()),
                    *options,
                ],
            )
            for number in range(4)
        ]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """For `[redis] url`."""
        ports = self._tls or [node.port for node in self.nodes]
        return f"redis{'s' * bool(self._tls)}+cluster://{','.join(f'{HOST}:{port}' for port in ports)}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            self._join()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def ask(self, node: Redis, *command: object) -> Any:
        """What one node answers."""
        with admin(node) as client:
            return client.execute_command(*command)

    def ok(self) -> bool:
        """Whether every node that answers thinks that all slots are served."""
        return all(self._state(node) == b"ok" for node in self.nodes if node.ready())

    def _state(self, node: Redis) -> bytes:
        return self.ask(node, "CLUSTER INFO")["cluster_state"].encode()

    def _join(self) -> None:
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            self.ask(node, "CLUSTER SET-CONFIG-EPOCH", number + 1)
        for number, node in enumerate(self.nodes[:3]):
            low, high = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
            self.ask(node, "CLUSTER ADDSLOTSRANGE", low, high)
        ports = self._tls or [node.port for node in self.nodes]
        for port, bus in zip(ports[1:], self._bus[1:], strict=True):
            self.ask(first, "CLUSTER MEET", HOST, port, bus)
        until(
            lambda: all(len(self.ask(n, "CLUSTER NODES")) == 4 for n in self.nodes) and self.ok(), "it joins"
        )
        self.ask(self.nodes[3], "CLUSTER REPLICATE", self.ask(first, "CLUSTER MYID"))
        until(self._replicated, "the replica is known to all")

    def _replicated(self) -> bool:
        with admin(self.nodes[0]) as client:
            online = client.info("replication").get("slave0", {}).get("state") == "online"
        return online and all(b"slave" in str(self.ask(n, "CLUSTER NODES")).encode() for n in self.nodes)
