from __future__ import annotations

import pytest

from leasebeat.cli.columns import COLUMNS, Columns, assignments, read
from leasebeat.cli.exits import Usage
from leasebeat.cli.select import matching, named
from leasebeat.errors import NotFound
from leasebeat.model.instant import from_text
from leasebeat.model.schedule import PEOPLES_COLUMNS

NAMES = ["backup", "billing/close", "billing/open", "Billing/x"]


def test_a_pattern_stands_for_the_names_it_matches_in_their_case() -> None:
    assert matching("billing/*", NAMES) == ["billing/close", "billing/open"]


def test_no_pattern_stands_for_all() -> None:
    assert matching(None, NAMES) == NAMES


def test_names_and_patterns_may_overlap_and_each_schedule_is_named_once() -> None:
    assert named(["billing/open", "billing/*", "backup"], False, NAMES) == NAMES[:3]


def test_a_word_that_stands_for_nothing_is_not_found() -> None:
    with pytest.raises(NotFound, match="'nothing/\\*'"):
        named(["backup", "nothing/*"], False, NAMES)


@pytest.mark.parametrize(("words", "every"), [([], False), (["backup"], True)])
def test_names_or_all_must_be_said_but_not_both(words: list[str], every: bool) -> None:
    with pytest.raises(Usage, match="--all"):
        named(words, every, NAMES)


def test_every_column_of_people_is_an_option_or_one_of_the_three_that_a_row_must_have() -> None:
    options = set(Columns.__dataclass_fields__)
    assert options | {"name", "cron", "command"} == set(PEOPLES_COLUMNS)


def test_columns_that_were_not_said_are_not_given() -> None:
    assert COLUMNS.given() == {}
    assert Columns(retries="3", kind="http").given() == {"retries": "3", "kind": "http"}


def test_texts_become_what_the_table_holds() -> None:
    texts = {
        "priority": "-5",
        "timeout_s": "1.5",
        "enabled": "no",
        "starts_at": "2026-11-20T04:00:00+01:00",
        "args": '{"cwd": "/srv"}',
        "owner": "007",
    }
    assert read(texts) == {
        "priority": -5,
        "timeout_s": 1.5,
        "enabled": False,
        "starts_at": from_text("2026-11-20T03:00:00Z"),
        "args": '{"cwd": "/srv"}',
        "owner": "007",
    }


def test_empty_text_is_null_only_where_a_column_may_be() -> None:
    assert read({"timeout_s": "", "description": ""}) == {"timeout_s": None, "description": ""}


def test_all_values_that_cannot_be_read_are_told_at_once() -> None:
    with pytest.raises(Usage) as caught:
        read(
            {
                "retries": "many",
                "args": "{",
                "ends_at": "2026-11-20",
                "enabled": "perhaps",
                "timeout_s": "nan",
            }
        )
    for column in (
        "retries = 'many'",
        "args = '{'",
        "ends_at = ",
        "enabled = 'perhaps'",
        "timeout_s = 'nan'",
    ):
        assert column in str(caught.value)


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        ("starts_at", "noon", "expected an instant with its offset, like 2026-11-20T03:00:00Z"),
        ("ends_at", "2026-11-20T03:00:00", "expected an instant with its offset, like 2026-11-20T03:00:00Z"),
        ("args", "[]", 'expected a JSON object, like {"cwd": "/srv"}'),
        ("after", "extract", 'expected a JSON list of schedule names, like ["extract"]'),
    ],
)
def test_what_was_expected_of_a_column_is_told_in_words(column: str, text: str, expected: str) -> None:
    with pytest.raises(Usage) as caught:
        read({column: text})
    assert str(caught.value) == f"{column} = {text!r}: {expected}"


def test_set_takes_columns_and_keeps_equal_signs_of_the_value() -> None:
    assert assignments(["command=A=1 env", "owner="]) == {"command": "A=1 env", "owner": ""}


@pytest.mark.parametrize("pair", ["id=3", "version=x", "owner", "=x", "Owner=x"])
def test_set_refuses_what_is_no_column_of_people(pair: str) -> None:
    with pytest.raises(Usage, match="expected COLUMN=VALUE; the columns are name, cron, command"):
        assignments([pair])
