"""Each trap that APScheduler's own triggers hold for a fleet, and that ours do not fall into."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.triggers.base import BaseTrigger

from leasebeat.errors import ExpressionError
from leasebeat.model.instant import from_text, to_text
from leasebeat.triggers import Trigger, parse

NOON = from_text("2027-06-01T12:00:00Z")
EXPRESSIONS = ["0 3 * * *", "*/10 * * * * *", "@every 90s", "@at 2027-12-24T18:00:00Z", "@daily"]


@pytest.fixture
def host_in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_an_interval_is_not_anchored_to_the_start_of_the_process():
    assert (
        parse("@every 7s").next(NOON) == parse("@every 7s").next(NOON) == (NOON // 7_000_000 + 1) * 7_000_000
    )


@pytest.mark.parametrize("cron", EXPRESSIONS)
def test_there_is_no_random_jitter(cron: str):
    trigger = parse(cron)
    assert len({trigger.next(NOON) for _ in range(50)}) == 1


@pytest.mark.parametrize("cron", EXPRESSIONS)
def test_the_hosts_time_zone_changes_nothing(cron: str, request: pytest.FixtureRequest):
    before = parse(cron).next(NOON)
    request.getfixturevalue("host_in_tokyo")
    assert (parse(cron).next(NOON), os.environ["TZ"]) == (before, "Asia/Tokyo")


def test_zero_is_sunday():
    assert to_text(parse("0 0 * * 0").next(NOON) or 0) == "2027-06-06T00:00:00Z"


def test_seven_is_sunday_too():
    assert parse("0 0 * * 7").next(NOON) == parse("0 0 * * 0").next(NOON)


def test_day_of_month_and_day_of_week_are_joined_with_or():
    assert to_text(parse("0 0 13 * 5").next(NOON) or 0) == "2027-06-04T00:00:00Z"


def test_a_number_behind_a_weekday_is_not_ignored():
    assert to_text(parse("0 0 * * fri#3").next(NOON) or 0) == "2027-06-18T00:00:00Z"


def test_digits_of_other_scripts_are_refused():
    with pytest.raises(ExpressionError):
        parse("٥ * * * *")


def test_a_date_that_is_over_does_not_come_back_after_a_restart():
    assert (
        parse("@at 2027-06-01T12:00:00Z").get_next_fire_time(None, datetime(2027, 6, 2, tzinfo=UTC)) is None
    )


def test_intervals_are_exact_microseconds_for_ever():
    trigger = parse("@every 1ms")
    far = from_text("2099-12-31T23:59:59.998999Z")
    assert trigger.next(far) == far + 1


@pytest.mark.parametrize("cron", [*EXPRESSIONS, "@manual"])
def test_a_trigger_works_where_apscheduler_wants_one(cron: str):
    trigger = parse(cron)
    assert isinstance(trigger, BaseTrigger)
    now = datetime(2027, 6, 1, 12, tzinfo=UTC)
    assert as_instants(trigger, now, 3) == [
        None if found is None else from_text(found.isoformat()) for found in apscheduler_walk(trigger, now, 3)
    ]


def as_instants(trigger: Trigger, now: datetime, count: int) -> list[int | None]:
    found: list[int | None] = [trigger.next(from_text(now.isoformat()) - 1)]
    while len(found) < count:
        last = found[-1]
        found.append(None if last is None else trigger.next(last))
    return found


def apscheduler_walk(trigger: Trigger, now: datetime, count: int) -> list[datetime | None]:
    found: list[datetime | None] = [trigger.get_next_fire_time(None, now)]
    while len(found) < count:
        last = found[-1]
        found.append(None if last is None else trigger.get_next_fire_time(last, last + timedelta(days=1)))
    return found
