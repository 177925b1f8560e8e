"""Schedules as TOML, for files and editors: what the columns of a row look like there, and back.

A column that says what it says by default is left out, one that is left out says its default, so that
a file is whole without being long. JSON columns are tables and arrays, or a text of JSON where
TOML has no word for what they hold (null). Instants are texts or TOML's own dates with their offset.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from typing import Any, cast

import tomli_w

from leasebeat.cli.columns import read
from leasebeat.cli.exits import Usage
from leasebeat.model.instant import to_text
from leasebeat.model.schedule import PEOPLES_COLUMNS, Schedule
from leasebeat.store.desk_schedules import same
from leasebeat.store.session import SqlValue

__all__ = ["DEFAULTS", "column", "columns_of", "parsed", "text", "values_of", "whole_row"]

_JSON = frozenset({"after", "alert", "args", "shard_args"})
_INSTANTS = frozenset({"starts_at", "ends_at"})
_WHOLE = frozenset({"priority", "shards", "retries"})
_NUMBERS = frozenset({"jitter_s", "misfire_grace_s", "timeout_s", "retry_delay_s", "retry_backoff"})

DEFAULTS: dict[str, SqlValue] = {
    item.name: None if item.name in _JSON else cast("SqlValue", item.default)
    for item in fields(Schedule)
    if item.name in PEOPLES_COLUMNS and (item.name in _JSON or item.default is not MISSING)
}
"""What columns say that nobody set; `timezone` as a store says that was made without a zone."""


def text(document: Mapping[str, object]) -> str:
    """The document as TOML. Texts of several lines stay so where reading gives the same back."""
    # TOML reads a line end of two characters as one: with such ends a text is written on one line.
    lines = "\\r" not in json.dumps(document, default=str)
    return tomli_w.dumps(document, multiline_strings=lines)


def columns_of(row: Mapping[str, SqlValue], whole: bool = False) -> dict[str, object]:
    """A row of `schedules` without its name as TOML has it: what differs from the defaults, or all of it.

    `timezone` is always there: what a store has as its default is its own affair. NULLs never are.
    """
    kept = ("cron", "command", "timezone")
    return {
        name: column(name, row[name])
        for name in PEOPLES_COLUMNS
        if name != "name"
        and row[name] is not None
        and (whole or name in kept or not same(name, row[name], DEFAULTS[name]))
    }


def column(name: str, value: SqlValue) -> object:
    """One value, as TOML has it."""
    if name in _INSTANTS and isinstance(value, int):
        return to_text(value)
    if name == "enabled":
        return bool(value)
    if name in _JSON and isinstance(value, str):
        return _from_json(value)
    return value


def _from_json(value: str) -> object:
    try:
        parsed = json.loads(value)
    except ValueError:
        return value  # a row that somebody broke by hand
    return parsed if _fits(parsed) else value


def _fits(value: object) -> bool:
    """Whether TOML can hold it: it has no null, and its numbers have 64 bits."""
    if isinstance(value, dict):
        return all(map(_fits, cast("dict[str, object]", value).values()))
    if isinstance(value, list):
        return all(map(_fits, cast("list[object]", value)))
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return value is not None


def whole_row(where: str, table: Mapping[str, Any], timezone: str) -> dict[str, SqlValue]:
    """A whole row's values but the name, the defaults too. `timezone` is the store's default.

    Raises Usage, all problems in one message that begins with `where`.
    """
    missing = [name for name in ("cron", "command") if name not in table]
    if missing:
        raise Usage(f"{where}: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    return DEFAULTS | {"timezone": timezone} | values_of(where, table)


def values_of(where: str, table: Mapping[str, Any]) -> dict[str, SqlValue]:
    """The values that a table of columns says. Raises Usage, all problems in one message."""
    problems: list[str] = []
    texts: dict[str, str] = {}
    for name, value in table.items():
        try:
            texts[name] = _told(name, value)
        except ValueError as problem:
            problems.append(f"{name} = {value!r}: {problem}")
    found: dict[str, SqlValue] = {}
    try:
        found = read(texts)
    except Usage as problem:
        problems.append(str(problem))
    if problems:
        raise Usage(f"{where}: {'; '.join(problems)}")
    return found


def _told(name: str, value: object) -> str:
    """A value as `--set` would be given it. Raises ValueError."""
    if name not in PEOPLES_COLUMNS:
        raise ValueError(f"no such column; there are {', '.join(PEOPLES_COLUMNS)}")
    if isinstance(value, bool):
        if name == "enabled":
            return "yes" if value else "no"
    elif isinstance(value, int | float) and name in _WHOLE | _NUMBERS:
        return str(value)
    elif isinstance(value, datetime) and name in _INSTANTS:
        return value.isoformat()
    elif isinstance(value, dict | list) and name in _JSON:
        return _json(cast("dict[str, object] | list[object]", value))
    elif isinstance(value, str) and name not in _WHOLE | _NUMBERS | {"enabled"}:
        return value
    raise ValueError(f"expected {_expected(name)}")


def _json(value: Mapping[str, object] | Iterable[object]) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise ValueError("expected only what JSON knows: no dates, no inf and nan") from problem


def _expected(name: str) -> str:
    if name == "enabled":
        return "true or false"
    if name in _WHOLE:
        return "a whole number"
    if name in _NUMBERS:
        return "a number"
    if name in _INSTANTS:
        return "an instant with its offset, like 2026-11-20T03:00:00Z"
    return "a table, an array, or a text of JSON" if name in _JSON else "a text"


def parsed(where: str, source: str) -> dict[str, Any]:
    """The document of a text of TOML. Raises Usage."""
    try:
        return tomllib.loads(source)
    except tomllib.TOMLDecodeError as problem:
        raise Usage(f"{where} is no TOML: {problem}") from problem
