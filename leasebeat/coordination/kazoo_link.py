"""The link to ZooKeeper over kazoo, whose ways are kept inside this module.

* Its threads come from the runtime. Nothing waits for its callbacks: they are hints.
* It never notices a frozen server while requests keep coming: a request without an answer ends the
  connection here, and kazoo goes on to the next server with the same session.
* It does not tell what was negotiated: that is read where it connects.
* A ZooKeeper that came back empty, or from an older backup, refuses whoever has seen more than it knows,
  for ever. After two sessions without a connection what was seen counts no more: the session is over.
* A TCP connect may take it a whole session; here a sixth.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from kazoo import exceptions as kx
from kazoo import security
from kazoo.client import KazooClient, KazooState
from kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler
from kazoo.protocol.connection import _CONNECTION_DROP as DROP  # pyright: ignore[reportPrivateUsage]

from leasebeat.coordination.link import BadVersion, Connection, NodeExists, NoNode, NotAllowed, Stat
from leasebeat.errors import CoordinatorUnavailable, SettingsError
from leasebeat.runtime import Runtime, Task

_SECURITY = cast("Any", security)  # kazoo has no types
_JOIN_S = 3600.0


@dataclass(frozen=True, slots=True)
class ZooKeeperAddress:
    """Where ZooKeeper is, and as whom one comes. `auth` is user:password of the digest scheme."""

    hosts: str
    session_s: float
    auth: str = ""
    ssl_ca: str = ""
    ssl_cert: str = ""
    ssl_key: str = ""
    ssl_verify: bool = True


class _Thread:
    """A task of the runtime, as kazoo joins threads."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def join(self, timeout: float | None = None) -> None:
        self._task.join(_JOIN_S if timeout is None else timeout)


class _Handler(SequentialThreadingHandler):
    def __init__(self, runtime: Runtime, connect_s: float) -> None:
        super().__init__()
        self._runtime = runtime
        self._connect_s = connect_s

    def spawn(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return _Thread(self._runtime.start("kazoo", lambda: func(*args, **kwargs)))

    def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        return cast("Any", super()).create_connection(*args, **{**kwargs, "timeout": self._connect_s})


class KazooLink:
    """A client with one session at a time; a lost one is followed by a new one."""

    def __init__(self, address: ZooKeeperAddress, runtime: Runtime) -> None:
        self._answer_s = address.session_s / 6
        self._connection: Connection | None = None
        self._runtime = runtime
        self._session_s = address.session_s
        self._heard = runtime.boottime()  #: when the last connection ended
        self._number = 0
        self._first = runtime.waiter()
        self._changed: Callable[[], None] = lambda: None
        self._broken: Callable[[], None] = lambda: None
        user, _, password = address.auth.partition(":")
        acl = (
            [_SECURITY.make_acl("digest", _SECURITY.make_digest_acl_credential(user, password), all=True)]
            if user
            else None
        )
        tls = bool(address.ssl_ca or address.ssl_cert)
        quiet = logging.getLogger("leasebeat.kazoo")
        quiet.propagate = False
        quiet.addHandler(logging.NullHandler())
        self._client: Any = KazooClient(
            hosts=address.hosts,
            timeout=address.session_s,
            handler=_Handler(runtime, self._answer_s),
            default_acl=acl,
            auth_data=[("digest", address.auth)] if user else None,
            connection_retry={"max_tries": -1, "delay": 0.1, "max_delay": 1.0},
            logger=quiet,
            use_ssl=tls,
            ca=address.ssl_ca or None,
            certfile=address.ssl_cert or None,
            keyfile=address.ssl_key or None,
            verify_certs=address.ssl_verify,
            check_hostname=tls and address.ssl_verify,
        )
        if self._client.chroot:
            raise SettingsError(
                "[zookeeper] hosts: put the folder into [zookeeper] root, not behind the hosts"
            )
        self._read_what_is_negotiated()
        self._client.add_listener(self._state)
        # Mostly it is there at once; a ZooKeeper that is away is waited for by those who need it.
        self._client.start_async()
        self._first.wait(self._answer_s)

    def _read_what_is_negotiated(self) -> None:
        handler = self._client._connection
        connect = handler._connect

        def connecting(*args: Any) -> tuple[float, float]:
            if self._runtime.boottime() - self._heard > 2 * self._session_s:
                self._client.last_zxid = 0
            read_ms, connect_ms = connect(*args)
            self._number += 1
            session = self._client.client_id
            self._connection = Connection(session[0] if session else 0, read_ms * 1.5 / 1000, self._number)
            self._session_s = self._connection.session_s
            self._first.wake()
            self._changed()
            return read_ms, connect_ms

        handler._connect = connecting

    def _state(self, state: str) -> None:
        if state != KazooState.CONNECTED:
            if self._connection is not None:
                self._heard = self._runtime.boottime()
            self._connection = None
            self._broken()
        self._changed()

    @property
    def connection(self) -> Connection | None:
        """The present one."""
        return self._connection

    def listen(self, changed: Callable[[], None], broken: Callable[[], None]) -> None:
        """Hints."""
        self._changed, self._broken = changed, broken

    def create(self, path: str, data: bytes, *, ephemeral: bool = False, sequential: bool = False) -> str:
        """Its path."""
        return self._answer(self._live().create_async(path, data, ephemeral=ephemeral, sequence=sequential))

    def get(self, path: str) -> tuple[bytes, Stat]:
        """Its data."""
        data, stat = self._answer(self._live().get_async(path, watch=self._seen))
        return data, _stat(stat)

    def exists(self, path: str) -> Stat | None:
        """What is said of it."""
        found = self._answer(self._live().exists_async(path, watch=self._seen))
        return _stat(found) if found else None

    def set(self, path: str, data: bytes, version: int = -1) -> Stat:
        """Write it."""
        return _stat(self._answer(self._live().set_async(path, data, version)))

    def delete(self, path: str) -> None:
        """Remove it."""
        try:
            self._answer(self._live().delete_async(path))
        except NoNode:
            return

    def children(self, path: str, *, watch: bool = True) -> list[str]:
        """Names, after the server has caught up with the leader."""
        self._answer(self._live().sync_async(path))
        return self._answer(self._live().get_children_async(path, watch=self._seen if watch else None))

    def close(self) -> None:
        """End the session."""
        self._client.stop()
        self._client.close()

    def _live(self) -> Any:
        """The client, if it is connected: else a request would wait in it, and be sent who knows when."""
        if self._connection is None:
            raise CoordinatorUnavailable("not connected to ZooKeeper")
        return self._client

    def _seen(self, _: object) -> None:
        self._changed()

    def _answer(self, asked: Any) -> Any:
        """What was asked for, in time. Raises what the module says."""
        try:
            return asked.get(block=True, timeout=self._answer_s)
        except KazooTimeoutError as problem:
            self._drop()
            raise CoordinatorUnavailable("ZooKeeper did not answer in time") from problem
        except kx.NoNodeError as problem:
            raise NoNode(str(problem)) from problem
        except kx.NodeExistsError as problem:
            raise NodeExists(str(problem)) from problem
        except kx.BadVersionError as problem:
            raise BadVersion(str(problem)) from problem
        except (kx.NoAuthError, kx.AuthFailedError) as problem:
            raise NotAllowed("the znode belongs to another account; check [zookeeper] auth") from problem
        except kx.KazooException as problem:
            raise CoordinatorUnavailable(f"ZooKeeper: {type(problem).__name__} {problem}") from problem

    def _drop(self) -> None:
        """End a connection that does not answer."""
        if self._connection is not None:
            self._client._call(DROP, self._client.handler.async_result())


def _stat(found: Any) -> Stat:
    return Stat(found.czxid, found.version, found.ephemeralOwner)
