"""`H` in a field: drawn by the schedule's name, and the same for ever."""

from __future__ import annotations

from collections import Counter

import pytest

from leasebeat.errors import ExpressionError
from leasebeat.model.instant import from_text, to_text
from leasebeat.model.schedule import Schedule
from leasebeat.testing.trials.cases import proves
from leasebeat.triggers import instants, parse, trigger_for, trigger_key
from leasebeat.triggers.language import resolved

NEW_YEAR_2027 = from_text("2027-01-01T00:00:30Z")
FAR = from_text("2100-01-01T00:00:00Z")
NAMES = [f"job/{number}" for number in range(2_000)]


def schedule(cron: str, name: str) -> Schedule:
    return Schedule(id=1, name=name, cron=cron, command="true")


def drawn(cron: str, field: int, names: list[str] = NAMES) -> Counter[str]:
    """How often each text of a field is drawn."""
    return Counter(resolved(cron, name).split()[field] for name in names)


@pytest.mark.parametrize(
    ("cron", "field", "values"),
    [
        ("H * * * *", 0, range(60)),
        ("* H * * *", 1, range(24)),
        ("0 0 H * *", 2, range(1, 29)),
        ("0 0 1 H *", 3, range(1, 13)),
        ("0 0 * * H", 4, range(7)),
        ("h 0 0 * * *", 0, range(60)),
        ("H(0-29) * * * *", 0, range(30)),
        ("* H(2-5) * * *", 1, range(2, 6)),
        ("0 0 * * H(mon-fri)", 4, range(1, 6)),
    ],
)
def test_every_value_is_drawn_about_as_often(cron: str, field: int, values: range):
    found = drawn(cron, field)
    assert found.keys() == {str(value) for value in values}
    assert max(found.values()) < 3 * min(found.values())


@pytest.mark.parametrize(
    ("cron", "texts"),
    [
        ("H/15 * * * *", {f"{start}-59/15" for start in range(15)}),
        ("H(0-29)/10 * * * *", {f"{start}-29/10" for start in range(10)}),
        ("H(10-19)/10 * * * *", {f"{start}-19/10" for start in range(10, 20)}),
    ],
)
def test_a_step_begins_at_a_drawn_value(cron: str, texts: set[str]):
    assert drawn(cron, 0).keys() == texts


@proves("cron", "H")
def test_the_values_of_a_name_never_change():
    assert resolved("H H H H H H", "backup") == "27 4 13 8 10 1"


def test_other_items_of_the_list_and_other_fields_stay():
    assert resolved("H(0-9),30 H/6 1-5,L * thu", "backup") == "4,30 1-23/6 1-5,L * thu"


def test_what_is_drawn_fires():
    assert [
        to_text(each) for each in instants(parse("H/15 * * * *", name="backup"), NEW_YEAR_2027, FAR, 2)
    ] == [
        "2027-01-01T00:04:00Z",
        "2027-01-01T00:19:00Z",
    ]


def test_equal_results_share_a_trigger_and_others_do_not():
    names = [name for name in NAMES if resolved("H 3 * * *", name) == "7 3 * * *"]
    assert len(names) > 9
    assert len({id(trigger_for(schedule("H 3 * * *", name))) for name in names}) == 1
    assert trigger_for(schedule("H 3 * * *", names[0])) is trigger_for(schedule("7 3 * * *", "x"))
    assert trigger_key(schedule("H 3 * * *", names[0])) != trigger_key(schedule("H 4 * * *", names[0]))


def test_a_name_is_no_part_of_the_key_where_nothing_is_drawn():
    assert trigger_key(schedule("0 3 * * THU", "a")) == trigger_key(schedule("0 3 * * THU", "b"))


@pytest.mark.parametrize(
    ("cron", "part"),
    [
        ("H(0-60) * * * *", "cannot be read (write H, H/15"),
        ("H(5) * * * *", "cannot be read"),
        ("H( * * * *", "cannot be read"),
        ("HOURLY * * * *", "cannot be read"),
        ("H-5 * * * *", "cannot be read"),
        ("H(9-5) * * * *", "reaches out of 0-59"),
        ("0 0 H(1-31) * *", "reaches out of 1-28 in the day of month"),
        ("0 0 * * H(5-7)", "reaches out of 0-6 in the day of week"),
        ("H/1 * * * *", "a step that means nothing (expected 2 to 60)"),
        ("H/0 * * * *", "a step that means nothing"),
        ("0 H/25 * * *", "a step that means nothing (expected 2 to 24)"),
        ("H(0-9)/11 * * * *", "a step that means nothing (expected 2 to 10)"),
    ],
)
def test_a_bad_h_is_refused_with_what_was_expected(cron: str, part: str):
    with pytest.raises(ExpressionError) as caught:
        trigger_for(schedule(cron, "backup"))
    assert part in str(caught.value)
    assert repr(cron) in str(caught.value)
    assert "expected" in str(caught.value)


def test_another_fields_mistake_is_told_in_the_words_of_the_row():
    with pytest.raises(ExpressionError, match=r"'H 25 \* \* \*' has an error in the hour '25'"):
        trigger_for(schedule("H 25 * * *", "backup"))
