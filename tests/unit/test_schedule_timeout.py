"""How long an attempt may take where the row does not say it in seconds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from leasebeat.model.schedule import Kind, Schedule
from leasebeat.testing.trials.cases import proves

JOB = Schedule(1, "job", "@hourly", "true")


@proves("timeout_s", "NULL")
@pytest.mark.parametrize(
    ("kind", "seconds"), [("shell", 86_400), ("python", 86_400), ("http", 60), ("publish", 60)]
)
def test_without_a_word_an_attempt_has_the_time_of_its_kind(kind: Kind, seconds: float) -> None:
    assert replace(JOB, kind=kind, timeout_s=None).timeout == seconds


@proves("timeout_s", "0")
def test_with_zero_an_attempt_has_no_time_out() -> None:
    assert replace(JOB, timeout_s=0.0).timeout is None
