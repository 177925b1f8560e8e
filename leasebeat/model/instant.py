"""Instants: whole microseconds of UTC since 1970, as plain integers.

An integer has no time zone to forget, compares and hashes fast, travels through JSON unharmed and
is the same on every node; datetimes appear only where people read or write them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

Instant = int
Micros = int
"""A length of time in whole microseconds."""

SECOND: Micros = 1_000_000
DAY: Micros = 86_400 * SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def from_seconds(seconds: float) -> Micros:
    """`seconds` as whole microseconds, rounded to the nearest."""
    return round(seconds * SECOND)


def from_datetime(moment: datetime) -> Instant:
    """The instant of an aware datetime.

    Raises ValueError for a naive one: its zone would have to be guessed.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; an instant needs one")
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(instant: Instant) -> datetime:
    """The instant as an aware datetime in UTC."""
    return _EPOCH + instant * _MICROSECOND


@lru_cache(maxsize=256)
def to_text(instant: Instant) -> str:
    """ISO 8601 in UTC, `2026-11-20T03:00:00Z`; microseconds only when they are not 0."""
    return to_datetime(instant).isoformat().replace("+00:00", "Z")


def from_text(text: str) -> Instant:
    """The instant of an ISO 8601 text that names its offset (or `Z`).

    Raises ValueError when the text is no date or has no offset.
    """
    return from_datetime(datetime.fromisoformat(text))
