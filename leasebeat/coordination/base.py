"""The port of coordination: who is alive, and who may try to lead.

The store coordinator answers from the `nodes` rows that the node's own poll has read; ZooKeeper
answers from ephemeral znodes. In both the term of a role is the store's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from leasebeat.model.node import Member, NodeFacts
from leasebeat.model.tuning import Tuning
from leasebeat.runtime import Waiter


class Trust(Protocol):
    """The node's lease, as far as a coordinator has a say in it. Called from any thread."""

    def vouch(self, until: float) -> None:
        """The coordinator believes in this node until then (CLOCK_BOOTTIME, seconds)."""
        ...

    def suspend(self) -> None:
        """Claim and start nothing until it vouches again; what runs goes on until its deadline."""
        ...

    def revoke(self) -> None:
        """The coordinator does not believe in this node any more: whatever time was left is void."""
        ...


class Turns(Protocol):
    """What a coordinator keeps up in a thread of the node."""

    @property
    def waiter(self) -> Waiter:
        """Woken when a turn is wanted now."""
        ...

    def turn(self) -> float:
        """Do what is due; seconds until the next turn. Raises CoordinatorUnavailable."""
        ...


class Coordinator(Protocol):
    """Says whom a node may purge and whether it may try to become the auditor."""

    @property
    def name(self) -> str:
        """`store` or `zookeeper`, as in `schema_info.coordinator`."""
        ...

    @property
    def present(self) -> bool:
        """Whether this node is still the member that entered; one that is not must join under a new id."""
        ...

    @property
    def turns(self) -> Turns | None:
        """What the node must run for it; None if nothing."""
        ...

    def bind(self, trust: Trust, noticed: Callable[[], None], tuned: Callable[[Tuning], None]) -> None:
        """Told once, before anything else: whose trust it limits, what to call when somebody died, and
        what when the fleet's operator has changed something for all nodes.
        """
        ...

    def enter(self, facts: NodeFacts) -> int | None:
        """Before the row is written: be seen by the others. The czxid of the znode, if there is one.

        Raises CoordinatorUnavailable, and NameTaken while another session holds the name.
        """
        ...

    def evict(self, name: str) -> None:
        """Remove what a provably dead node of this name left. Raises CoordinatorUnavailable."""
        ...

    def leave(self) -> None:
        """Be seen no more; nothing of this node runs. Raises CoordinatorUnavailable."""
        ...

    def close(self) -> None:
        """End for good what it holds open."""
        ...

    def look(self, members: Sequence[Member], at: float) -> None:
        """Take in one look at `nodes`, answered at `at` (CLOCK_BOOTTIME, seconds)."""
        ...

    def missed_look(self) -> None:
        """A look failed: what was watched before it counts no more."""
        ...

    def dead(self, at: float) -> list[Member]:
        """The members that this node has itself watched for long enough to declare them dead."""
        ...

    def may_lead(self) -> bool:
        """Whether this node should try for the auditor's role. Asking makes it a candidate."""
        ...

    def withdraw(self) -> None:
        """It can, or will, not audit just now: let another one try."""
        ...
