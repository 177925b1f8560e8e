"""Rules taken out of the protocol, one at a time: the checkers must object to each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from leasebeat.testing.store_chaos import faults
from leasebeat.testing.store_chaos.people import LONGEST_TASK_S
from leasebeat.testing.store_chaos.ring import Plan

Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mutation:
    """How a rule is broken, and which checkers are expected to notice."""

    plan: Plan
    caught_by: tuple[str, ...]


def _said_otherwise(rule: str, instead: str, *names: str) -> Callable[[Texts], Texts]:
    """The statements of those names without a rule. Raises ValueError where they do not have it."""

    def patches(texts: Texts) -> Texts:
        for name in names:
            if rule not in texts[name]:
                raise ValueError(f"statement {name} no longer says {rule!r}")
        return {name: texts[name].replace(rule, instead) for name in names}

    return patches


_LONG_PAUSES = Plan(
    seconds=10,
    faults=(faults.pause_long,),
    faults_per_s=1.0,
    rough=False,
    task_s=LONGEST_TASK_S,
)

MUTATIONS: Mapping[str, Mutation] = {
    "no take-back": Mutation(
        replace(
            _LONG_PAUSES,
            faults=(faults.crash,),  # who comes back hands its runs back itself
            seconds=6,
            settle_s=6,
            patches=_said_otherwise("LIMIT %(limit)s", "LIMIT 0", "orphans", "all_orphans"),
        ),
        ("nothing is stuck",),
    ),
    "leash off": Mutation(
        replace(_LONG_PAUSES, task_s=2 * LONGEST_TASK_S, leashes=False),
        ("one execution at a time", "work stops before the purge"),
    ),
    "attempt not compared at finish": Mutation(
        replace(
            _LONG_PAUSES,
            patches=_said_otherwise(
                "r.node_id = %(node_id)s AND r.attempt = j.a", "j.a > 0", "finish", "finish_attempts"
            ),
        ),
        ("late writers refused",),
    ),
    "no version join": Mutation(
        replace(
            _LONG_PAUSES,
            faults=(faults.pause,),
            patches=_said_otherwise(
                "s.enabled = 1 AND s.version = h.version AND s.updated_at = h.updated_at", "TRUE", "claim"
            ),
        ),
        ("edits are not overtaken",),
    ),
}
"""By name."""
