"""Rules taken out of the protocol, one at a time: the checkers must object to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from leasebeat.testing.simulation.seed import Plan


@dataclass(frozen=True, slots=True)
class Mutation:
    """How a rule is broken, and who is expected to notice."""

    plan: Plan
    caught_by: tuple[str, ...]


MUTATIONS: Mapping[str, Mutation] = {}
