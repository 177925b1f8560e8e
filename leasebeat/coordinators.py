"""Which coordinator a fleet has: one row of the store says it, and nobody joins under another.

Who else may be starting now: a worker with the other setting. Each commits first and looks then: the
switch is a compare-and-swap while no node is there, followed by another look at the nodes; and a node
that has joined reads the row with each poll, and leaves when it names another coordinator.
"""

from __future__ import annotations

from leasebeat.coordination.base import Coordinator
from leasebeat.coordination.link import Link, connected
from leasebeat.coordination.store import StoreCoordinator
from leasebeat.errors import StoreUnfit
from leasebeat.logs import event
from leasebeat.model.node import Member
from leasebeat.runtime import Runtime
from leasebeat.settings import Settings
from leasebeat.store.session import Session
from leasebeat.store.sql import SqlStore

__all__ = ["agree", "look_at_zookeeper", "open_coordinator"]

_LOOK_S = 0.5


def open_coordinator(settings: Settings, runtime: Runtime) -> Coordinator:
    """As the settings say. ZooKeeper need not answer yet; kazoo is imported only for it."""
    if settings.node.coordinator == "store":
        return StoreCoordinator()
    from leasebeat.coordination.zookeeper import ZooKeeperCoordinator

    return ZooKeeperCoordinator(runtime, _link(settings, runtime), settings.zookeeper.root)


def look_at_zookeeper(settings: Settings, runtime: Runtime) -> str:
    """What ZooKeeper shows, for `doctor`. Raises CoordinatorUnavailable, NotAllowed, NoNode."""
    link = _link(settings, runtime)
    try:
        nodes = sorted(link.children(f"{settings.zookeeper.root}/nodes", watch=False))
        session_s = connected(link).session_s
    finally:
        link.close()
    return f"session {session_s:g} s; nodes: {', '.join(nodes) or 'none'}"


def _link(settings: Settings, runtime: Runtime) -> Link:
    from leasebeat.coordination.kazoo_link import KazooLink, ZooKeeperAddress

    found = settings.zookeeper
    address = ZooKeeperAddress(
        found.hosts,
        found.session_s,
        found.auth,
        found.ssl_ca,
        found.ssl_cert,
        found.ssl_key,
        found.ssl_verify,
    )
    return KazooLink(address, runtime)


def agree(session: Session, wanted: str, runtime: Runtime) -> None:
    """Make the fleet's coordinator `wanted`, if no node is there; nodes that are dead are waited for.

    Raises StoreUnfit while nodes live under another one.
    """
    store, watch, waiter = SqlStore(session), StoreCoordinator(), runtime.waiter()
    told = False
    while True:
        poll = store.poll("", [])
        if poll.coordinator == wanted:
            return
        living = [member for member in poll.members if not member.stale]
        if living:
            raise StoreUnfit(_refusal(poll.coordinator, wanted, living))
        if not poll.members and _switch(session, store, poll.coordinator, wanted):
            return
        at = runtime.boottime()
        watch.look(poll.members, at)
        for dead in watch.dead(at):
            store.purge(dead.id, dead.beat_seq)
        if not told:
            told = True
            names = ", ".join(member.name for member in poll.members)
            event("WARNING", "switch_waits", "switching the coordinator once these are dead", nodes=names)
        waiter.wait(_LOOK_S)


def _switch(session: Session, store: SqlStore, found: str, wanted: str) -> bool:
    if session.execute("switch_coordinator", found=found, wanted=wanted) != 1:
        return False
    late = store.poll("", []).members
    if late:  # it joined while the switch was under way, and was not seen by it
        session.execute("restore_coordinator", found=found, wanted=wanted)
        raise StoreUnfit(_refusal(found, wanted, late))
    event("WARNING", "coordinator_switched", "the fleet has another coordinator now", was=found, now=wanted)
    return True


def _refusal(found: str, wanted: str, living: tuple[Member, ...] | list[Member]) -> str:
    names = ", ".join(sorted(member.name for member in living))
    return (
        f"the fleet's coordinator is {found!r} and nodes live under it ({names}); expected {wanted!r}, as"
        f' [node] coordinator says here: set it to "{found}", or stop all nodes first and start them with'
        f' "{wanted}"'
    )
