"""Redis deployed otherwise, private ones: a primary and its replica under three Sentinels, and a Cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import redis

from leasebeat.testing.servers import HOST, Redis, Server, asked, free_port, need

__all__ = ["RedisCluster", "RedisSentinel", "Sentinels", "admin", "until"]

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


class RedisSentinel(Server):
    """One Sentinel that watches `primary`; of three, two must agree that it is dead."""

    package = "redis-sentinel"

    def __init__(self, primary: Redis, parent: Path | None = None, *, options: Sequence[str] = ()) -> None:
        self._program = need("redis-sentinel", self.package)
        super().__init__(parent)
        # It writes into its file what it learns.
        self._file = self.folder / "sentinel.conf"
        lines = [
            *(f"port {self.port}", f"bind {HOST}", f"dir {self.folder}"),
            f"sentinel monitor {SERVICE} {HOST} {primary.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_MS}",
            f"sentinel failover-timeout {SERVICE} 3000",
            *options,
        ]
        self._file.write_text("\n".join(lines) + "\n")

    def command(self) -> Sequence[str]:
        return [self._program, str(self._file)]

    def ready(self) -> bool:
        return asked(self.port, b"PING\r\n").startswith((b"+PONG", b"-NOAUTH"))


class Sentinels:
    """A primary, its replica, and three Sentinels. A context manager, like a server.

    `options` are of the two servers, `sentinel_options` lines of the Sentinels' file.
    """

    def __init__(
        self, parent: Path | None = None, *, options: Sequence[str] = (), sentinel_options: Sequence[str] = ()
    ) -> None:
        self.primary = Redis(parent, options=options)
        self.replica = Redis(
            parent,
            options=[
                *options,
                "--replicaof",
                f"{HOST} {self.primary.port}",
                "--repl-diskless-sync-delay",
                "0",
            ],
        )
        self.sentinels = [RedisSentinel(self.primary, parent, options=sentinel_options) for _ in range(3)]
        self._stack = ExitStack()

    @property
    def places(self) -> str:
        """Where the Sentinels are, for `[redis] url`."""
        return ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)

    @property
    def url(self) -> str:
        """For `[redis] url`."""
        return f"redis+sentinel://{self.places}/{SERVICE}"

    def named(self) -> set[int]:
        """The ports of the primary as the Sentinels name it."""
        return {self._ask(sentinel, "get-master-addr-by-name") for sentinel in self.sentinels}

    def _ask(self, sentinel: RedisSentinel, what: str) -> int:
        with admin(sentinel) as client:
            found: Any = client.execute_command("SENTINEL", what, SERVICE)
            return int(found[1])

    def _met(self) -> bool:
        """Whether the Sentinels know each other and the replica: before that they cannot fail over."""
        for sentinel in self.sentinels:
            with admin(sentinel) as client:
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


class RedisCluster:
    """Three primaries, and a replica of the first. A context manager, like a server."""

    def __init__(self, parent: Path | None = None, *, options: Sequence[str] = ()) -> None:
        cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(DOWN_MS)]
        self._bus = [free_port() for _ in range(4)]
        self.nodes = [
            Redis(
                parent,
                options=[*cluster, "--cluster-port", str(port), "--repl-diskless-sync-delay", "0", *options],
            )
            for port in self._bus
        ]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """For `[redis] url`."""
        return f"redis+cluster://{','.join(f'{HOST}:{node.port}' for node in self.nodes)}"

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
        for node, port in zip(self.nodes[1:], self._bus[1:], strict=True):
            self.ask(first, "CLUSTER MEET", HOST, node.port, port)
        until(
            lambda: all(len(self.ask(n, "CLUSTER NODES")) == 4 for n in self.nodes) and self.ok(), "it joins"
        )
        self.ask(self.nodes[3], "CLUSTER REPLICATE", self.ask(first, "CLUSTER MYID"))
        until(self._replicated, "the replica is known to all")

    def _replicated(self) -> bool:
        with admin(self.nodes[0]) as client:
            online = client.info("replication").get("slave0", {}).get("state") == "online"
        return online and all(b"slave" in str(self.ask(n, "CLUSTER NODES")).encode() for n in self.nodes)
