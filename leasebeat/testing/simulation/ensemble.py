"""A simulated ZooKeeper ensemble, and each process's link to it.

The ensemble keeps sessions by its own clock. A member that a client writes to tells the leader with
its next ping only (`_PING`), and what it has not told dies with it. While there is no quorum no session
ends; a new leader gives each a whole session again. A client learns late what became of its session:
a broken connection after up to two thirds of it, the end of the session when it is connected again.
Watches are hints, and a part of them is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from leasebeat.coordination.link import BadVersion, Connection, NodeExists, NoNode, Stat
from leasebeat.errors import CoordinatorUnavailable
from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.testing.simulation.kernel import Kernel, Process, SimCrash

_PING: Micros = SECOND
_TRIP: Micros = 8_000
_AGAIN: Micros = SECOND // 2
_LOST_HINTS = 0.2

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Session:
    number: int
    length: Micros
    heard: Instant  #: as the leader knows it


@dataclass(slots=True)
class _Znode:
    data: bytes
    czxid: int
    version: int = 0
    owner: int = 0
    made: int = 0  #: sequential children so far

    @property
    def stat(self) -> Stat:
        return Stat(self.czxid, self.version, self.owner)


class Ensemble:
    """The servers, as one."""

    def __init__(self, kernel: Kernel, random: Random) -> None:
        self.kernel = kernel
        self.random = random
        self.znodes: dict[str, _Znode] = {}
        self.sessions: dict[int, _Session] = {}
        self.links: list[SimLink] = []
        self.down = False  #: no quorum
        self.lossy = 0.0  #: the part of the answers that get lost, with the connection
        self.leader = 0  #: how many there have been
        self.expired = 0
        self.broken = 0
        self._zxid = 0
        self._session = 0

    def lose_quorum(self) -> None:
        """Nobody is answered, and no session ends."""
        self.down = True

    def elect(self) -> None:
        """A new leader: what pings had not told it is forgotten, each session is given a whole length."""
        self.down = False
        self.leader += 1
        for session in self.sessions.values():
            session.heard = self.kernel.now
            self._watch_over(session)
        self._break_connections()

    def lose_member(self) -> None:
        """A member dies and takes with it which of its sessions it has heard of since its last ping."""
        self.leader += 1
        self._break_connections()

    def empty(self) -> None:
        """Restarted without its data: no session, no znode."""
        self.znodes.clear()
        self.sessions.clear()
        self.elect()

    def begin(self, length: Micros) -> _Session:
        """A new session."""
        self._session += 1
        session = self.sessions[self._session] = _Session(self._session, length, self.kernel.now)
        self._watch_over(session)
        return session

    def touch(self, session: _Session) -> None:
        """A member hears of it now, the leader a ping later."""
        now, leader = self.kernel.now, self.leader

        def told(_: object) -> None:
            if self.leader == leader:
                session.heard = max(session.heard, now)

        self.kernel.after(int(self.random.random() * _PING), told)

    def end(self, number: int) -> None:
        """The session is over: what is ephemeral goes."""
        if self.sessions.pop(number, None) is not None:
            for path in [path for path, znode in self.znodes.items() if znode.owner == number]:
                self.delete(path)

    def _watch_over(self, session: _Session) -> None:
        self.kernel.at(session.heard + session.length, self._judge, (session, session.heard))

    def _judge(self, watched: tuple[_Session, Instant]) -> None:
        session, heard = watched
        if self.sessions.get(session.number) is not session or self.down:
            return
        if session.heard == heard:
            self.expired += 1
            self.end(session.number)
        else:
            self._watch_over(session)

    def _break_connections(self) -> None:
        for link in self.links:
            link.drop()

    # the tree

    def create(self, path: str, data: bytes, owner: int, sequential: bool) -> str:
        parent = self.znodes.get(path.rpartition("/")[0])
        if parent is None and path.count("/") > 1:
            raise NoNode(path)
        if sequential and parent is not None:
            path, parent.made = f"{path}{parent.made:010d}", parent.made + 1
        if path in self.znodes:
            raise NodeExists(path)
        self._zxid += 1
        self.znodes[path] = _Znode(data, self._zxid, owner=owner)
        self._hint()
        return path

    def get(self, path: str) -> tuple[bytes, Stat]:
        znode = self._find(path)
        return znode.data, znode.stat

    def exists(self, path: str) -> Stat | None:
        return self.znodes[path].stat if path in self.znodes else None

    def set(self, path: str, data: bytes, version: int) -> Stat:
        znode = self._find(path)
        if version not in (-1, znode.version):
            raise BadVersion(path)
        self._zxid += 1
        znode.data, znode.version = data, znode.version + 1
        return znode.stat

    def delete(self, path: str) -> None:
        if self.znodes.pop(path, None) is not None:
            self._zxid += 1
            self._hint()

    def children(self, path: str) -> list[str]:
        self._find(path)
        return [each.rpartition("/")[2] for each in self.znodes if each.rpartition("/")[0] == path]

    def _find(self, path: str) -> _Znode:
        if path not in self.znodes:
            raise NoNode(path)
        return self.znodes[path]

    def _hint(self) -> None:
        for link in self.links:
            if self.random.random() >= _LOST_HINTS:
                self.kernel.after(int(self.random.random() * SECOND), link.hint)


class SimLink:
    """The seam `Link` for one process."""

    def __init__(self, ensemble: Ensemble, process: Process, session_s: float) -> None:
        self.cut = False  #: this host cannot reach the ensemble
        self.one_way = False  #: what it sends arrives, no answer comes back
        self._ensemble = ensemble
        self._process = process
        self._session_s = session_s
        self._session: _Session | None = None
        self._connection: Connection | None = None
        self._number = 0
        self._closed = False
        self._changed: Callable[[], None] = lambda: None
        self._broken: Callable[[], None] = lambda: None
        ensemble.links.append(self)
        ensemble.kernel.after(int(ensemble.random.random() * SECOND), self._connect)
        ensemble.kernel.after(round(session_s * SECOND / 3), self._ping)

    @property
    def connection(self) -> Connection | None:
        return self._connection

    def listen(self, changed: Callable[[], None], broken: Callable[[], None]) -> None:
        self._changed, self._broken = changed, broken

    def create(self, path: str, data: bytes, *, ephemeral: bool = False, sequential: bool = False) -> str:
        return self._ask(
            lambda session: self._ensemble.create(path, data, session if ephemeral else 0, sequential)
        )

    def get(self, path: str) -> tuple[bytes, Stat]:
        return self._ask(lambda _: self._ensemble.get(path))

    def exists(self, path: str) -> Stat | None:
        return self._ask(lambda _: self._ensemble.exists(path))

    def set(self, path: str, data: bytes, version: int = -1) -> Stat:
        return self._ask(lambda _: self._ensemble.set(path, data, version))

    def delete(self, path: str) -> None:
        self._ask(lambda _: self._ensemble.delete(path))

    def children(self, path: str, *, watch: bool = True) -> list[str]:
        del watch
        return self._ask(lambda _: self._ensemble.children(path))

    def close(self) -> None:
        self._closed, self._connection = True, None
        if self._session is not None and not self._lost:
            self._ensemble.end(self._session.number)

    # what happens to the connection

    def hint(self, _: object) -> None:
        """A watch has fired."""
        if self._connection is not None and not self._process.dead and not self._process.paused:
            self._changed()

    def drop(self) -> None:
        """The connection is gone; the client notices at once, or when it misses its pings."""
        if self._gone or self._connection is None:
            return
        random, kernel = self._ensemble.random, self._ensemble.kernel
        late = random.random() * self._session_s * 2 / 3 if random.random() < 0.5 else 0.0
        kernel.after(round(late * SECOND), self._notice, self._connection)

    @property
    def _gone(self) -> bool:
        return self._closed or self._process.dead

    @property
    def _lost(self) -> bool:
        return self._ensemble.down or self.cut

    def _notice(self, connection: object) -> None:
        if self._gone or self._connection != connection:
            return
        if self._process.paused:
            self._process.resumed.append(lambda: self._notice(connection))
            return
        self._ensemble.broken += 1
        self._connection = None
        self._broken()
        self._ensemble.kernel.after(int(self._ensemble.random.random() * _AGAIN), self._connect)

    def _connect(self, _: object) -> None:
        ensemble = self._ensemble
        if self._gone or self._connection is not None:
            return
        if self._lost or self.one_way or self._process.paused:
            ensemble.kernel.after(_AGAIN, self._connect)
            return
        if self._session is None or self._session.number not in ensemble.sessions:
            self._session = ensemble.begin(round(self._session_s * SECOND))
        self._number += 1
        ensemble.touch(self._session)
        self._connection = Connection(self._session.number, self._session_s, self._number)
        self._changed()

    def _ping(self, _: object) -> None:
        """The client's own thread keeps the session, whatever the node does."""
        if self._gone:
            return
        if not self._process.paused and self._connection is not None and self._session is not None:
            if not self._lost:
                self._ensemble.touch(self._session)
            if self._lost or self.one_way or self._session.number not in self._ensemble.sessions:
                self.drop()
        self._ensemble.kernel.after(round(self._session_s * SECOND / 3), self._ping)

    # a call

    def _ask(self, what: Callable[[int], Answer]) -> Answer:
        process, ensemble = self._process, self._ensemble
        kernel, random = ensemble.kernel, ensemble.random
        if process.dead:
            raise SimCrash
        connection, session, strand = self._connection, self._session, kernel.current
        if connection is None or session is None:
            raise CoordinatorUnavailable("not connected to ZooKeeper")
        assert strand is not None, "a call outside a strand"
        strand.park_until(kernel.now + int(random.random() * _TRIP))
        if self._lost:
            self._no_answer()
        if session.number not in ensemble.sessions or self._connection != connection:
            self._notice(connection)
            raise CoordinatorUnavailable("the session is over")
        ensemble.touch(session)
        answer = what(session.number)
        if self.one_way or random.random() < ensemble.lossy:
            self._no_answer()
        strand.park_until(kernel.now + int(random.random() * _TRIP))
        return answer

    def _no_answer(self) -> None:
        kernel, connection = self._ensemble.kernel, self._connection
        assert kernel.current is not None, "a call outside a strand"
        kernel.current.park_until(kernel.now + round(self._session_s * SECOND / 6))
        self._notice(connection)
        raise CoordinatorUnavailable("no answer from ZooKeeper")
