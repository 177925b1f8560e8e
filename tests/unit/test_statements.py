"""The files of named statements: read rightly, and each name used."""

from __future__ import annotations

import ast
import re
from importlib.resources import files
from pathlib import Path

import pytest

from leasebeat.store.statements import load, parse, to_pyformat

ROOT = Path(__file__).parents[2]
FILES = ("mysql.sql", "sqlite.sql", "desk.sql")
SENDERS = {"query", "execute", "_query_all", "_execute_all"}


def text(name: str) -> str:
    return (files("leasebeat.store") / "sql" / name).read_text(encoding="utf-8")


def used() -> set[str]:
    """The names that the code sends: always literals, so that they can be found."""
    found: set[str] = set()
    for path in (ROOT / "leasebeat").rglob("*.py"):
        if "testing" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in SENDERS and node.args:
                found |= set(_texts(node.args[0]))
    return found


def _texts(name: ast.expr) -> list[str]:
    """The literals of a name, which may be `a if b else c`; SQL itself is sent to sqlite3 only."""
    values = [node.value for node in ast.walk(name) if isinstance(node, ast.Constant)]
    return [value for value in values if isinstance(value, str) and re.fullmatch("[a-z_]+", value)]


def test_a_block_is_a_name_a_purpose_and_a_text() -> None:
    (found,) = parse(
        "-- name: beat\n-- Say that\n-- it lives.\nUPDATE nodes\n  -- within\nSET a = :a;\n"
    ).values()
    assert (found.name, found.purpose) == ("beat", "Say that it lives. within")
    assert (found.text, found.params) == ("UPDATE nodes\nSET a = :a", {"a"})


@pytest.mark.parametrize(
    "broken",
    [
        "-- name: a\nSELECT 1",
        "-- name: a\n-- nothing",
        "-- name: a\n-- x\nSELECT 1\n-- name: a\n-- x\nSELECT 2",
    ],
)
def test_a_block_without_purpose_text_or_a_name_of_its_own_is_refused(broken: str) -> None:
    with pytest.raises(ValueError, match="statement 'a' needs"):
        parse(broken)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT :a, :b_2", "SELECT %(a)s, %(b_2)s"),
        ("SELECT '10:30:00', \":a\", `:a`", "SELECT '10:30:00', \":a\", `:a`"),
        (r"SELECT 'it''s :a', 'a\':b', :c", r"SELECT 'it''s :a', 'a\':b', %(c)s"),
        ("SELECT DATE_FORMAT(x, '%Y') % :n", "SELECT DATE_FORMAT(x, '%%Y') %% %(n)s"),
        ("SELECT JSON_EXTRACT(a, '$[0]'), 1 -:a", "SELECT JSON_EXTRACT(a, '$[0]'), 1 -%(a)s"),
    ],
)
def test_parameters_are_found_outside_of_quotes_only(sql: str, expected: str) -> None:
    assert to_pyformat(sql) == expected


@pytest.mark.parametrize("dialect", ["mysql", "sqlite"])
def test_every_statement_that_the_code_sends_is_there(dialect: str) -> None:
    assert used() - load(dialect).keys() <= ONLY[{"mysql": "sqlite", "sqlite": "mysql"}[dialect]]


ONLY = {"mysql": {"server_version", "server_variables", "schema_columns"}, "sqlite": {"file_settings"}}
"""What only one dialect has: each has its own checks."""


@pytest.mark.parametrize("name", FILES)
def test_every_statement_is_sent_by_the_code(name: str) -> None:
    assert parse(text(name)).keys() - used() == set()


@pytest.mark.parametrize("name", FILES)
def test_no_date_travels_as_text_in_json(name: str) -> None:
    # JSON_TABLE takes 2026-02-30 and drops +02:00, in strict mode too, without an error.
    columns = re.findall(r"COLUMNS \((.*?)\)\) j", text(name), re.DOTALL)
    assert [part for part in columns if re.search(r"\b(DATE|DATETIME|TIMESTAMP|TIME)\b", part)] == []


def test_the_statements_that_join_a_list_begin_with_it() -> None:
    for statement in parse(text("mysql.sql")).values():
        if re.search(r"SELECT(?! STRAIGHT_JOIN)[^()]*?FROM JSON_TABLE", statement.text, re.DOTALL):
            assert statement.name in {"history_of"} or statement.name.startswith("desk_"), statement.name
