"""The tables of the pages have the words, settings and tests that the code has: all, no others, in order."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import get_args

import pytest

from leasebeat import settings
from leasebeat.model.node import NodeState
from leasebeat.model.run import TRANSITIONS, OutcomeKind, ReasonCode, Status
from leasebeat.settings import SECRETS, SECTIONS
from leasebeat.store.base import Answer

ROOT = Path(__file__).parents[2]


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(name: str, heading: str) -> str:
    """What stands under a heading of a page, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#|\Z)", text_of(name), re.DOTALL | re.MULTILINE)
    assert found is not None, f"docs/{name} has no heading {heading!r}"
    return found[1]


def table(text: str) -> list[list[str]]:
    """The cells of the tables in a text, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rules = [number for number, line in enumerate(lines) if set(line) <= set("|-: ")]
    body = [line for number, line in enumerate(lines) if number not in rules and number + 1 not in rules]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in body]


def words(cell: str) -> list[str]:
    """What is set in code or bold."""
    return re.findall(r"[`*]+([^`*]+)[`*]+", cell)


def values(kind: type[StrEnum]) -> list[str]:
    return [member.value for member in kind]


# --- the glossary -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("Reason codes", values(ReasonCode)),
        ("Outcomes of an attempt", values(OutcomeKind)),
        ("States of a node", values(NodeState)),
        ("Answers to a claim", list(get_args(Answer))),
    ],
)
def test_the_glossary_has_the_words_of_the_code_in_its_order(heading: str, known: list[str]) -> None:
    assert [words(row[0])[0] for row in table(section("glossary.md", heading))] == known


def test_the_glossary_has_the_statuses_and_which_may_follow_which() -> None:
    rows = table(section("glossary.md", "Statuses of a run"))
    meanings, changes = rows[: len(Status)], rows[len(Status) :]
    assert [words(row[0])[0] for row in meanings] == values(Status)
    assert {words(row[0])[0]: set(words(row[1])) for row in changes} == {
        status.value: {following.value for following in TRANSITIONS[status]} for status in Status
    }


def test_the_glossary_has_the_origins_that_the_table_allows() -> None:
    allowed = re.search(r"origin IN \(([^)]*)\)", (ROOT / "schema.sql").read_text(encoding="utf-8"))
    assert allowed is not None
    told = [words(row[0])[0] for row in table(section("glossary.md", "Origins of a run"))]
    assert told == re.findall(r"'(\w+)'", allowed[1])


def test_reason_codes_stand_beside_statuses_that_exist() -> None:
    told = {word for row in table(section("glossary.md", "Reason codes")) for word in words(row[2])}
    assert told <= set(values(Status))


# --- settings -----------------------------------------------------------------------------------


UNITS = (("_per_s", "1/s"), ("_s", "s"), ("_days", "days"), ("_bytes", "bytes"))


def rows_of_settings(name: str) -> list[list[str]]:
    """Key, default, unit, range and variable of each setting in a section, as the page should have them."""
    rows: list[list[str]] = []
    for key in settings.known_keys()[name]:
        unit = next((unit for end, unit in UNITS if key.endswith(end)), "")
        variable = f"`LEASEBEAT_{name.upper()}__{key.upper()}`"
        rows.append([f"`{key}`", default_of(name, key), unit, range_of(name, key), variable])
    return rows


def default_of(name: str, key: str) -> str:
    if (name, key) == ("store", "url"):
        return f'`"{settings.DEFAULT_STORE}"`'
    secret = (name, key.removesuffix("_file")) in SECRETS
    value: object = "" if secret else getattr(SECTIONS[name](), key)
    return f"`{json.dumps(list(value) if isinstance(value, tuple | dict) else value)}`"


def range_of(name: str, key: str) -> str:
    if (name, key) not in settings._BOUNDS:
        return ""
    least, most = settings._BOUNDS[name, key]
    return f"{least:g} to {most:g}" if most < math.inf else f"at least {least:g}"


@pytest.mark.parametrize("name", [name for name, kind in SECTIONS.items() if fields(kind)])
def test_the_page_of_settings_has_each_key_with_default_unit_range_and_variable(name: str) -> None:
    told = table(section("configuration.md", f"[{name}]"))
    assert [row[:5] for row in told] == rows_of_settings(name)
    assert all(row[5] for row in told), "each has a meaning"


# --- the protocol -------------------------------------------------------------------------------


def test_every_test_that_the_protocol_names_is_there() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"\bdef (test_\w+)", sources))
    named = {word for word in re.findall(r"`(test_\w+)`", text_of("protocol.md")) if not word.endswith("_")}
    assert sorted(named - there) == []


def test_every_statement_that_the_protocol_names_is_there() -> None:
    there = set(re.findall(r"(?m)^-- name: (\w+)", (ROOT / "leasebeat/store/sql/mysql.sql").read_text()))
    named = set(re.findall(r"`(\w+)`", section("protocol.md", "Statements")))
    assert sorted(named - there) == []


def test_every_page_is_in_the_index() -> None:
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", text_of("README.md")))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} == listed
