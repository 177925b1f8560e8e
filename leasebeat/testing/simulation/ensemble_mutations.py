"""Rules of the ZooKeeper coordinator, taken out one at a time."""

from __future__ import annotations

from collections.abc import Mapping

from leasebeat.coordination.link import Connection
from leasebeat.coordination.roll import Roll
from leasebeat.node.lease import Lease
from leasebeat.testing.simulation.mutation import Mutation, planned

# What stands in for a method sees what that method sees.
# pyright: reportPrivateUsage=false


def _ignored(self: Lease, *arguments: object) -> None:
    del self, arguments


def _gone_at_once(self: Roll, connection: Connection | None, at: float) -> set[int]:
    del connection, at
    return set(self._missing)


ENSEMBLE_MUTATIONS: Mapping[str, Mutation] = {
    "LOST ignored": Mutation(
        planned(
            (Lease, "vouch", _ignored),
            (Lease, "suspend", _ignored),
            (Lease, "revoke", _ignored),
            faults=("zookeeper cut",),
            count=12,
            coordinator="zookeeper",
        ),
        ("work stops before the purge",),
    ),
    "purge at once when the znode is missing": Mutation(
        planned(
            (Roll, "gone", _gone_at_once),
            faults=("ensemble empty",),
            count=12,
            coordinator="zookeeper",
        ),
        ("work stops before the purge",),
    ),
}
"""By name. Each must be caught within 200 seeds."""
