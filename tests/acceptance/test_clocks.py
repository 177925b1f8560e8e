"""Clocks of hosts decide nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from leasebeat.testing.mysql import MySQL
from leasebeat.testing.trials import clocks


@pytest.mark.fault(54, 55, 56)
@pytest.mark.slow
def test_wrong_and_jumping_host_clocks_start_nothing_early_or_twice_and_purge_nobody(
    tmp_path: Path, mariadb: MySQL, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = clocks.run(tmp_path, mariadb, redis_url, seconds=18)
    with capsys.disabled():
        print("", *result.lines(), sep="\n  ")
    assert result.findings == []
    assert result.due == result.statuses["succeeded"] == result.executions == 180
    assert result.nodes == ["live", "live", "live"]
    assert result.offsets_s == {"true": 0, "ahead": 30, "behind": -30}
    assert min(result.by_node.values()) > 0
