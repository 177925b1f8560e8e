"""Coordination by ZooKeeper: a node is a member while its ephemeral znode stands.

    <root>/nodes/<name>      ephemeral: id, host, pid, queues; the service list
    <root>/config            JSON, optional: what holds for all nodes (`Tuning`)
    <root>/auditor/<id>-N    ephemeral, sequential: who tries to be the auditor

Trust is measured, not told: it ends two thirds of the *negotiated* session after the start of the last
answered write of the own znode, on CLOCK_BOOTTIME. What kazoo says of the session (suspended, lost)
comes later than the moment at which the ensemble lets others in, and is a hint. A follower tells its
leader of a write only with its next ping, and may die before it: so trust never outlasts a whole
session from the start of the write before the last one either (docs/protocol.md).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from leasebeat.coordination.base import Trust, Turns
from leasebeat.coordination.election import Candidacy
from leasebeat.coordination.link import BadVersion, Connection, Link, NodeExists, NoNode, Stat, connected
from leasebeat.coordination.roll import Roll
from leasebeat.coordination.store import StoreCoordinator
from leasebeat.errors import CoordinatorUnavailable, LeasebeatError, NameTaken, SettingsError
from leasebeat.logs import event
from leasebeat.model.node import Member, NodeFacts
from leasebeat.model.tuning import Tuning
from leasebeat.runtime import Runtime

LOOK_S = 1.0
"""Seconds between two looks at the others; watches make most of them come sooner."""

_TRUST = 2 / 3
_WRITE = 1 / 3


@dataclass(frozen=True, slots=True)
class _Own:
    """The own znode, as the last answered write left it."""

    path: str
    data: bytes
    stat: Stat
    written: float  #: when that write was begun, CLOCK_BOOTTIME
    before: float  #: when the one before it was begun
    connection: Connection


class ZooKeeperCoordinator:
    """Keeps the own znode, watches those of the others. `turn` belongs to a thread of its own."""

    name = "zookeeper"

    def __init__(self, runtime: Runtime, link: Link, root: str) -> None:
        self.waiter = runtime.waiter()
        self._runtime = runtime
        self._link = link
        self._root = root
        self._lock = runtime.lock()  # enter and leave come from the heartbeat and the drain
        self._trust: Trust | None = None
        self._own: _Own | None = None
        self._members: tuple[Member, ...] = ()
        self._stale = StoreCoordinator()  #: judges rows without a znode: of before the fleet was switched
        self._roll = Roll()
        self._candidacy: Candidacy | None = None
        self._wants_to_lead = self._first = False
        self._looked = float("-inf")
        self._prepared = 0  #: the connection over which the folders were last seen to be there
        self._candidate = runtime.new_id()
        self._noticed: Callable[[], None] = lambda: None
        self._tuned: Callable[[Tuning], None] = lambda _: None
        self._config = b""  #: the text that was read last, good or not
        link.listen(self.waiter.wake, self._suspend)

    # the node's part

    @property
    def present(self) -> bool:
        """Whether the own znode stands, as far as is known."""
        return self._own is not None

    @property
    def turns(self) -> Turns:
        """It is kept up by itself."""
        return self

    def bind(self, trust: Trust, noticed: Callable[[], None], tuned: Callable[[Tuning], None]) -> None:
        """Whose trust it limits, and whom to tell of deaths and of what the operator changed."""
        self._trust, self._noticed, self._tuned = trust, noticed, tuned

    def enter(self, facts: NodeFacts) -> int:
        """Make the znode; one that this session has already is written anew."""
        connection = connected(self._link)
        self._prepare(connection)
        started = self._runtime.boottime()
        path, data = f"{self._root}/nodes/{facts.name}", _data(facts)
        try:
            self._link.create(path, data, ephemeral=True)
        except NodeExists:
            started = self._runtime.boottime()
        stat = self._link.exists(path)
        if stat is None:
            raise CoordinatorUnavailable(f"{path} is gone again")
        if stat.owner != connection.session:
            raise NameTaken(f"{path} is of another session: {self._whose(path)}")
        stat = self._link.set(path, data, stat.version)
        own = _Own(path, data, stat, started, started, connection)
        with self._lock:
            self._own = own
            self._candidacy = Candidacy(self._link, self._root, self._candidate, facts.name)
        self._vouch(own)
        self.waiter.wake()
        return stat.czxid

    def evict(self, name: str) -> None:
        """Remove the znode of a node that is provably dead, unless it is the own one by now."""
        path, connection = f"{self._root}/nodes/{name}", connected(self._link)
        stat = self._link.exists(path)
        if stat is not None and stat.owner != connection.session:
            self._link.delete(path)

    def leave(self) -> None:
        """Remove the own znode, and the candidacy."""
        with self._lock:
            own, self._own = self._own, None
            candidacy = self._candidacy
        self._wants_to_lead = self._first = False
        if own is not None:
            self._link.delete(own.path)
        if candidacy is not None:
            candidacy.withdraw()

    def close(self) -> None:
        """End the session: the others see at once that this node is gone."""
        self._link.close()

    # the others

    def look(self, members: Sequence[Member], at: float) -> None:
        """Take in one look at `nodes`."""
        self._members = tuple(members)
        self._stale.look([member for member in members if member.czxid is None], at)

    def missed_look(self) -> None:
        """Rows without a znode are watched anew; of the others ZooKeeper tells."""
        self._stale.missed_look()

    def dead(self, at: float) -> list[Member]:
        """Those whose znode is gone, by the rule of `Roll`; and of the rows without one, by the store's."""
        gone = self._roll.gone(self._link.connection, at)
        return [member for member in self._members if member.czxid in gone] + self._stale.dead(at)

    def may_lead(self) -> bool:
        """Whether this node is the first in the line, which asking puts it into."""
        if not self._wants_to_lead:
            self._wants_to_lead = True
            self.waiter.wake()
        return self._first

    def withdraw(self) -> None:
        """Leave the line at the next turn."""
        if self._wants_to_lead:
            self._wants_to_lead = self._first = False
            self.waiter.wake()

    # the coordinator's own turns

    def turn(self) -> float:
        """One turn of everything that must be kept up; seconds until the next is due."""
        try:
            connection = connected(self._link)
            self._prepare(connection)
            self._keep(connection)
            if self._runtime.boottime() - self._looked >= LOOK_S / 2:
                self._look_around(connection)
                self._read_config()
            self._stand_or_withdraw()
        except LeasebeatError:
            self._suspend()
            self._roll.broke()
            raise
        return min(LOOK_S, connection.session_s * _WRITE / 2)

    def _prepare(self, connection: Connection) -> None:
        """Make what everything lies under. After each break anew: ZooKeeper may have come back empty."""
        if self._prepared == connection.number:
            return
        parts = self._root.strip("/").split("/")
        folders = ["/" + "/".join(parts[: end + 1]) for end in range(len(parts))]
        for path in [*folders, f"{self._root}/nodes", f"{self._root}/auditor"]:
            with contextlib.suppress(NodeExists):
                self._link.create(path, b"")
        self._prepared = connection.number

    def _keep(self, connection: Connection) -> None:
        """Write the own znode when it is due; after a new connection at once, which also verifies it."""
        own = self._own
        if own is None:
            return
        started = self._runtime.boottime()
        due = min(
            own.written + connection.session_s * _WRITE * 0.95, own.before + connection.session_s * _TRUST
        )
        if connection == own.connection and started < due:
            return
        try:
            stat = self._link.set(own.path, own.data, own.stat.version)
        except NoNode:
            self._lost(own)
            return
        except BadVersion:  # an earlier write whose answer was lost; or the znode is another's
            found = self._link.exists(own.path)
            if found is None or not _is_same(found, own, connection):
                self._lost(own)
                return
            stat = self._link.set(own.path, own.data, found.version)
        if not _is_same(stat, own, connection):
            self._lost(own)
            return
        self._link.exists(own.path)  # the watch: who removes it by hand is noticed at once
        fresh = replace(own, stat=stat, written=started, before=own.written, connection=connection)
        with self._lock:
            if self._own is not own:
                return  # left meanwhile
            self._own = fresh
        self._vouch(fresh)

    def _vouch(self, own: _Own) -> None:
        session_s = own.connection.session_s
        if self._trust is not None:
            self._trust.vouch(min(own.written + _TRUST * session_s, own.before + session_s))

    def _lost(self, own: _Own) -> None:
        with self._lock:
            if self._own is own:
                self._own = None
        self._wants_to_lead = self._first = False
        event("ERROR", "znode_lost", "the own znode is gone, or another's; all work stops", path=own.path)
        if self._trust is not None:
            self._trust.revoke()

    def _suspend(self) -> None:
        self._first = False
        if self._trust is not None:
            self._trust.suspend()
        with self._lock:
            if (
                self._own is not None
            ):  # over whatever connection comes, it is verified before anything is claimed
                self._own = replace(self._own, connection=replace(self._own.connection, number=-1))

    def _look_around(self, connection: Connection) -> None:
        named = {member.czxid for member in self._members if member.czxid is not None}
        started = self._runtime.boottime()
        here: list[int] = []
        for name in self._link.children(f"{self._root}/nodes"):
            stat = self._link.exists(f"{self._root}/nodes/{name}")
            if stat is not None:
                here.append(stat.czxid)
        if self._link.connection != connection:
            raise CoordinatorUnavailable("the connection broke during a look")
        self._roll.look(connection, started, here, named)
        self._looked = started
        if self._roll.gone(connection, self._runtime.boottime()):
            self._noticed()

    def _read_config(self) -> None:
        """A mistake in it changes nothing: what was good last stays."""
        path = f"{self._root}/config"
        try:
            data = self._link.get(path)[0]
        except NoNode:
            data = b""
        if data == self._config:
            return
        self._config = data
        try:
            tuning = Tuning.parse(data)
        except SettingsError as problem:
            event("ERROR", "config_refused", f"{path} is not used, what it said before stays", error=problem)
            return
        event("INFO", "config_changed", f"{path} is in force", config=data.decode(errors="replace"))
        self._tuned(tuning)

    def _stand_or_withdraw(self) -> None:
        candidacy = self._candidacy
        if candidacy is None:
            return
        if self._wants_to_lead and self._own is not None:
            self._first = candidacy.stand()
        elif not self._wants_to_lead:
            candidacy.withdraw()

    def _whose(self, path: str) -> str:
        try:
            return self._link.get(path)[0].decode(errors="replace")
        except NoNode:
            return "gone meanwhile"


def _is_same(stat: Stat, own: _Own, connection: Connection) -> bool:
    return stat.czxid == own.stat.czxid and stat.owner == connection.session


def _data(facts: NodeFacts) -> bytes:
    shown = {
        "id": facts.id,
        "host": facts.host,
        "pid": facts.pid,
        "console": "",
        "queues": facts.queues,
    }
    return json.dumps(shown).encode()
