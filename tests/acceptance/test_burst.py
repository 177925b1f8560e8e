"""Ten thousand rows due at one second."""

from __future__ import annotations

from pathlib import Path

import pytest

from leasebeat.testing.mysql import MySQL
from leasebeat.testing.trials import burst


@pytest.mark.slow
@pytest.mark.fault(76)
def test_ten_thousand_rows_of_one_second_run_once_each(
    tmp_path: Path, mariadb: MySQL, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = burst.run(tmp_path, mariadb, redis_url, rows=10_000)
    with capsys.disabled():
        print("", *result.lines(), sep="\n  ")
    assert (result.distinct_keys, result.keys_run_twice, result.whole_rows) == (10_000, 0, 10_000)
