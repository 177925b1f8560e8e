"""What a fleet's operator may change while it runs, for all nodes at once: `<root>/config` of ZooKeeper."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from leasebeat.errors import SettingsError

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True)
class Tuning:
    """None: as the node's own settings say."""

    beat_s: float | None = None
    slots: int | None = None
    log_level: str | None = None
    paused_queues: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, data: bytes) -> Tuning:
        """Of a JSON object; nothing is an empty one. Raises SettingsError with everything that is wrong."""
        try:
            found = json.loads(data or b"{}")
        except ValueError as problem:
            raise SettingsError(f"no JSON: {problem}") from problem
        if not isinstance(found, dict):
            raise SettingsError('expected a JSON object like {"slots": 40}')
        given = cast("dict[str, Any]", found)
        bad = [key for key in _EXPECTED if not _CHECKS[key](given.get(key))]
        wrong = [*_unknown(given), *(_EXPECTED[key] for key in bad)]
        if wrong:
            raise SettingsError("; ".join(wrong))
        paused = frozenset(cast("list[str]", given.get("paused_queues") or []))
        return cls(given.get("beat_s"), given.get("slots"), given.get("log_level"), paused)


def _unknown(given: dict[str, Any]) -> list[str]:
    known = ", ".join(_EXPECTED)
    return [f"{key!r} is unknown, expected some of {known}" for key in given if key not in _EXPECTED]


_EXPECTED = {
    "beat_s": "beat_s: expected 1 to 300 seconds",
    "slots": "slots: expected a whole number from 1 to 10000",
    "log_level": f"log_level: expected one of {', '.join(LEVELS)}",
    "paused_queues": 'paused_queues: expected a list of names like ["reports"]',
}


def _is_number(value: object, kinds: tuple[type, ...], most: float) -> bool:
    number = isinstance(value, kinds) and not isinstance(value, bool)
    return value is None or (number and 1 <= cast("float", value) <= most)


def _is_names(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and all(isinstance(name, str) for name in cast("list[object]", value))


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "beat_s": lambda value: _is_number(value, (int, float), 300),
    "slots": lambda value: _is_number(value, (int,), 10_000),
    "log_level": lambda value: value is None or value in LEVELS,
    "paused_queues": _is_names,
}
