from __future__ import annotations

from typing import Any

import pytest

from leasebeat.cli.fires import run_cells

RUN: dict[str, Any] = {
    "key": "backup@2026-11-20T03:00:00Z",
    "status": "running",
    "node": "web1",
    "duration_s": None,
    "attempt": 2,
    "reason": "node gone",
    "reason_code": None,
}


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ({}, "attempt 2; before: node gone"),
        ({"status": "queued"}, "node gone"),
        ({"status": "failed", "reason": None, "reason_code": "exit_code"}, "exit_code"),
        ({"node": None, "reason": "1/2 succeeded, 1 running"}, "1/2 succeeded, 1 running"),
        ({"reason": None}, None),
    ],
)
def test_the_reason_of_a_running_run_is_that_of_the_attempt_before(
    run: dict[str, Any], told: str | None
) -> None:
    assert run_cells(RUN | run)[-1] == told
