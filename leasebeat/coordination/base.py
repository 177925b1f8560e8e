"""The port of coordination: who is alive, and who may try to lead.

The store coordinator answers from the `nodes` rows that the node's own poll has read; ZooKeeper
answers from ephemeral znodes. In both the term of a role is the store's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from leasebeat.model.node import Member


class Coordinator(Protocol):
    """Says whom a node may purge and whether it may try to become the auditor."""

    def look(self, members: Sequence[Member], at: float) -> None:
        """Take in one look at `nodes`, answered at `at` (CLOCK_BOOTTIME, seconds)."""
        ...

    def missed_look(self) -> None:
        """A look failed: what was watched before it counts no more."""
        ...

    def dead(self, at: float) -> list[Member]:
        """The members that this node has itself watched standing still for a whole lease."""
        ...

    def may_lead(self) -> bool:
        """Whether this node should try for the auditor's role."""
        ...
