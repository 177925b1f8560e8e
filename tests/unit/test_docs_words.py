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

from leasebeat import CurrentRun, settings
from leasebeat.errors import ExpressionError
from leasebeat.executors import environment, http
from leasebeat.executors.base import Launch
from leasebeat.explain.codes import Code
from leasebeat.model.instant import SECOND, from_text, to_text
from leasebeat.model.node import NodeState
from leasebeat.model.run import TRANSITIONS, OutcomeKind, ReasonCode, RunKey, Status
from leasebeat.model.schedule import Schedule
from leasebeat.node.judge import ARGS_KEYS
from leasebeat.settings import SECRETS, SECTIONS
from leasebeat.store.base import Answer
from leasebeat.triggers import instants, parse
from leasebeat.triggers.language import ALIASES

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


def test_the_page_on_explain_has_every_answer_in_the_order_of_the_code() -> None:
    rows = table(section("explain.md", "The answers"))
    assert [words(row[0])[0] for row in rows] == values(Code)


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


UNITS = (("_per_s", "1/s"), ("_s", "s"), ("_days", "days"), ("_bytes", "bytes"), ("_mb", "MiB"))


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


# --- tasks --------------------------------------------------------------------------------------


SCHEDULE = Schedule(7, "backup", "@daily", "true")
SHARDED = Launch(
    RunKey(0, 7),
    1,
    "backup@1970-01-01T00:00:00Z",
    1,
    SCHEDULE,
    {},
    "n-1",
    "web",
    shard_arg="de",
    upstream="[]",
)


@pytest.mark.parametrize("kind", ARGS_KEYS)
def test_the_page_of_tasks_has_each_key_of_args_with_an_example_of_it(kind: str) -> None:
    rows = table(section("tasks.md", kind))
    told = {words(row[0])[0]: row for row in rows if len(row) == 5}
    assert set(told) == ARGS_KEYS[kind]
    assert all(list(json.loads(row[4].strip("`"))) == [key] for key, row in told.items())


def test_the_page_of_tasks_has_each_variable_that_a_task_is_told() -> None:
    told = [words(row[0])[0] for row in table(section("tasks.md", "What a task is told"))]
    variables = [word for word in told if word.startswith("LEASEBEAT_")]
    given = [*environment.task_variables(SHARDED), *environment.MARKS, "LEASEBEAT_RESULT", "LEASEBEAT_CHILD"]
    assert len(variables) == len(set(variables))
    assert set(variables) == set(given) <= settings.TASK_VARIABLES
    assert [word for word in told if word not in variables] == [field.name for field in fields(CurrentRun)]


def test_the_page_of_tasks_has_each_header_that_a_request_carries() -> None:
    rows = [row for row in table(section("tasks.md", "http")) if len(row) == 2]
    assert [words(row[0])[0] for row in rows] == list(http._told(SHARDED))


# --- cron ---------------------------------------------------------------------------------------


def expressions(heading: str) -> list[str]:
    """What is set in code in the first cells of the tables under a heading."""
    return [cell for row in table(section("cron.md", heading)) for cell in words_of_code(row[0])]


def words_of_code(text: str) -> list[str]:
    """What is set in code, asterisks and all."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


REFUSED = expressions("Refused")
FORMS = ("Fields", "Day of month and day of week", "A value drawn by the name", "Quartz")
OTHERS = ("Words", "What other crons would make of it")


def test_every_expression_of_the_page_can_be_used_but_those_that_it_says_are_refused() -> None:
    shown = words_of_code(text_of("cron.md"))
    whole = {text for text in shown if len(text.split()) in (5, 6) or re.match("@(every|at) ", text)}
    tables = {
        text for heading in (*FORMS, *OTHERS) for text in expressions(heading) if re.search("^@| ", text)
    }
    usable = (whole | tables) - set(REFUSED)
    assert len(usable) > 60
    for expression in sorted(usable):
        parse(expression)


@pytest.mark.parametrize("expression", REFUSED)
def test_what_the_page_says_is_refused_is_refused(expression: str) -> None:
    with pytest.raises(ExpressionError):
        parse(expression)


def test_the_page_has_the_words_that_stand_for_fields() -> None:
    rows = [row for row in table(section("cron.md", "Words")) if words_of_code(row[0])[0] in ALIASES]
    assert {words_of_code(row[0])[0]: words_of_code(row[1])[0] for row in rows} == ALIASES


@pytest.mark.parametrize("row", table(section("cron.md", "Time zones and clock changes")))
def test_the_clock_changes_of_berlin_do_what_the_page_says(row: list[str]) -> None:
    trigger = parse(words_of_code(row[0])[0], timezone="Europe/Berlin")
    for day, told in zip(("2026-03-29", "2026-10-25"), row[1:], strict=True):
        begin = from_text(f"{day}T00:00:00Z")
        found = instants(trigger, begin - 1, begin + 7200 * SECOND - 1, 100)
        assert [to_text(at)[11:16] for at in found] == re.findall(r"[0-9:]{5}", told), day


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
