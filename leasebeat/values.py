"""Readers of single values, from TOML or from the text of a variable or flag.

Each takes what was written and gives what it means, or raises ValueError with what was expected.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast

__all__ = ["choice", "flag", "names", "number", "queues", "text", "whole"]

_FLAGS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}

QUEUE_NAME = re.compile(r"[A-Za-z0-9._/-]{1,64}")


def text(raw: object) -> str:
    """A text on one line."""
    if not isinstance(raw, str) or not raw.isprintable():
        raise ValueError("expected a text on one line")
    return raw


def whole(raw: object) -> int:
    """A whole number."""
    try:
        if isinstance(raw, str) or type(raw) is int:
            return int(raw)
    except ValueError:
        pass  # said below, in our words
    raise ValueError("expected a whole number")


def number(raw: object) -> float:
    """A finite number."""
    try:
        if isinstance(raw, str | int | float) and not isinstance(raw, bool) and math.isfinite(float(raw)):
            return float(raw)
    except ValueError:
        pass  # said below, in our words
    raise ValueError("expected a number")


def flag(raw: object) -> bool:
    """True or false; in variables also yes/no, on/off, 1/0."""
    if isinstance(raw, bool):
        return raw
    meant = _FLAGS.get(raw.lower()) if isinstance(raw, str) else None
    if meant is None:
        raise ValueError("expected true or false")
    return meant


def names(raw: object) -> tuple[str, ...]:
    """A list of texts; in variables a JSON list, or texts between commas."""
    items = _split(raw) if isinstance(raw, str) else raw
    if isinstance(items, list) and all(isinstance(item, str) for item in cast("list[object]", items)):
        return tuple(cast("list[str]", items))
    raise ValueError('expected a list of texts, like ["a", "b"] (in variables also a,b)')


def _split(raw: str) -> object:
    if not raw.lstrip().startswith("["):
        return [item.strip() for item in raw.split(",") if item.strip()]
    try:
        return json.loads(raw)
    except json.JSONDecodeError as problem:
        raise ValueError(f"not a JSON list ({problem})") from problem


def queues(raw: object) -> Mapping[str, int | None]:
    """`["default", "heavy:2"]`: names of queues, each with how many of its runs may be here at once."""
    found: dict[str, int | None] = {}
    for item in names(raw):
        name, _, limit = item.partition(":")
        if not QUEUE_NAME.fullmatch(name) or (":" in item and not re.fullmatch("[1-9][0-9]{0,5}", limit)):
            raise ValueError(f'{item!r}: expected NAME or NAME:LIMIT, like "default" or "heavy:2"')
        if name in found:
            raise ValueError(f"queue {name!r} is named twice")
        found[name] = int(limit) if limit else None
    return found


def choice(words: Sequence[str]) -> Callable[[object], str]:
    """A reader of one of `words`."""

    def one_of(raw: object) -> str:
        if raw not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return cast("str", raw)

    return one_of
