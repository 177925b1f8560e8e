"""Connections to a Redis server: one command, one reply, no second try.

redis-py's client is left aside for its bare connection. The client waits for 5 s and sends a command
up to ten times again; a `SET NX` whose reply was lost then finds its own key, and answers "not yours".
A bare connection also never looks up a name or connects in the middle of a question.
"""

from __future__ import annotations

from copy import copy
from importlib import import_module
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

from leasebeat.errors import GateUnavailable, SettingsError

TIMEOUT_S = 0.2
"""How long a fire waits for a connection, and for each reply."""


UNREADABLE = (
    "[redis] url cannot be read; expected redis://[[user]:password@]host[:port][/database], unix://path,"
    " redis+sentinel://[[user]:password@]host:port,host:port/service[/database]"
    " or redis+cluster://[[user]:password@]host:port,host:port; rediss in the place of redis for TLS"
)


class Connection(Protocol):
    """What is used of redis-py's connections, which come without types."""

    def connect(self) -> None: ...

    def disconnect(self) -> None: ...

    def send_command(self, *words: str | int) -> None: ...

    def read_response(self) -> object: ...

    def can_read(self, timeout: float) -> bool: ...


class RedisServer:
    """Where a server is and how to talk to it. redis-py is imported when one is made.

    `url` is `redis://`, `rediss://` or `unix://`. `timeout_s` is how long to wait for a connection, and for
    each reply. With `rediss://` the certificate must be of the authority in the PEM file `ssl_ca` (empty:
    of one that the host trusts) and name the server, unless `ssl_verify` is off. Raises SettingsError.
    """

    def __init__(self, url: str, timeout_s: float, ssl_ca: str = "", ssl_verify: bool = True) -> None:
        driver: Any = import_module("redis.connection")
        self._errors: tuple[type[Exception], ...] = (import_module("redis.exceptions").RedisError, OSError)
        try:
            options: dict[str, Any] = driver.parse_url(url)
            self._make: Any = options.pop("connection_class", driver.Connection)
            if url.startswith("rediss://"):
                options |= _tls(ssl_ca, ssl_verify)
            self._options = options | _our_options(timeout_s)  # ours win over what the URL's query says
            self._make(**self._options)
        except (TypeError, ValueError, *self._errors):
            # What went wrong in it may repeat the password.
            raise SettingsError(UNREADABLE) from None
        self._secrets = {word for word in (options.get("password"), urlsplit(url).password) if word}
        self.name = str(
            options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        )

    def at(self, host: str, port: int) -> Self:
        """Another server that is talked to in the same way."""
        other = copy(self)
        other._options = self._options | {"host": host, "port": port}
        other.name = f"{host}:{port}"
        return other

    def connect(self) -> Link:
        """A new connection, its password given and its database chosen. Raises GateUnavailable."""
        connection: Connection = self._make(**self._options)
        try:
            connection.connect()
        except self._errors as problem:
            raise self.failure(problem) from self.cause(problem)
        return Link(self, connection, self._errors)

    def failure(self, problem: BaseException) -> GateUnavailable:
        """What to say of an error of the driver."""
        code: str = getattr(problem, "status_code", None) or type(problem).__name__
        said = self._masked(f"{code} {problem}".strip())
        return GateUnavailable(f"Redis at {self.name} gave no usable answer: {said}")

    def cause(self, problem: BaseException) -> BaseException | None:
        """The error itself, unless it repeats the password, as `unknown command 'AUTH'` may."""
        return None if self._masked(str(problem)) != str(problem) else problem

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _tls(ssl_ca: str, ssl_verify: bool) -> dict[str, object]:
    given: dict[str, object] = {"ssl_ca_certs": ssl_ca} if ssl_ca else {}
    return given if ssl_verify else given | {"ssl_cert_reqs": "none", "ssl_check_hostname": False}


def _our_options(timeout_s: float) -> dict[str, object]:
    # RESP2 and no client info: nothing is sent at connecting but the password and the database.
    retry: Any = import_module("redis.retry")
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": retry.Retry(import_module("redis.backoff").NoBackoff(), 0),
        "retry_on_timeout": False,
        "retry_on_error": [],
        "health_check_interval": 0,
        "protocol": 2,
        "driver_info": None,
    }


class Link:
    """A connection in use. Every error is GateUnavailable, and the end of the connection."""

    def __init__(
        self, server: RedisServer, connection: Connection, errors: tuple[type[Exception], ...]
    ) -> None:
        self.name = server.name
        self._server = server
        self._connection = connection
        self._errors = errors

    def call(self, *command: str | int) -> object:
        """Send a command and read its reply."""
        try:
            self._connection.send_command(*command)
            return self._connection.read_response()
        except self._errors as problem:
            self.close()
            raise self._server.failure(problem) from self._server.cause(problem)

    def wait(self, seconds: float) -> bool:
        """Whether something to `read` arrives within `seconds`."""
        try:
            return self._connection.can_read(seconds)
        except self._errors as problem:
            self.close()
            raise self._server.failure(problem) from self._server.cause(problem)

    def read(self) -> object:
        """Read what the server says without being asked."""
        try:
            return self._connection.read_response()
        except self._errors as problem:
            self.close()
            raise self._server.failure(problem) from self._server.cause(problem)

    def close(self) -> None:
        """End the connection."""
        self._connection.disconnect()
