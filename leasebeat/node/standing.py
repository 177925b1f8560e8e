"""Where this node stands in the fleet: what its services share."""

from __future__ import annotations

from leasebeat.model.node import NodeFacts, NodeState
from leasebeat.node.clock import StoreClock
from leasebeat.node.lease import Lease
from leasebeat.node.ranking import Ranking
from leasebeat.store.base import Poll


class Standing:
    """Written by the heartbeat (id), the membership (all else); read by every service.

    Each attribute is replaced whole, so readers need no lock.
    """

    def __init__(self, facts: NodeFacts, clock: StoreClock, lease: Lease) -> None:
        self.facts = facts
        self.clock = clock
        self.lease = lease
        self.node_id: str | None = None  #: None before the first join and after a purge
        self.state = facts.state
        self.row_state: NodeState | None = None  #: what the last poll showed of the own row
        self.draining = False  #: on its way out, whatever anybody writes into its row
        self.leaving = False  #: about to write `left`: from then on it neither beats nor joins
        self.ranking = Ranking()
        self.poll: Poll | None = None
        self.paused_queues: frozenset[str] = (
            frozenset()
        )  #: by the coordinator's config, beside those of the store

    def joined(self, node_id: str, state: NodeState) -> None:
        """A row of its own from now on."""
        self.node_id, self.state = node_id, state

    def gone(self) -> None:
        """Its row is purged or has left; it may come back under a new id."""
        self.node_id, self.poll, self.ranking = None, None, Ranking()

    @property
    def takes_work(self) -> bool:
        """Whether it may open or pull runs: live, and sure of it."""
        live = self.state == NodeState.LIVE and not self.draining
        return self.node_id is not None and live and self.lease.firm()

    @property
    def pulls_from(self) -> list[str]:
        """Its queues, but for those paused by the coordinator's config."""
        return [queue for queue in self.facts.queues if queue not in self.paused_queues]

    @property
    def dispatches(self) -> bool:
        """It opens fires."""
        return "dispatch" in self.facts.roles

    @property
    def executes(self) -> bool:
        """It runs tasks."""
        return "execute" in self.facts.roles
