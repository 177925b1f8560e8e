"""Nodes: the part of `SqlStore` by which they see each other."""

from __future__ import annotations

import json
from collections.abc import Sequence

from leasebeat.model.node import Member, NodeFacts, NodeState, Vitals
from leasebeat.store.base import PINNED_AWAY, START_FAILED_AWAY, Poll, Role
from leasebeat.store.session import Record
from leasebeat.store.sql_rows import Statements, pack


def _member(record: Record) -> Member:
    return Member(
        id=record["id"],
        name=record["name"],
        state=NodeState(record["state"]),
        beat_seq=record["beat_seq"],
        beat_at=record["beat_at"],
        beat_s=record["beat_s"],
        slots=record["slots"],
        queues=json.loads(record["queues"]),
        roles=frozenset(json.loads(record["roles"])),
        stale=bool(record["stale"]),
        czxid=record["czxid"],
    )


def _facts(record: Record) -> NodeFacts:
    return NodeFacts(
        id=record["id"],
        name=record["name"],
        host=record["host"],
        address=record["address"],
        pid=record["pid"],
        boot_id=record["boot_id"],
        pid_namespace=record["pid_namespace"],
        process_start=record["process_start"],
        slots=record["slots"],
        beat_s=record["beat_s"],
        queues=json.loads(record["queues"]),
        roles=tuple(json.loads(record["roles"])),
        version=record["version"],
        tzdata=record["tzdata"],
        state=NodeState(record["state"]),
        czxid=record["czxid"],
    )


def _role(record: Record) -> Role | None:
    if record["term"] is None:
        return None
    return Role(record["holder"], record["term"], bool(record["expired"]), record["watermark"])


class NodeStatements(Statements):
    """Rows of `nodes`, and the one statement a second that looks at everything."""

    def poll(self, node_id: str, queues: Sequence[str]) -> Poll:
        """What a node learns with its one statement a second."""
        records = self._session.query(
            "poll",
            node_id=node_id,
            queues=pack(queues),
            start_failed_away=START_FAILED_AWAY,
            pinned_away=PINNED_AWAY,
        )
        record = records[0]  # without a present node: one row, its id NULL
        return Poll(
            now=record["now"],
            digest=record["digest"],
            members=tuple(_member(each) for each in records if each["id"] is not None),
            running=record["running"],
            kills=bool(record["kills"]),
            ready=bool(record["ready"]),
            orphans=bool(record["orphans"]),
            sweep=bool(record["sweep"]),
            auditor=_role(record),
            follow=bool(record["follow"]),
            paused=frozenset(json.loads(record["paused"] or "[]")),
            coordinator=record["coordinator"],
        )

    def join(self, facts: NodeFacts) -> None:
        """Insert the node's row, with its first beat. Raises Duplicate while a present node has its name."""
        self._session.execute(
            "join",
            id=facts.id,
            node_name=facts.name,
            state=facts.state,
            host=facts.host,
            address=facts.address,
            pid=facts.pid,
            boot_id=facts.boot_id,
            pid_namespace=facts.pid_namespace,
            process_start=facts.process_start,
            slots=facts.slots,
            beat_s=facts.beat_s,
            queues=json.dumps(facts.queues),
            roles=json.dumps(facts.roles),
            version=facts.version,
            tzdata=facts.tzdata,
            czxid=facts.czxid,
        )

    def beat(self, node_id: str, vitals: Vitals) -> bool:
        """False = no such present node: purged."""
        matched = self._session.execute(
            "beat",
            node_id=node_id,
            running=vitals.running,
            cpu_pct=vitals.cpu_pct,
            memory_bytes=vitals.memory_bytes,
            clock_offset_ms=vitals.clock_offset_ms,
            digest=vitals.digest,
            slots=vitals.slots,
            beat_s=vitals.beat_s,
        )
        return matched == 1

    def set_state(self, node_id: str, state: NodeState) -> bool:
        """Change the state of a present node; `left` ends it. False if it is not present."""
        return self._session.execute("set_state", node_id=node_id, state=state) == 1

    def node_named(self, name: str) -> tuple[Member, NodeFacts] | None:
        """The present node of that name."""
        for record in self._session.query("node_named", node_name=name):
            return _member(record), _facts(record)
        return None

    def purge(self, node_id: str, beat_seq: int, watched: bool = True) -> bool:
        """Flip to `purged` if its beat counter is still `beat_seq`, and (if `watched`) its beat is stale."""
        return self._session.execute("purge", node_id=node_id, beat_seq=beat_seq, watched=int(watched)) == 1
