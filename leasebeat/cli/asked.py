"""Which instant people mean: `2026-11-20T03:00`, `today 03:00`, `yesterday`, `20 min ago`. Pure.

What has no offset is a time of the clock in the schedule's zone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from leasebeat.cli.exits import Usage
from leasebeat.cli.moments import LAST, length
from leasebeat.model.instant import Instant, from_datetime, to_datetime, to_text
from leasebeat.triggers.crontab import existing

__all__ = ["Asked", "asked"]

_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_AGO = re.compile(r"(.+?)\s+ago")
_UNITS = {
    "sec": "s",
    "second": "s",
    "min": "m",
    "minute": "m",
    "hour": "h",
    "hr": "h",
    "day": "d",
    "week": "w",
}
_WORD = re.compile(r"([0-9]+)\s*([a-z]+?)s?(?=[0-9\s]|$)")

EXPECTED = (
    "expected an instant like 2026-11-20T03:00:00Z, a time of the clock where the schedule is like"
    " '2026-11-20 03:00', 'today 03:00', 'yesterday 3:00' or 03:00, a day like yesterday, or '20 min ago'"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The instants of [begin, end]; with `last`, only the last one of them. `note` is what must be said."""

    begin: Instant
    end: Instant
    last: bool = False
    note: str = ""


def asked(text: str, zone: ZoneInfo, now: Instant) -> Asked:
    """What `text` means at `now` in that zone; empty: the last instant. Raises Usage."""
    words = " ".join(text.split())
    try:
        found = _ago(words, now) or _day(words, zone, now) or _moment(words, zone, now)
    except (ValueError, OverflowError) as problem:
        raise Usage(f"instant {text!r}: {EXPECTED}") from problem
    if not 0 <= found.begin <= found.end <= LAST:
        raise Usage(f"instant {text!r}: expected one between the years 1970 and 9909")
    return found


def _ago(words: str, now: Instant) -> Asked | None:
    if not words:
        return Asked(0, now, last=True)
    ago = _AGO.fullmatch(words.lower())
    if ago is None:
        return None
    compact = _WORD.sub(lambda part: part[1] + _UNITS.get(part[2], part[2]), ago[1]).replace(" ", "")
    return Asked(0, max(0, now - length("INSTANT", compact)), last=True)


def _day(words: str, zone: ZoneInfo, now: Instant) -> Asked | None:
    day = _date(words, zone, now)
    if day is None:
        return None
    begin, end = (datetime.combine(day + timedelta(days=more), time()) for more in (0, 1))
    return Asked(from_datetime(existing(begin, zone)), from_datetime(existing(end, zone)) - 1)


def _date(words: str, zone: ZoneInfo, now: Instant) -> date | None:
    if words.lower() in _DAYS:
        return to_datetime(now).astimezone(zone).date() + timedelta(days=_DAYS[words.lower()])
    return date.fromisoformat(words) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", words) else None


def _moment(words: str, zone: ZoneInfo, now: Instant) -> Asked:
    day, _, rest = re.sub(r"(?<=[0-9])T(?=[0-9])", " ", words).partition(" ")
    if _TIME.fullmatch(words):
        return _clock_time(words, zone, now)
    if (found := _date(day, zone, now)) is not None and _TIME.fullmatch(rest):
        return _local(datetime.combine(found, _time(rest)), zone)
    moment = datetime.fromisoformat(words)
    if moment.tzinfo is None:
        return _local(moment, zone)
    return Asked(from_datetime(moment), from_datetime(moment))


def _clock_time(words: str, zone: ZoneInfo, now: Instant) -> Asked:
    """The last time that the clock showed it."""
    today = to_datetime(now).astimezone(zone).date()
    found = _local(datetime.combine(today, _time(words)), zone)
    if found.begin <= now:
        return found
    return _local(datetime.combine(today - timedelta(days=1), _time(words)), zone)


def _time(text: str) -> time:
    hour, minute, second = [*map(int, text.split(":")), 0][:3]
    return time(hour, minute, second)


def _local(moment: datetime, zone: ZoneInfo) -> Asked:
    """Where the clocks were turned a time is there twice, or not at all: then that is said, too."""
    instant = from_datetime(existing(moment, zone))
    first, second = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    note = ""
    if to_datetime(instant).astimezone(zone).replace(tzinfo=None) != moment:
        note = (
            f"{moment:%H:%M} did not exist on {moment:%Y-%m-%d} in {zone.key}: the clocks were put forward;"
        )
        note += f" looked at {to_text(instant)}, right after it"
    elif first.utcoffset() != second.utcoffset():
        note = f"{moment:%H:%M} came twice on {moment:%Y-%m-%d} in {zone.key}: looked at the first,"
        note += f" {to_text(instant)}; the second is {to_text(from_datetime(second))}"
    return Asked(instant, instant, note=note)
