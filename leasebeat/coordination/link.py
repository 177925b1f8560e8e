"""What the ZooKeeper coordinator asks of ZooKeeper: the seam under its logic.

The real one is `kazoo_link.py`; a simulated ensemble has the same few calls. Each call waits for its
answer at most a sixth of the session, and tells errors as these:

    CoordinatorUnavailable   no answer: it may have been done, or may be yet
    NoNode NodeExists BadVersion NotAllowed   what ZooKeeper refused
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from leasebeat.errors import CoordinatorUnavailable, LeasebeatError


class NoNode(LeasebeatError):
    """There is no such znode."""


class NodeExists(LeasebeatError):
    """There is such a znode already."""


class BadVersion(LeasebeatError):
    """The znode was written by somebody else meanwhile."""


class NotAllowed(LeasebeatError):
    """The ACL of the znode does not let this account do that."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An unbroken connection of a session. Each new connection has a higher `number`."""

    session: int
    session_s: float  #: as negotiated
    number: int


@dataclass(frozen=True, slots=True)
class Stat:
    """What ZooKeeper says of a znode."""

    czxid: int
    version: int
    owner: int  #: the session of an ephemeral znode, else 0


class Link(Protocol):
    """A client of ZooKeeper. Paths are absolute; calls come from several threads."""

    @property
    def connection(self) -> Connection | None:
        """The present one; None while there is none."""
        ...

    def listen(self, changed: Callable[[], None], broken: Callable[[], None]) -> None:
        """Hints only: `changed` when a watched znode or the connection changed, `broken` when it was lost."""
        ...

    def create(self, path: str, data: bytes, *, ephemeral: bool = False, sequential: bool = False) -> str:
        """Its path. Raises NodeExists, NoNode (of the parent)."""
        ...

    def get(self, path: str) -> tuple[bytes, Stat]:
        """Sets a watch. Raises NoNode."""
        ...

    def exists(self, path: str) -> Stat | None:
        """Sets a watch."""
        ...

    def set(self, path: str, data: bytes, version: int = -1) -> Stat:
        """Raises NoNode, BadVersion."""
        ...

    def delete(self, path: str) -> None:
        """Nothing happens where there is none."""
        ...

    def children(self, path: str, *, watch: bool = True) -> list[str]:
        """As of now, not of what a server behind the others still shows. Raises NoNode."""
        ...

    def close(self) -> None:
        """End the session: what is ephemeral goes with it."""
        ...


def connected(link: Link) -> Connection:
    """The present connection. Raises CoordinatorUnavailable where there is none."""
    connection = link.connection
    if connection is None:
        raise CoordinatorUnavailable("not connected to ZooKeeper")
    return connection
