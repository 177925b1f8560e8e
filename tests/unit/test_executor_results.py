"""What may be the result of a run."""

from __future__ import annotations

import json

import pytest

from leasebeat.executors.results import check, of_value


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    "text", ["null", "0", '"a"', '{"rows": [1, 2.5e3, null]}', " [1]\n", '"\\ud83d\\ude00"']
)
def test_json_is_kept_as_it_was_written(text: str) -> None:
    assert check(text.encode()) == (text, "")


@pytest.mark.parametrize("data", [b"", b"\n", b"  "])
def test_an_empty_file_is_no_result_and_no_mistake(data: bytes) -> None:
    assert check(data) == (None, "")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{rows", "it is not JSON (Expecting property name"),
        (b"\xff", "it is not JSON ('utf-8' codec"),
        (b"[NaN]", "NaN is no number of JSON"),
        (b"-Infinity", "-Infinity is no number of JSON"),
        (b"1e999", "1e999 is too large a number"),
        (b"1" * 400, "11111111111111111111... is too large a number"),
        (b'"\\ud800"', "it is not JSON ('utf-8' codec can't encode"),
        (deep(32), "it is nested more than 31 deep"),
        (b"[" * 60_000, "it is not JSON"),
        (b'"' + b"x" * 65_535 + b'"', "it has more than 65,536 bytes"),
    ],
)
def test_what_a_store_would_not_take_as_json_is_refused(data: bytes, reason: str) -> None:
    text, said = check(data)
    assert text is None
    assert said.startswith("the result was not kept: ")
    assert reason in said


def test_the_largest_and_the_deepest_are_kept() -> None:
    largest = b'"' + b"x" * 65_534 + b'"'
    assert check(largest) == (largest.decode(), "")
    assert check(deep(31)) == (deep(31).decode(), "")
    assert check(b'{"a":' * 31 + b"1" + b"}" * 31)[1] == ""


def test_what_a_function_returns_is_written_as_json() -> None:
    assert of_value({"sum": 42}) == ('{"sum": 42}', "")
    assert of_value(None) == (None, "")


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}, json.loads(deep(32))])
def test_what_is_no_json_is_told(value: object) -> None:
    text, said = of_value(value)
    assert text is None
    assert said.startswith("the result was not kept: ")
