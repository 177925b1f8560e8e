"""The language of `schedules.cron`: what it accepts, when that fires, and what it refuses."""

from __future__ import annotations

import pytest

from leasebeat.errors import ExpressionError
from leasebeat.model.instant import DAY, from_text, to_text
from leasebeat.testing.trials.cases import proves
from leasebeat.triggers import instants, parse
from leasebeat.triggers.words import AfterEndTrigger

NEW_YEAR_2027 = from_text("2027-01-01T00:00:30Z")  # a Friday
FAR = from_text("2100-01-01T00:00:00Z")


def fires(cron: str, count: int = 3, after: int = NEW_YEAR_2027, **options: object) -> list[str]:
    trigger = parse(cron, **options)  # pyright: ignore[reportArgumentType]
    return [to_text(instant) for instant in instants(trigger, after, FAR, count)]


def refusal(cron: str, **options: object) -> str:
    with pytest.raises(ExpressionError) as caught:
        parse(cron, **options)  # pyright: ignore[reportArgumentType]
    return str(caught.value)


@pytest.mark.parametrize(
    ("cron", "first", "second"),
    [
        ("*/5 * * * *", "2027-01-01T00:05:00Z", "2027-01-01T00:10:00Z"),
        ("5/15 * * * *", "2027-01-01T00:05:00Z", "2027-01-01T00:20:00Z"),
        ("0 0/20 * * *", "2027-01-01T20:00:00Z", "2027-01-02T00:00:00Z"),
        ("10-20/5 9 * * *", "2027-01-01T09:10:00Z", "2027-01-01T09:15:00Z"),
        ("10-10/5 9 * * *", "2027-01-01T09:10:00Z", "2027-01-02T09:10:00Z"),
        ("0 0 * * fri-fri/2", "2027-01-08T00:00:00Z", "2027-01-15T00:00:00Z"),
        ("0,30 9 * * *", "2027-01-01T09:00:00Z", "2027-01-01T09:30:00Z"),
        ("*/60 * * * *", "2027-01-01T01:00:00Z", "2027-01-01T02:00:00Z"),
        ("0 */24 * * *", "2027-01-02T00:00:00Z", "2027-01-03T00:00:00Z"),
        ("0 0 1-31/31 * *", "2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"),
        ("0 0 1 jan,JUL *", "2027-07-01T00:00:00Z", "2028-01-01T00:00:00Z"),
        ("0 0 29 2 *", "2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"),
        ("  0\t3 *  * * ", "2027-01-01T03:00:00Z", "2027-01-02T03:00:00Z"),
        ("0 12 ? * MON-FRI", "2027-01-01T12:00:00Z", "2027-01-04T12:00:00Z"),
    ],
)
@proves("cron", "fields")
def test_five_fields_fire_as_debians_cron_does(cron: str, first: str, second: str):
    assert fires(cron, 2) == [first, second]


@pytest.mark.parametrize(
    ("cron", "first", "second"),
    [
        ("0 0 * * 0", "2027-01-03", "2027-01-10"),
        ("0 0 * * 7", "2027-01-03", "2027-01-10"),
        ("0 0 * * 1-5", "2027-01-04", "2027-01-05"),
        ("0 0 * * 5-7", "2027-01-02", "2027-01-03"),
        ("0 0 * * sun-tue", "2027-01-03", "2027-01-04"),
        ("0 0 * * */2", "2027-01-02", "2027-01-03"),
        ("0 0 13 * 5", "2027-01-08", "2027-01-13"),  # the 13th or a Friday
        ("0 0 1,15 * mon", "2027-01-04", "2027-01-11"),
        ("0 0 */2 * mon", "2027-01-11", "2027-01-25"),  # a star makes it "and"
        ("0 0 13 * */2", "2027-02-13", "2027-03-13"),
        ("0 0 ? * 1", "2027-01-04", "2027-01-11"),
    ],
)
def test_days_of_week_count_from_sunday_and_join_days_of_month_as_in_debians_cron(
    cron: str, first: str, second: str
):
    assert fires(cron, 2) == [f"{first}T00:00:00Z", f"{second}T00:00:00Z"]


@pytest.mark.parametrize(
    ("cron", "first", "second"),
    [
        ("0 0 L * *", "2027-01-31", "2027-02-28"),
        ("0 0 LW * *", "2027-01-29", "2027-02-26"),
        ("0 0 L,15 * *", "2027-01-15", "2027-01-31"),
        ("0 0 * * 5L", "2027-01-29", "2027-02-26"),
        ("0 0 * * 5#2", "2027-01-08", "2027-02-12"),
        ("0 0 * * fri#5", "2027-01-29", "2027-04-30"),
        ("0 0 15W * *", "2027-01-15", "2027-02-15"),
        ("0 0 16W * *", "2027-01-15", "2027-02-16"),  # a Saturday
        ("0 0 17W * *", "2027-01-18", "2027-02-17"),  # a Sunday
        ("0 0 2w * *", "2027-02-02", "2027-03-02"),  # the Friday before is over
        ("0 0 1W 5 *", "2027-05-03", "2028-05-01"),  # a Saturday, with no Friday before it in its month
        ("0 0 31W 1,10 *", "2027-01-29", "2027-10-29"),  # Sundays, with no Monday after them
        ("0 0 31W * *", "2027-01-29", "2027-03-31"),  # months of 31 days
        ("0 0 3W,20 * *", "2027-01-04", "2027-01-20"),
        ("0 0 3W * 3", "2027-01-04", "2027-01-06"),  # or a Wednesday
    ],
)
def test_last_days_and_numbered_weekdays_are_understood(cron: str, first: str, second: str):
    assert fires(cron, 2) == [f"{first}T00:00:00Z", f"{second}T00:00:00Z"]


@pytest.mark.parametrize(
    ("cron", "first", "second"),
    [
        ("*/10 * * * * *", "2027-01-01T00:00:40Z", "2027-01-01T00:00:50Z"),
        ("15 30 9 * * *", "2027-01-01T09:30:15Z", "2027-01-02T09:30:15Z"),
        ("0 0 12 ? * mon", "2027-01-04T12:00:00Z", "2027-01-11T12:00:00Z"),
    ],
)
@proves("cron", "fields")
def test_six_fields_begin_with_the_seconds(cron: str, first: str, second: str):
    assert fires(cron, 2) == [first, second]


@pytest.mark.parametrize(
    ("word", "fields"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("@minutely", "* * * * *"),
        ("@Daily", "0 0 * * *"),
    ],
)
@proves("cron", "@daily ...")
def test_words_stand_for_fields(word: str, fields: str):
    assert fires(word, timezone="Europe/Berlin") == fires(fields, timezone="Europe/Berlin")


@proves("timezone", "IANA name")
def test_fields_are_read_in_the_schedules_zone():
    assert fires("0 3 * * *", 1, timezone="Asia/Kathmandu") == ["2027-01-01T21:15:00Z"]


@proves("cron", "@every")
def test_every_counts_from_1970_whatever_the_zone():
    assert fires("@every 1h30m", 2, timezone="Asia/Kathmandu") == [
        "2027-01-01T01:30:00Z",
        "2027-01-01T03:00:00Z",
    ]


def test_every_counts_from_the_start_of_the_schedule_when_it_has_one():
    start = from_text("2027-01-01T00:00:45.25Z")
    expected = ["2027-01-01T00:00:45.250000Z", "2027-01-01T01:30:45.250000Z"]
    assert fires("@every 1h30m", 2, starts_at=start) == expected


@pytest.mark.parametrize(
    ("cron", "micros"),
    [
        ("@every 500ms", 500_000),
        ("@every 1m 30s", 90_000_000),
        ("@EVERY 2W3D", 17 * DAY),
        ("@every 1d", DAY),
    ],
)
def test_every_takes_all_units(cron: str, micros: int):
    trigger = parse(cron)
    first, second = instants(trigger, NEW_YEAR_2027, FAR, 2)
    assert (second - first, first % micros) == (micros, 0)


@proves("cron", "@at")
def test_at_fires_once():
    assert fires("@at 2027-12-24T18:00:00+01:00") == ["2027-12-24T17:00:00Z"]


def test_at_is_silent_when_it_is_over():
    assert parse("@at 2027-01-01T00:00:30Z").next(NEW_YEAR_2027) is None


def test_at_without_an_offset_is_in_the_schedules_zone():
    assert fires("@at 2027-12-24T18:00", timezone="America/New_York") == ["2027-12-24T23:00:00Z"]


def test_at_in_a_gap_fires_right_after_it():
    assert fires("@at 2027-03-28 02:30", timezone="Europe/Berlin") == ["2027-03-28T01:00:00Z"]


@proves("cron", "@manual")
def test_manual_never_fires():
    assert fires("@manual") == []


def test_instants_are_those_after_the_first_bound_up_to_the_second():
    trigger = parse("0 * * * *")
    one, three = from_text("2027-01-01T01:00:00Z"), from_text("2027-01-01T03:00:00Z")
    assert [to_text(i)[11:13] for i in instants(trigger, one, three, 10)] == ["02", "03"]


def test_a_fraction_of_a_second_before_the_instant_is_before_it():
    assert parse("0 3 * * *").next(from_text("2027-01-01T02:59:59.999999Z")) == from_text(
        "2027-01-01T03:00:00Z"
    )


@pytest.mark.fault(59)
def test_the_end_of_the_calendar_ends_a_schedule():
    assert parse("* * * * *").next(from_text("9900-01-01T00:00:00Z")) is None


@proves("cron", "@after_end")
def test_after_end_has_a_delay_and_no_instants():
    trigger = parse("@after_end 1h30m")
    assert isinstance(trigger, AfterEndTrigger)
    assert (trigger.delay, trigger.next(NEW_YEAR_2027)) == (5_400_000_000, None)


@pytest.mark.fault(78)
@pytest.mark.parametrize(
    "cron",
    [
        "60 * * * *",
        "* 24 * * *",
        "0 0 0 * *",
        "0 0 32 * *",
        "0 0 * 13 *",
        "0 0 * foo *",
        "0 0 * * 8",
        "-5 * * * *",
        "5- * * * *",
        "1,,2 * * * *",
        "*/0 * * * *",
        "*/2/3 * * * *",
        "1-2-3 * * * *",
        "*-5 * * * *",
        "0 0 L/2 * *",
        "0 0 L-3 * *",
        "0 0 L-3W * *",
        "0 0 0W * *",
        "0 0 32W * *",
        "0 0 1-5W * *",
        "0 0 15W/2 * *",
        "0 0 W * *",
        "0 15W 1 * *",
        "0 0 * * 5W",
        "0 0 * * fri#6",
        "0 0 * * fri#0",
        "0 0 * * 1-5#2",
        "0 0 * * L",
        "60 * * * * *",
        "0 0 1 1 * 2027",
    ],
)
def test_a_bad_field_is_refused_with_its_text_and_what_was_expected(cron: str):
    message = refusal(cron)
    assert repr(cron) in message
    assert "expected" in message


@pytest.mark.parametrize("cron", ["0 22-2 * * *", "0 0 * * sat-mon", "50-10/5 * * * *", "0 0 * nov-feb *"])
def test_a_range_that_would_wrap_is_refused_with_a_way_to_write_it(cron: str):
    assert "runs backwards (write two" in refusal(cron)


@pytest.mark.fault(59)
@pytest.mark.parametrize(
    "cron",
    ["0 0 31 2 *", "0 0 30 2 *", "0 0 30W 2 *", "0 0 31 4,6,9,11 *", "0 0 */31 * 5#5", "0 0 0 30 feb ?"],
)
def test_what_never_fires_is_refused(cron: str):
    assert "never fires within eight years" in refusal(cron)


@pytest.mark.parametrize("cron", ["", " ", "1", "* * * *", "0 0 12 * * ? 2027"])
def test_a_wrong_number_of_fields_is_refused_with_the_number(cron: str):
    assert f"has {len(cron.split())} fields; expected five, or six" in refusal(cron)


@pytest.mark.parametrize(
    "cron", ["٥ * * * *", "５ * * * *", "@every ٥m", "0 3 * * *\u00a0", "0 3 * * " + "1," * 600]
)
def test_texts_with_other_digits_or_without_end_are_refused(cron: str):
    assert "expected ASCII, at most 1000 characters" in refusal(cron)


@pytest.mark.parametrize(
    ("cron", "part"),
    [
        ("@dialy", "expected @daily"),
        ("@reboot", "unknown word '@reboot'"),
        ("@daily 3", "'3' after @daily"),
        ("@manual x", "'x' after @manual"),
        ("@every", "no length"),
        ("@every 1.5h", "no length"),
        ("@every 90", "no length"),
        ("@every -1h", "no length"),
        ("@after_end", "m, s, ms: @after_end 1h30m"),
        ("@after_end soon", "no length"),
        ("@after_end 0s", "never comes round"),
        ("@every 0s", "never comes round"),
        ("@every 9999w", "never comes round"),
        ("@at", "no date"),
        ("@at tomorrow", "no date"),
        ("@at 2027-02-30T00:00Z", "no date"),
        ("@at 0001-01-01T00:00:00+14:00", "the year 1"),
        ("@at 9999-12-31T23:59:59-14:00", "the year 9999"),
    ],
)
def test_a_bad_word_is_refused_with_what_was_expected(cron: str, part: str):
    assert part in refusal(cron)


def test_a_long_text_is_not_repeated_in_full():
    assert len(refusal("@every " + "9" * 900 + "s")) < 250


@pytest.mark.parametrize("name", ["Europe/Berln", "europe/berlin", "", "Europe", "../../etc/passwd", "CEST"])
def test_an_unknown_zone_is_refused(name: str):
    assert f"timezone {name!r} is unknown" in refusal("@every 1h", timezone=name)


def test_an_unknown_zone_names_near_ones():
    assert "did you mean Europe/Berlin" in refusal("@daily", timezone="Europe/Berln")
