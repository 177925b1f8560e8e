"""Which servers of a Redis deployment take writes: the one that is named, a Sentinel's primary, a Cluster's.

Finding them is the work of whoever connects, never of a fire. What was found is kept as open connections
(`Links`) and never mended: an error of one of them ends all, and they are looked for anew. So a MOVED, an
ASK, a READONLY after a fail-over and a dead server are one case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from typing import Protocol, cast
from urllib.parse import quote, urlsplit

from leasebeat.errors import GateUnavailable, SettingsError
from leasebeat.gate.link import UNREADABLE, Link, RedisServer
from leasebeat.settings import Redis

SLOTS = 16384
"""Of a Cluster; each key is in one, and each slot belongs to one primary."""

_SENTINEL_PORT = 26379
_PORT = 6379


class Deployment(Protocol):
    """A Redis, however it is deployed. Everything raises GateUnavailable."""

    def open(self) -> Links:
        """Connections to all servers that take writes."""
        ...

    def connect(self, key: str) -> Link:
        """One connection, to the server that takes writes of `key`; a channel's name is a key, too."""
        ...

    def sentinels(self) -> dict[str, str]:
        """What each Sentinel cannot do, by its name: empty text where all is well. Raises nothing."""
        ...


class Links:
    """Open connections, each with the slots whose keys it takes: (first, last), both included."""

    def __init__(self, links: Sequence[tuple[range, Link]]) -> None:
        self._links = links

    def of(self, key: str) -> Link:
        """The connection for a key. A script's keys share a hash tag, and so their slot."""
        if len(self._links) == 1:
            return self._links[0][1]
        slot = _slot(key)
        return next(link for slots, link in self._links if slot in slots)

    def each(self) -> Iterator[tuple[str, Link]]:
        """Every connection once, with a hash tag of keys that it takes."""
        seen: set[int] = set()
        wanted = {id(link) for _, link in self._links}
        for tag in map(str, count()):
            link = self.of(f"{{{tag}}}")
            if id(link) not in seen:
                seen.add(id(link))
                yield tag, link
            if seen == wanted:
                return

    def close(self) -> None:
        """End all of them."""
        for _, link in self._links:
            link.close()


def deployment(redis: Redis, timeout_s: float) -> Deployment:
    """What `[redis]` names; `timeout_s` for each connection and each reply. Raises SettingsError."""
    scheme, _, rest = redis.url.partition("://")
    plain, _, kind = scheme.partition("+")
    if kind not in ("sentinel", "cluster"):
        return _Single(RedisServer(redis.url, timeout_s, redis.ssl_ca, redis.ssl_verify))
    try:
        parts = _Parts.read(rest, _SENTINEL_PORT if kind == "sentinel" else _PORT)
        pattern = RedisServer(
            f"{plain}://{parts.who}placeholder/{parts.database(kind)}{parts.query}",
            timeout_s,
            redis.ssl_ca,
            redis.ssl_verify,
        )
    except ValueError:
        raise SettingsError(UNREADABLE) from None
    if kind == "cluster":
        return _Cluster([pattern.at(*place) for place in parts.places])
    watcher = RedisServer(
        _sentinel_url(plain, redis.sentinel_auth), timeout_s, redis.ssl_ca, redis.ssl_verify
    )
    return _Sentinel([watcher.at(*place) for place in parts.places], parts.path[0], pattern)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A URL with several places, taken apart; `who` is `user:password@` or empty, still quoted."""

    who: str
    places: tuple[tuple[str, int], ...]
    path: tuple[str, ...]
    query: str

    @staticmethod
    def read(rest: str, port: int) -> _Parts:
        """Raises ValueError."""
        url = urlsplit(f"//{rest}")
        who, at, hosts = url.netloc.rpartition("@")
        places = tuple(_place(text, port) for text in hosts.split(","))
        path = tuple(word for word in url.path.split("/") if word)
        return _Parts(who + at, places, path, f"?{url.query}" if url.query else "")

    def database(self, kind: str) -> int:
        """Its number. A Cluster has but database 0. Raises ValueError."""
        if kind == "cluster":
            if self.path not in ((), ("0",)):
                raise ValueError("a cluster has no numbered databases")
            return 0
        _, *numbers = self.path or ("",)
        if not self.path or len(numbers) > 1:
            raise ValueError("expected /service or /service/database")
        return int(numbers[0]) if numbers else 0


def _place(text: str, port: int) -> tuple[str, int]:
    url = urlsplit(f"//{text}")
    if not url.hostname:
        raise ValueError("a host is missing")
    return url.hostname, url.port or port


def _sentinel_url(plain: str, auth: str) -> str:
    user, _, password = auth.rpartition(":")
    who = f"{quote(user, safe='')}:{quote(password, safe='')}@" if auth else ""
    return f"{plain}://{who}placeholder"


class _Single:
    """One server."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    def open(self) -> Links:
        return Links([(range(SLOTS), self._server.connect())])

    def connect(self, key: str) -> Link:
        del key
        return self._server.connect()

    def sentinels(self) -> dict[str, str]:
        return {}


class _Sentinel:
    """The primary that Sentinels name at the time. The first Sentinel that knows one is believed.

    It may be an old one, as the others have elected another a moment ago. That costs a needless claim.
    """

    def __init__(self, sentinels: Sequence[RedisServer], service: str, pattern: RedisServer) -> None:
        self._sentinels = sentinels
        self._service = service
        self._pattern = pattern

    def open(self) -> Links:
        return Links([(range(SLOTS), self._primary().connect())])

    def connect(self, key: str) -> Link:
        del key
        return self._primary().connect()

    def sentinels(self) -> dict[str, str]:
        said: dict[str, str] = {}
        for sentinel in self._sentinels:
            try:
                self._named_by(sentinel)
                said[sentinel.name] = ""
            except GateUnavailable as problem:
                said[sentinel.name] = str(problem)
        return said

    def _primary(self) -> RedisServer:
        problems: list[str] = []
        for sentinel in self._sentinels:
            try:
                return self._named_by(sentinel)
            except GateUnavailable as problem:
                problems.append(str(problem))
        raise GateUnavailable(f"no Sentinel names a primary: {'; '.join(problems)}")

    def _named_by(self, sentinel: RedisServer) -> RedisServer:
        place = _asked(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        if not isinstance(place, list):
            raise GateUnavailable(f"the Sentinel at {sentinel.name} knows no service {self._service!r}")
        host, port = cast("list[bytes]", place)
        return self._pattern.at(host.decode(), int(port))


class _Cluster:
    """The primaries of a Cluster, by the first of the named nodes that answers."""

    def __init__(self, seeds: Sequence[RedisServer]) -> None:
        self._seeds = seeds

    def open(self) -> Links:
        links: dict[str, Link] = {}
        try:
            found: list[tuple[range, Link]] = []
            for slots, server in self._map():
                if server.name not in links:
                    links[server.name] = server.connect()
                found.append((slots, links[server.name]))
        except GateUnavailable:
            # Whole or not at all: Redis itself serves no part of a cluster, unless it is told to.
            for link in links.values():
                link.close()
            raise
        return Links(found)

    def connect(self, key: str) -> Link:
        slot = _slot(key)
        return next(server for slots, server in self._map() if slot in slots).connect()

    def sentinels(self) -> dict[str, str]:
        return {}

    def _map(self) -> list[tuple[range, RedisServer]]:
        """Who takes which slots, all of them."""
        problems: list[str] = []
        for seed in self._seeds:
            try:
                return _slots(seed, _asked(seed, "CLUSTER", "SLOTS"))
            except GateUnavailable as problem:
                problems.append(str(problem))
        raise GateUnavailable(f"no node of the cluster tells who has which slots: {'; '.join(problems)}")


def _slots(seed: RedisServer, reply: object) -> list[tuple[range, RedisServer]]:
    """Of (first, last, primary, replica...), where a server is (host, port, ...)."""
    found: list[tuple[range, RedisServer]] = []
    for first, last, primary, *_ in cast("list[tuple[int, int, list[bytes | None]]]", reply):
        host, port = (primary[0] or b"").decode(), int(primary[1] or 0)
        # Without a host it is the one that was asked; `?` is a node that does not know its own name.
        found.append((range(first, last + 1), seed.at(host or seed.name.rpartition(":")[0], port)))
    covered = sum(len(slots) for slots, _ in found)
    if covered != SLOTS:
        raise GateUnavailable(f"Redis at {seed.name}: {covered} of {SLOTS} slots of the cluster are served")
    return found


def _asked(server: RedisServer, *command: str) -> object:
    link = server.connect()
    try:
        return link.call(*command)
    finally:
        link.close()


def _slot(key: str) -> int:
    return import_module("redis.crc").key_slot(key.encode())
