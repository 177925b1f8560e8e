"""`quartz:` means what Quartz means by it."""

from __future__ import annotations

import pytest

from leasebeat.errors import ExpressionError
from leasebeat.model.instant import Instant, from_text, to_text
from leasebeat.testing.trials.cases import proves
from leasebeat.triggers import instants, parse

NEW_YEAR_2027 = from_text("2027-01-01T00:00:30Z")  # a Friday
FAR = from_text("2100-01-01T00:00:00Z")


def fires(fields: str, count: int, after: Instant = NEW_YEAR_2027) -> list[str]:
    return [to_text(each) for each in instants(parse(f"quartz: {fields}"), after, FAR, count)]


def days(fields: str, count: int = 4) -> list[str]:
    """The dates of fires at noon."""
    found = fires(f"0 0 12 {fields}", count)
    assert {each[11:] for each in found} == {"12:00:00Z"}
    return [each[5:10] for each in found]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("? * 1", ["01-03", "01-10", "01-17", "01-24"]),  # Sundays
        ("? * 2", ["01-04", "01-11", "01-18", "01-25"]),  # Mondays
        ("? * MON-FRI", ["01-01", "01-04", "01-05", "01-06"]),
        ("? * 2-6", ["01-01", "01-04", "01-05", "01-06"]),
        ("? * FRI-MON", ["01-01", "01-02", "01-03", "01-04"]),
        ("? * 7-1", ["01-02", "01-03", "01-09", "01-10"]),
        ("? * 2/2", ["01-01", "01-04", "01-06", "01-08"]),  # Monday, Wednesday, Friday; no Sunday
        ("? * */2", ["01-02", "01-03", "01-05", "01-07"]),  # Sunday, Tuesday, Thursday, Saturday
        ("? * FRI-TUE/2", ["01-01", "01-03", "01-05", "01-08"]),
        ("? * L", ["01-02", "01-09", "01-16", "01-23"]),  # Saturdays
        ("? * 6L", ["01-29", "02-26", "03-26", "04-30"]),  # the last Friday
        ("? * FRIL", ["01-29", "02-26", "03-26", "04-30"]),
        ("? * 6#3", ["01-15", "02-19", "03-19", "04-16"]),
        ("? * SUN#1", ["01-03", "02-07", "03-07", "04-04"]),
        ("? JAN-MAR 1#5", ["01-31", "01-30", "03-31", "03-30"]),
        ("L * ?", ["01-31", "02-28", "03-31", "04-30"]),
        ("LW * ?", ["01-29", "02-26", "03-31", "04-30"]),
        ("L-3 * ?", ["01-28", "02-25", "03-28", "04-27"]),
        ("L-3W * ?", ["01-28", "02-25", "03-29", "04-27"]),
        ("15W * ?", ["01-15", "02-15", "03-15", "04-15"]),
        ("16W * ?", ["01-15", "02-16", "03-16", "04-16"]),
        ("1W 5 ?", ["05-03", "05-01", "05-01", "05-01"]),
        ("30-2 * ?", ["01-01", "01-02", "01-30", "01-31"]),
        ("10/10 * ?", ["01-10", "01-20", "01-30", "02-10"]),
        ("1 NOV-FEB ?", ["01-01", "02-01", "11-01", "12-01"]),
        ("1 11/1 ?", ["11-01", "12-01", "11-01", "12-01"]),
    ],
)
@proves("cron", "quartz:")
def test_days(fields: str, expected: list[str]):
    assert days(fields) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("0/20 0 3 * * ?", ["01T03:00:00Z", "01T03:00:20Z", "01T03:00:40Z", "02T03:00:00Z"]),
        ("/20 0 3 * * ?", ["01T03:00:00Z", "01T03:00:20Z", "01T03:00:40Z", "02T03:00:00Z"]),
        ("50-9/10 0 3 * * ?", ["01T03:00:00Z", "01T03:00:50Z", "02T03:00:00Z", "02T03:00:50Z"]),
        ("0 40/15 3 * * ?", ["01T03:40:00Z", "01T03:55:00Z", "02T03:40:00Z", "02T03:55:00Z"]),
        ("0 0 22-2/2 * * ?", ["01T02:00:00Z", "01T22:00:00Z", "02T00:00:00Z", "02T02:00:00Z"]),
        ("0 0 20/3 * * ?", ["01T20:00:00Z", "01T23:00:00Z", "02T20:00:00Z", "02T23:00:00Z"]),
    ],
)
def test_times(fields: str, expected: list[str]):
    assert [each[8:] for each in fires(fields, 4)] == expected


@pytest.mark.parametrize(
    ("year", "expected"),
    [
        ("", ["2027", "2028"]),
        ("*", ["2027", "2028"]),
        ("2030", ["2030"]),
        ("2020-2028", ["2027", "2028"]),
        ("2029,2028,2029", ["2028", "2029"]),
        ("2026/10", ["2036", "2046"]),
        ("*/50", ["2070"]),
        ("1999", []),
    ],
)
def test_years(year: str, expected: list[str]):
    assert [each[:4] for each in fires(f"0 0 12 24 12 ? {year}", 2)] == expected


@pytest.mark.fault(59)
def test_a_leap_day_is_found_within_its_years():
    assert fires("0 0 0 29 2 ? 2029-2099", 2) == ["2032-02-29T00:00:00Z", "2036-02-29T00:00:00Z"]


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ("0 0 12 * *", "has 5 fields after quartz:"),
        ("0 0 12 * * ? 2027 1", "has 8 fields after quartz:"),
        ("0 0 12 * * *", "expected ? as day of month or as day of week"),
        ("0 0 12 1 * 2", "expected ? as day of month or as day of week"),
        ("0 0 12 ? * ?", "expected ? as day of month or as day of week"),
        ("? 0 12 * * ?", "in the second '?'"),
        ("0 60 12 * * ?", "in the minute '60'; expected 0-59"),
        ("0 0 24 * * ?", "in the hour '24'"),
        ("0 0 12 0 * ?", "in the day of month '0'"),
        ("0 0 12 32W * ?", "in the day of month '32W'"),
        ("0 0 12 L-31 * ?", "in the day of month 'L-31'"),
        ("0 0 12 L/2 * ?", "in the day of month 'L/2'"),
        ("0 0 12 1-5W * ?", "in the day of month '1-5W'"),
        ("0 0 12 * 13 ?", "in the month '13'"),
        ("0 0 12 * JUNI ?", "in the month 'JUNI'"),
        ("0 0 12 ? * 0", "in the day of week '0'; expected 1-7 or SUN-SAT (1 is Sunday)"),
        ("0 0 12 ? * 8", "in the day of week '8'"),
        ("0 0 12 ? * 6#6", "in the day of week '6#6'"),
        ("0 0 12 ? * MON-5L", "in the day of week 'MON-5L'"),
        ("0 0 12 * * ? 1969", "in the year '1969'; expected 1970-2099"),
        ("0 0 12 * * ? 2030-2027", "runs backwards in the year '2030-2027'"),
        ("0 */60 12 * * ?", "a step that is not from 1 to 59"),
        ("0 0 5/0 * * ?", "a step that is not from 1 to 23"),
        ("0 0 12 ? * 1/8", "a step that is not from 1 to 7"),
        ("0 0 *-5 * * ?", "in the hour '*-5'"),
        ("0 0 1,,2 * * ?", "in the hour ''"),
        ("0 H 12 * * ?", "in the minute 'H'"),
        ("0 0 0 30 2 ?", "never fires within eight years"),
        ("0 0 0 31W 2 ?", "never fires within eight years"),
        ("0 0 0 29 2 ? 2027", "never fires in the years that it names"),
    ],
)
def test_what_quartz_would_refuse_is_refused_with_what_was_expected(fields: str, part: str):
    with pytest.raises(ExpressionError) as caught:
        parse(f"quartz: {fields}")
    assert part in str(caught.value)
    assert "expected" in str(caught.value)


def test_the_word_may_be_written_in_capitals_and_without_a_blank():
    assert parse("QUARTZ:0 0 12 ? * 2").next(NEW_YEAR_2027) == from_text("2027-01-04T12:00:00Z")


def test_the_rules_for_clock_changes_are_those_of_fields():
    trigger = parse("quartz: 0 30 2 * * ?", timezone="Europe/Berlin")
    assert trigger.next(from_text("2027-03-27T12:00:00Z")) == from_text("2027-03-28T01:00:00Z")
