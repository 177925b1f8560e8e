"""Three workers, forty schedules each second for a minute, everything breaks in turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from leasebeat.testing.servers import MariaDB, Redis
from leasebeat.testing.trials import load


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_instant_has_its_row_and_no_run_runs_twice_whatever_breaks(
    tmp_path: Path, own_mariadb: MariaDB, own_redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    result = load.run(tmp_path, own_mariadb, own_redis, seconds=60)
    with capsys.disabled():
        print("", *result.lines(), sep="\n  ")
    assert result.findings == []
    assert result.due == 2400
    assert min(result.running_at_faults) >= 10
    assert result.taken_over > 0
    assert result.refused > 0
