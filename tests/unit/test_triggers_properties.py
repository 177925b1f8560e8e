"""What holds for all expressions: order, purity, and agreement with matchers written another way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, product
from random import Random

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from leasebeat.errors import ExpressionError
from leasebeat.model.instant import DAY, SECOND, Instant, from_datetime, from_text, to_datetime
from leasebeat.triggers import instants, parse
from leasebeat.triggers.fields import for_cronsim
from leasebeat.triggers.zones import zone

settings.register_profile("triggers", derandomize=True, deadline=None, max_examples=150)
fixed_seed = settings.get_profile("triggers")

LIMITS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Cairo"]
MINUTE = 60 * SECOND


def ranges(low: int, high: int) -> st.SearchStrategy[str]:
    bounds = st.tuples(st.integers(low, high), st.integers(low, high)).map(sorted)
    return bounds.map(lambda pair: f"{pair[0]}-{pair[1]}")


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    value = st.integers(low, high).map(str)
    step = st.integers(1, 12).map(lambda number: f"/{number}")
    stepped = st.builds(str.__add__, st.one_of(st.just("*"), ranges(low, high), value), step)
    items = st.one_of(value, ranges(low, high), stepped)
    return st.one_of(st.just("*"), items, st.lists(items, min_size=2, max_size=3).map(",".join))


expressions = st.tuples(*[fields(*limits) for limits in LIMITS.values()]).map(" ".join)
moments = st.integers(from_text("2024-01-01T00:00:00Z"), from_text("2035-01-01T00:00:00Z"))


def values(field: str, low: int, high: int) -> set[int]:
    """The numbers that a field allows, read without a look at cronsim."""
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        start = low if span == "*" else int(first)
        end = int(last) if last else high if span == "*" or step else start
        found.update(range(start, end + 1, int(step or 1)))
    return found


class Matcher:
    """The plain meaning of five fields for a naive local time."""

    def __init__(self, cron: str) -> None:
        texts = cron.split()
        sets = [values(text, *limits) for text, limits in zip(texts, LIMITS.values(), strict=True)]
        self.minutes, self.hours, self.days, self.months, weekdays = sets
        self.weekdays = {day % 7 for day in weekdays}
        self.both = texts[2][0] == "*" or texts[4][0] == "*"
        self.real_time = texts[0][0] == "*" or texts[1][0] == "*"

    def day(self, local: datetime) -> bool:
        in_days, in_weekdays = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        day = in_days and in_weekdays if self.both else in_days or in_weekdays
        return day and local.month in self.months

    def time(self, local: datetime) -> bool:
        return local.minute in self.minutes and local.hour in self.hours and self.day(local)


def slow_instants(cron: str, after: Instant, until: Instant) -> Iterator[Instant]:
    """The instants of (after, until] in UTC, by looking at each day."""
    matcher = Matcher(cron)
    midnight = to_datetime(after).replace(hour=0, minute=0, second=0, microsecond=0)
    while from_datetime(midnight) <= until:
        if matcher.day(midnight):
            for hour, minute in product(sorted(matcher.hours), sorted(matcher.minutes)):
                instant = from_datetime(midnight.replace(hour=hour, minute=minute))
                if after < instant <= until:
                    yield instant
        midnight += timedelta(days=1)


def slow_instants_in(cron: str, name: str, start: Instant, minutes: int) -> set[Instant]:
    """The instants of the `minutes` from `start`, by looking at each minute of the zone's clock."""
    matcher, where, found = Matcher(cron), zone(name), set[Instant]()
    line = [start + number * MINUTE for number in range(minutes)]
    clock = {instant: to_datetime(instant).astimezone(where).replace(tzinfo=None) for instant in line}
    if matcher.real_time:
        return {instant for instant in line if matcher.time(clock[instant])}
    for instant, (earlier, now) in zip(line[1:], pairwise(clock.values()), strict=True):
        local = earlier + timedelta(minutes=1)
        while local <= now:  # more than once where the clock jumps forward, never where it jumps back
            found.update({instant} if matcher.time(local) and local > max_before(clock, instant) else ())
            local += timedelta(minutes=1)
    return found


def max_before(clock: dict[Instant, datetime], instant: Instant) -> datetime:
    """The latest time that the clock showed in the day before `instant`."""
    shown = (
        clock[instant - number * MINUTE] for number in range(1, 121) if instant - number * MINUTE in clock
    )
    return max(shown)


def accepted(cron: str, timezone: str = "UTC"):
    """The trigger, or None for what never fires: the strategy makes some of these."""
    try:
        return parse(cron, timezone=timezone)
    except ExpressionError as refusal:
        if "never fires" in str(refusal):
            return None
        raise


@fixed_seed
@given(expressions, moments, st.sampled_from(ZONES))
def test_instants_strictly_increase_and_are_whole_seconds(cron: str, after: Instant, timezone: str):
    trigger = accepted(cron, timezone)
    if trigger is not None:
        found = [after, *instants(trigger, after, after + 400 * DAY, 20)]
        assert all(earlier < later for earlier, later in pairwise(found))
        assert all(instant % SECOND == 0 for instant in found[1:])


@fixed_seed
@given(expressions, moments, st.sampled_from(ZONES), st.integers(0, 1_000))
def test_the_answer_does_not_depend_on_what_was_asked_before(cron: str, after: Instant, name: str, seed: int):
    trigger = accepted(cron, name)
    if trigger is not None:
        asked = [after + number * 7919 * SECOND for number in range(12)]
        in_order = {at: trigger.next(at) for at in asked}
        Random(seed).shuffle(asked)
        assert {at: trigger.next(at) for at in asked} == in_order
        assert {at: parse(cron, timezone=name).next(at) for at in asked} == in_order


@fixed_seed
@given(expressions, moments, st.sampled_from(ZONES))
def test_nothing_lies_between_an_instant_and_its_next(cron: str, after: Instant, timezone: str):
    trigger = accepted(cron, timezone)
    following = trigger and trigger.next(after)
    if trigger and following and following < after + 30 * DAY:
        between = range(after, following, max(1, (following - after) // 20))
        assert {trigger.next(at) for at in between} == {following}


@settings(fixed_seed, max_examples=300)
@given(expressions, moments)
def test_a_matcher_written_another_way_agrees_in_utc(cron: str, after: Instant):
    until = after + 500 * DAY
    trigger = accepted(cron)
    found = instants(trigger, after, until, 10) if trigger else []
    assert found == list(islice(slow_instants(cron, after, until), 10))


@pytest.mark.parametrize(
    ("name", "around"),
    [
        ("Europe/Berlin", "2027-03-28T01:00Z"),
        ("Europe/Berlin", "2027-10-31T01:00Z"),
        ("America/New_York", "2027-03-14T07:00Z"),
        ("America/New_York", "2027-11-07T06:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
        ("Australia/Lord_Howe", "2027-04-03T15:00Z"),
        ("America/Havana", "2024-03-10T05:00Z"),
        ("America/Havana", "2024-11-03T05:00Z"),
    ],
)
def test_a_walk_along_the_clock_on_the_wall_agrees_where_clocks_are_turned(name: str, around: str):
    start = from_text(around) - 300 * MINUTE

    @settings(fixed_seed, max_examples=40)
    @given(st.tuples(fields(0, 59), fields(0, 3)).map(" ".join))
    def agrees(times: str) -> None:
        cron = f"{times} * * *"
        expected = {at for at in slow_instants_in(cron, name, start, 600) if at > start + 120 * MINUTE}
        found = instants(parse(cron, timezone=name), start + 120 * MINUTE, start + 599 * MINUTE, 1000)
        assert found == sorted(expected)

    agrees()


@settings(fixed_seed, max_examples=100)
@given(expressions, moments, st.sampled_from(["Europe/Berlin", "America/New_York"]))
def test_cronsims_own_zones_agree_where_clocks_move_by_whole_hours(cron: str, after: Instant, name: str):
    trigger = accepted(cron, name)
    if trigger is not None:
        theirs = CronSim(" ".join(for_cronsim(cron.split())), to_datetime(after).astimezone(zone(name)))
        expected = [from_datetime(next(theirs).astimezone(UTC)) for _ in range(5)]
        assert instants(trigger, after, expected[-1], 9) == expected
