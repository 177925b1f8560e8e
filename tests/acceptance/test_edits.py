"""An edit holds everywhere within a second and loses no fire."""

from __future__ import annotations

from pathlib import Path

import pytest

from leasebeat.testing.mysql import MySQL
from leasebeat.testing.trials import edits


@pytest.mark.fault(78, 80)
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_edits_by_the_mysql_client_hold_within_a_second_and_lose_no_fire(
    tmp_path: Path, mariadb: MySQL, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    results = edits.both(tmp_path, mariadb, redis_url, edits=12)
    with capsys.disabled():
        print("", *(line for result in results for line in result.lines()), sep="\n  ")
    assert [result.findings for result in results] == [[], []]
    assert min(result.near_an_instant for result in results) > 0
