"""What people may write into `schedules.cron`.

    30 3 * * mon-fri      five fields as Debian's cron means them, and `L`, `LW`, `5L`, `5#2`
    */10 0/20 * * * ?     six fields: seconds first; `?` is `*`; `0/20` is every 20th from 0
    @daily                @yearly @annually @monthly @weekly @daily @midnight @hourly @minutely
    @every 1h30m          from 1970 on, or from `starts_at`; units ms s m h d w
    @at 2026-12-24T18:00:00+01:00     once; without an offset in the schedule's zone
    @manual               never by itself

A text that would do something else than it seems to say is refused, with what to write instead.
"""

from __future__ import annotations

import difflib
import re
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from cronsim.cronsim import CronSimError

from leasebeat.errors import ExpressionError
from leasebeat.model.instant import DAY, SECOND, Instant, Micros, from_datetime
from leasebeat.triggers import fields
from leasebeat.triggers.crontab import CrontabTrigger, existing
from leasebeat.triggers.trigger import Trigger
from leasebeat.triggers.words import AtTrigger, EveryTrigger, ManualTrigger
from leasebeat.triggers.zones import zone

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
    "@minutely": "* * * * *",
}
"""The words that stand for five fields."""

_WORDS = (*ALIASES, "@every", "@at", "@manual")
_UNITS: dict[str, Micros] = {
    "ms": SECOND // 1000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
    "d": DAY,
    "w": 7 * DAY,
}
_LENGTH = re.compile(r"(?:\d+(?:ms|[smhdw]))+")
_LENGTH_PART = re.compile(r"(\d+)(ms|[smhdw])")
_LONGEST: Micros = (8 * 365 + 2) * DAY
_LONGEST_TEXT = 1000
_SHOWN = 80
"""So many characters of a refused text are repeated in the message."""


def parse(
    cron: str,
    *,
    timezone: str = "UTC",
    name: str = "",
    starts_at: Instant | None = None,
    dst: Literal["cron"] = "cron",
) -> Trigger:
    """The trigger that `cron` describes in `timezone`.

    `starts_at` anchors `@every`; it cuts nothing off (`in_window` does). Raises ExpressionError when
    either text cannot be used.
    """
    del name, dst  # `H` and the other rules for clock changes will ask for them
    local = zone(timezone)
    if not cron.isascii() or len(cron) > _LONGEST_TEXT:
        raise _refusal(cron, f"cannot be read; expected ASCII, at most {_LONGEST_TEXT} characters")
    text = " ".join(cron.split())
    if text.startswith("@"):
        return _word(text, local, starts_at)
    if text.lower().startswith("quartz:"):
        raise _refusal(
            cron, "uses quartz:, which is not built yet; expected five fields, or six with seconds first"
        )
    return _crontab(text, local)


def _refusal(cron: str, what: str) -> ExpressionError:
    shown = cron if len(cron) <= _SHOWN else f"{cron[:_SHOWN]}..."
    return ExpressionError(f"cron {shown!r} {what}")


def _word(text: str, local: ZoneInfo, starts_at: Instant | None) -> Trigger:
    word, _, rest = text.partition(" ")
    word = word.lower()
    if word == "@every":
        return EveryTrigger(_length(text, rest), starts_at or 0)
    if word == "@at":
        return AtTrigger(_moment(text, rest, local))
    if word == "@after_end":
        raise _refusal(text, "uses @after_end, which is not built yet; use @every with overlap = 'skip'")
    if word not in _WORDS:
        near = difflib.get_close_matches(word, _WORDS, n=1) or _WORDS
        raise _refusal(text, f"begins with the unknown word {word!r}; expected {', '.join(near)}")
    if rest:
        raise _refusal(text, f"has {rest!r} after {word}; expected {word} alone")
    return ManualTrigger() if word == "@manual" else CrontabTrigger(ALIASES[word], local)


def _length(text: str, rest: str) -> Micros:
    """The microseconds of `1h30m`, in integers all the way."""
    compact = rest.replace(" ", "").lower()
    if not _LENGTH.fullmatch(compact):
        raise _refusal(
            text, "has no length of time; expected whole numbers of w, d, h, m, s, ms: @every 1h30m"
        )
    length = sum(int(number) * _UNITS[unit] for number, unit in _LENGTH_PART.findall(compact))
    if not 0 < length <= _LONGEST:
        raise _refusal(text, "never comes round; expected a length above 0 and of at most eight years")
    return length


def _moment(text: str, rest: str, local: ZoneInfo) -> Instant:
    """The instant of an ISO 8601 text; one without an offset is local time."""
    try:
        moment = datetime.fromisoformat(rest)
    except ValueError as error:
        raise _refusal(text, f"has no date ({error}); expected @at 2026-12-24T18:00:00+01:00") from error
    if not 1970 < moment.year < 9900:
        raise _refusal(text, f"has the year {moment.year}; expected one from 1971 to 9899")
    return from_datetime(existing(moment, local) if moment.tzinfo is None else moment)


def _crontab(text: str, local: ZoneInfo) -> CrontabTrigger:
    parts = text.split()
    if len(parts) not in (5, 6):
        raise _refusal(
            text,
            f"has {len(parts)} fields; expected five, or six with the seconds first (for a year use starts_at"
            " and ends_at)",
        )
    problem = fields.problem(parts)
    if problem:
        raise _refusal(text, problem)
    trigger = _readable(" ".join(fields.for_cronsim(parts)), local)
    if trigger is None or not trigger.ever_fires():
        raise _refusal(text, "never fires within eight years; expected a date that exists, or @manual")
    return trigger


def _readable(text: str, local: ZoneInfo) -> CrontabTrigger | None:
    """None where cronsim sees that no month of the list is that long: each item by itself was fine."""
    try:
        return CrontabTrigger(text, local)
    except CronSimError:
        return None
