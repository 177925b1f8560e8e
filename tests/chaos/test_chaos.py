"""Five real workers are ill-treated by a seed for as long as CI has time; `scripts/chaos` does it longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from leasebeat.testing.chaos.ground import Coordinator, Plan
from leasebeat.testing.chaos.report import Report
from leasebeat.testing.chaos.ring import run
from leasebeat.testing.servers import sweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize(("coordinator", "seconds"), [("store", 80)])
def test_a_fleet_that_is_ill_treated_loses_nothing_and_begins_nothing_twice(
    coordinator: Coordinator, seconds: int, tmp_path: Path
):
    report = ill_treated(Plan(1, coordinator, seconds), tmp_path)
    said = "\n".join(report.lines())
    print(said)
    assert not report.findings, said
    assert report.taken_over, "faults that cost nobody anything show nothing\n" + said
    assert sum(report.faults.values()) >= seconds // 10, said
    assert report.long_pct >= 25, said


def ill_treated(plan: Plan, folder: Path) -> Report:
    try:
        return run(folder, plan)
    finally:
        sweep(folder)
