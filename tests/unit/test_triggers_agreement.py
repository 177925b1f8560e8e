"""20,000 random expressions, zones and instants, against a matcher written another way and croniter."""

from __future__ import annotations

import pytest

from leasebeat.testing.trials.cron import FEATURES, run

PARTS, SIZE = 4, 5_000
ENOUGH = 1_000 // PARTS
"""How often each feature is asked of both, in each part."""


@pytest.mark.parametrize("seed", range(1, PARTS + 1))
def test_random_expressions_fire_where_a_slow_matcher_and_croniter_say(seed: int):
    agreement = run(SIZE, seed)
    print(*agreement.lines(), sep="\n")
    assert agreement.findings == []
    assert agreement.cases == agreement.asked + agreement.excluded.total() == SIZE
    assert agreement.asked >= 0.6 * SIZE
    assert {name: agreement.by_croniter[name] >= ENOUGH for name in FEATURES} == dict.fromkeys(FEATURES, True)
