"""Hints are worth reading: none on what means the same everywhere, one for each trap."""

from __future__ import annotations

import pytest

from leasebeat.triggers.dialects import hints


@pytest.mark.parametrize(
    "cron",
    [
        "0 3 * * *",
        "*/5 * * * *",
        "*/15 8-18 * * mon-fri",
        "0 0 1,15 * *",
        "0 */6 * * *",
        "0 0 * jan,jul *",
        "0 8-18/2 * * *",
        "* * * * *",
        "*/1 */1 */1 * *",
        "@daily",
        "@every 7m",
        "@at 2026-12-24T18:00:00Z",
        "quartz: 0 0 3 ? * 2",
        "not a cron",
        "60 * * * 1",
        "٥ * * * 1",
        "",
    ],
)
def test_plain_expressions_words_and_what_is_refused_have_none(cron: str):
    assert hints(cron) == []


@pytest.mark.parametrize(
    ("cron", "parts"),
    [
        ("0 0 * * 1", ["day of week 1 counts from Sunday = 0 here and in Debian's cron, from Monday = 0"]),
        ("0 0 * * 1-5,sun", ["day of week 1-5 counts from Sunday = 0"]),
        ("0 0 3 * * 1", ["here and to Spring", "six fields begin with the seconds"]),
        ("0 0 13 * fri", ["one of day of month and day of week is enough"]),
        ("0 0 */2 * mon", ["both days must match", "the day of month */2 begins anew with each month"]),
        ("0 0 13 * */2", ["both days must match", "the day of week */2 counts from Sunday here"]),
        ("*/7 * * * *", ["the minute */7 begins anew with each hour: 56 is followed by 0", "@every 7m"]),
        ("0 0/5 * * *", ["the hour 0/5 begins anew with each day: 20 is followed by 0", "@every 5h"]),
        ("*/45 * * * * *", ["the second */45 begins anew with each minute", "six fields"]),
        ("H 3 * * *", ["H is drawn by the schedule's name"]),
        ("0 0 * * fri#2", ["the day of week fri#2 is every one of these to Debian's cron"]),
        ("0 0 * * 5L", ["the day of week 5L is the day before that to Quartz"]),
        ("0 0 L * *", ["the day of month L is not known to Debian's cron"]),
        ("0 0 15W * *", ["the day of month 15W is not known to Debian's cron"]),
        ("0 0 1 * ?", ["? is * here"]),
    ],
)
def test_each_trap_has_its_hint(cron: str, parts: list[str]):
    told = " | ".join(hints(cron))
    assert [part for part in parts if part not in told] == []


@pytest.mark.parametrize(
    ("cron", "count"), [("0 0 * * 1", 1), ("0 0 13 * 5", 2), ("0 0 * * 5L", 1), ("*/7 * * * *", 1)]
)
def test_nothing_is_told_twice(cron: str, count: int):
    assert len(hints(cron)) == count
