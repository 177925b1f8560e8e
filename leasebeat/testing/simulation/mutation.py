"""What a mutation is: a rule taken out of the protocol, and who should notice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leasebeat.testing.simulation.seed import Patch, Plan
from leasebeat.testing.simulation.world import World


@dataclass(frozen=True, slots=True)
class Mutation:
    """How a rule is broken, and which checkers are expected to notice."""

    plan: Plan
    caught_by: tuple[str, ...]


def without(*rules: str) -> Callable[[World], None]:
    """Take rules out of the simulated server."""

    def prepare(world: World) -> None:
        world.server.without = frozenset(rules)

    return prepare


def planned(
    *patches: Patch,
    prepare: Callable[[World], None] = lambda _: None,
    faults: Sequence[str] = (),
    count: int = 0,
    edits: int | None = None,
    features: Sequence[str] = (),
    coordinator: str = "store",
) -> Plan:
    """A plan with what stands in for parts of the node."""
    return Plan(faults, count, edits, prepare, patches, features, coordinator=coordinator)
