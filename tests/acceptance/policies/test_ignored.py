"""Every proof fails where its policy is ignored: else it proves nothing."""

from __future__ import annotations

import pytest

from leasebeat.testing.trials.cases import CASES
from tests.acceptance.policies import test_ends, test_what, test_when, test_where
from tests.acceptance.policies.conftest import Trials

pytestmark = pytest.mark.slow

MODULES = {module.__name__ for module in (test_ends, test_what, test_when, test_where)}


def test_no_proof_holds_where_its_policy_is_ignored(trials: Trials) -> None:
    assert {case.judge.__module__ for case in CASES.values()} == MODULES
    seen = trials["ignored"].result()
    held: list[str] = []
    for name, case in CASES.items():
        try:
            case.judge(seen.by(case.offset))
        except (AssertionError, KeyError, IndexError, ValueError):
            continue
        held.append(name)
    assert held == []


@pytest.mark.parametrize("store", ["sqlite", "mariadb"])
def test_every_run_of_a_trial_has_ended(trials: Trials, store: str) -> None:
    assert trials[store].result().settled
