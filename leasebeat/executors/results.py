"""What may be the result of a run: JSON that every store takes as JSON.

Stricter than `json.loads`: MariaDB nests 31 deep at most and knows no half characters, MySQL no
numbers beyond a double, neither knows NaN. What a store refused would be gone without a word.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, cast

from leasebeat.executors.base import RESULT_BYTES

DEEPEST = 31
"""How many objects and lists may lie in each other."""

_LONGEST_NUMBER = 300

_NOT_KEPT = "the result was not kept: "


def check(data: bytes) -> tuple[str | None, str]:
    """`data` as the result of a run, and what is wrong with it; neither where there is nothing."""
    if not data.strip():
        return None, ""
    if len(data) > RESULT_BYTES:
        return None, f"{_NOT_KEPT}it has more than {RESULT_BYTES:,} bytes"
    try:
        text = data.decode()
        value = json.loads(text, parse_constant=_refuse, parse_float=_number, parse_int=_whole)
        json.dumps(value, ensure_ascii=False).encode()
        _measure(value)
    except (ValueError, RecursionError) as problem:
        return None, f"{_NOT_KEPT}it is not JSON ({problem})"
    return text, ""


def of_value(value: object) -> tuple[str | None, str]:
    """A value of Python as the JSON text of a result, and why it cannot be one. None is no result."""
    if value is None:
        return None, ""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as problem:
        return None, f"{_NOT_KEPT}what the function returned is not JSON ({problem})"
    return check(text.encode())


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _number(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _whole(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"{text[:20]}... is too large a number")
    return int(text)


def _measure(value: object) -> None:
    level: list[Any] = [[value]]
    for _ in range(DEEPEST + 1):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return
    raise ValueError(f"it is nested more than {DEEPEST} deep")


def _parts(whole: Any) -> list[Any]:
    """The objects and lists in an object or a list."""
    parts = cast("Iterable[Any]", whole.values() if isinstance(whole, dict) else whole)
    return [part for part in parts if isinstance(part, dict | list)]
