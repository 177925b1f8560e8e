"""Every proof fails where its policy is ignored: else it proves nothing."""

from __future__ import annotations

import pytest

from leasebeat.testing.trials.cases import CASES
from tests.acceptance.policies.conftest import Trials

pytestmark = pytest.mark.slow


def test_no_proof_holds_where_its_policy_is_ignored(trials: Trials) -> None:
    seen = trials["ignored"].result()
    held: list[str] = []
    for name, case in CASES.items():
        try:
            case.judge(seen.by(case.offset))
        except (AssertionError, KeyError, IndexError, ValueError):
            continue
        held.append(name)
    assert held == []


def test_every_run_of_the_trials_has_ended(trials: Trials) -> None:
    assert {name: trials[name].result().settled for name in ("sqlite", "mariadb")} == {
        "sqlite": True,
        "mariadb": True,
    }
