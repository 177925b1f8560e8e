"""A worker dies at each step of a fire, inside the shipped code."""

from __future__ import annotations

from pathlib import Path

import pytest

from leasebeat import faults
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.trials import deaths


@pytest.mark.fault(1, 2, 4, 5, 6, 7, 8, 62)
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_death_at_any_step_loses_nothing_and_records_nothing_twice(
    tmp_path: Path, mariadb: MySQL, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    results = deaths.everywhere(tmp_path, mariadb, redis_url, times=3)
    with capsys.disabled():
        print("", *(line for result in results for line in result.lines()), sep="\n  ")
    assert {result.point: result.findings for result in results} == {point: [] for point in faults.POINTS}
    assert {result.deaths for result in results} == {3}
    assert all(result.statuses["succeeded"] == result.due for result in results)
