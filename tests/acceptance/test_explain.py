"""`explain` is right about a fleet under faults and edits."""

from __future__ import annotations

from pathlib import Path

import pytest

from leasebeat.testing.mysql import MySQL
from leasebeat.testing.trials import explain


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_explain_says_what_the_tasks_and_the_log_of_faults_say(
    tmp_path: Path, mariadb: MySQL, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = explain.run(tmp_path, mariadb, redis_url, seconds=16, pairs=400)
    with capsys.disabled():
        print("", *result.lines(), sep="\n  ")
    assert result.findings == []
    assert result.codes.keys() >= {
        "succeeded",
        "failed",
        "not_due",
        "overlap",
        "deleted",
        "calendar",
        "problem",
    }
