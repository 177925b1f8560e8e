"""Each rule of the protocol, taken out, is missed: the checkers are awake."""

from __future__ import annotations

import pytest

from leasebeat.testing.simulation.mutations import MUTATIONS
from leasebeat.testing.simulation.seed import Plan, describe, run_seed

SEEDS = 200


def caught(name: str) -> int | None:
    """The first seed in which the expected checker objects."""
    mutation = MUTATIONS[name]
    for seed in range(SEEDS):
        found = {violation.checker for violation in run_seed(seed, mutation.plan).violations}
        if found & set(mutation.caught_by):
            return seed
    return None


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_protocol_without_this_rule_is_caught(name: str) -> None:
    assert caught(name) is not None


def test_the_clock_that_lags_is_harmless_to_the_whole_protocol() -> None:
    """The mutation `early not asked again` is caught for what it takes out, not for its weather."""
    plan = MUTATIONS["early not asked again"].plan
    whole = Plan(plan.faults, plan.count, plan.edits, plan.prepare)
    reports = [run_seed(seed, whole) for seed in range(5)]
    assert [describe(report) for report in reports if report.violations] == []
