"""Instants and lengths of time as people type them."""

from __future__ import annotations

import re

from leasebeat.cli.exits import Usage
from leasebeat.model.instant import DAY, SECOND, Instant, Micros, from_text
from leasebeat.model.run import parse_key

__all__ = ["instant", "is_length", "key_parts", "length", "moment_ago", "readable"]

AN_INSTANT = "an instant with its offset, like 2026-11-20T03:00:00Z"
"""What is expected where people type an instant."""

LAST: Instant = 2_900_000 * DAY  # some time in the year 9909: no sum of such instants overflows
_LONGEST: Micros = 36_525 * DAY
_SHARDS = 10_000

_UNITS: dict[str, Micros] = {
    "ms": SECOND // 1000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
    "d": DAY,
    "w": 7 * DAY,
}
_PART = re.compile(r"([0-9]{1,9})(ms|[smhdw])")
_LENGTH = re.compile(rf"({_PART.pattern})+")


def length(option: str, text: str) -> Micros:
    """The length of time that `option` was given, like 90s or 1h30m. Raises Usage."""
    if not _LENGTH.fullmatch(text):
        raise Usage(f"{option} {text!r}: expected a length of time in w d h m s ms, like 90s or 1h30m")
    found = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if found > _LONGEST:
        raise Usage(f"{option} {text!r}: expected a length of time of at most a hundred years")
    return found


def is_length(text: str) -> bool:
    """Whether it is a length of time, and no instant."""
    return _LENGTH.fullmatch(text) is not None


def readable(text: str) -> Instant:
    """The instant of a text, from 1970 on. Raises ValueError, in words for people."""
    try:
        found = from_text(text)
    except (ValueError, OverflowError) as problem:
        raise ValueError(f"expected {AN_INSTANT}") from problem
    if not 0 <= found <= LAST:
        raise ValueError("expected an instant between the years 1970 and 9909")
    return found


def instant(option: str, text: str) -> Instant:
    """The instant that `option` was given, ISO 8601 with its offset. Raises Usage."""
    try:
        return readable(text)
    except ValueError as problem:
        raise Usage(f"{option} {text!r}: {problem}") from problem


def moment_ago(option: str, text: str, now: Instant) -> Instant:
    """The instant that `option` was given: a length of time before `now`, or an instant. Raises Usage."""
    if is_length(text):
        return max(0, now - length(option, text))
    try:
        return readable(text)
    except ValueError as problem:
        raise Usage(f"{option} {text!r}: {problem}, or how long ago, like 1h30m") from problem


def key_parts(text: str) -> tuple[str, Instant, int]:
    """The schedule's name, the instant and the shard of a run key. Raises Usage."""
    try:
        name, fire_at, shard = parse_key(text)
        fits = 0 <= fire_at <= LAST and 0 <= shard < _SHARDS
    except (ValueError, OverflowError):
        fits, name, fire_at, shard = False, "", 0, 0  # said below, in our words
    if not fits:
        raise Usage(f"run key {text!r}: expected NAME@INSTANT, like backup@2026-11-20T03:00:00Z")
    return name, fire_at, shard
