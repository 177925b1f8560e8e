"""A fleet with nothing to do hardly asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from leasebeat.testing.servers import MariaDB
from leasebeat.testing.trials import idle


@pytest.mark.slow
def test_an_idle_fleet_sends_few_statements(
    tmp_path: Path, own_mariadb: MariaDB, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = idle.run(tmp_path, own_mariadb, redis_url, seconds=20)
    with capsys.disabled():
        print("", *result.lines(), sep="\n  ")
    assert 0 < result.statements_s <= result.allowed_s
