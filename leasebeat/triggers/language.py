"""What people may write into `schedules.cron`.

    30 3 * * mon-fri      five fields as Debian's cron means them, and `L`, `LW`, `15W`, `5L`, `5#2`
    */10 0/20 * * * ?     six fields: seconds first; `?` is `*`; `0/20` is every 20th from 0
    H H(0-7) * * *        a value that is drawn by the schedule's name
    quartz: 0 0 3 ? * 2   six fields, or seven with a year, as Quartz means them
    @daily                @yearly @annually @monthly @weekly @daily @midnight @hourly @minutely
    @every 1h30m          from 1970 on, or from `starts_at`; units ms s m h d w
    @after_end 10m        so long after the last run ended
    @at 2026-12-24T18:00:00+01:00     once; without an offset in the schedule's zone
    @manual               never by itself

A text that would do something else than it seems to say is refused, with what to write instead.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim.cronsim import CronSimError

from leasebeat.errors import ExpressionError
from leasebeat.model.instant import DAY, SECOND, Instant, Micros, from_datetime
from leasebeat.model.schedule import Dst
from leasebeat.triggers import fields, quartz
from leasebeat.triggers.crontab import CrontabTrigger, existing
from leasebeat.triggers.trigger import Trigger
from leasebeat.triggers.words import AfterEndTrigger, AtTrigger, EveryTrigger, ManualTrigger
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

_WORDS = (*ALIASES, "@every", "@after_end", "@at", "@manual")
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
    dst: Dst = "cron",
) -> Trigger:
    """The trigger that `cron` describes in `timezone`.

    `name` is what `H` is drawn by; `starts_at` anchors `@every`, and cuts nothing off (`in_window` does);
    `dst` is what becomes of fixed times where clocks are turned. Raises ExpressionError when one of the
    texts cannot be used.
    """
    local = zone(timezone)
    if not cron.isascii() or len(cron) > _LONGEST_TEXT:
        raise _refusal(cron, f"cannot be read; expected ASCII, at most {_LONGEST_TEXT} characters")
    text = " ".join(cron.split())
    if text.startswith("@"):
        return _word(text, local, starts_at, dst)
    parts, years = _quartz(text) if quartz.is_quartz(text) else (_fields(text, name), None)
    trigger = _readable(parts, local, dst, years)
    if trigger is None or not trigger.ever_fires():
        when = "within eight years" if years is None else "in the years that it names"
        raise _refusal(text, f"never fires {when}; expected a date that exists, or @manual")
    return trigger


def resolved(cron: str, name: str) -> str:
    """The text with what `H` stands for under that name; what has none, or cannot be used, as it is."""
    parts = cron.split()
    if len(parts) not in (5, 6) or "h" not in cron.lower() or not cron.isascii():
        return cron
    return cron if fields.problem(parts) else " ".join(fields.with_hashes(parts, name))


def _refusal(cron: str, what: str) -> ExpressionError:
    shown = cron if len(cron) <= _SHOWN else f"{cron[:_SHOWN]}..."
    return ExpressionError(f"cron {shown!r} {what}")


def _word(text: str, local: ZoneInfo, starts_at: Instant | None, dst: Dst) -> Trigger:
    word, _, rest = text.partition(" ")
    word = word.lower()
    if word == "@every":
        return EveryTrigger(_length(text, rest), starts_at or 0)
    if word == "@at":
        return AtTrigger(_moment(text, rest, local))
    if word == "@after_end":
        return AfterEndTrigger(_length(text, rest))
    if word not in _WORDS:
        near = difflib.get_close_matches(word, _WORDS, n=1) or _WORDS
        raise _refusal(text, f"begins with the unknown word {word!r}; expected {', '.join(near)}")
    if rest:
        raise _refusal(text, f"has {rest!r} after {word}; expected {word} alone")
    return ManualTrigger() if word == "@manual" else CrontabTrigger(ALIASES[word].split(), local, dst)


def _length(text: str, rest: str) -> Micros:
    """The microseconds of `1h30m`, in integers all the way."""
    compact = rest.replace(" ", "").lower()
    if not _LENGTH.fullmatch(compact):
        word = text.partition(" ")[0].lower()
        raise _refusal(
            text, f"has no length of time; expected whole numbers of w, d, h, m, s, ms: {word} 1h30m"
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


def _quartz(text: str) -> tuple[list[str], list[int] | None]:
    try:
        return quartz.translate(text)
    except quartz.NotQuartz as problem:
        raise _refusal(text, str(problem)) from problem


def _fields(text: str, name: str) -> list[str]:
    parts = text.split()
    if len(parts) not in (5, 6):
        raise _refusal(
            text,
            f"has {len(parts)} fields; expected five, or six with the seconds first (for a year use starts_at"
            " and ends_at, or quartz:)",
        )
    problem = fields.problem(parts)
    if problem:
        raise _refusal(text, problem)
    return fields.with_hashes(parts, name)


def _readable(
    parts: Sequence[str], local: ZoneInfo, dst: Dst, years: Sequence[int] | None
) -> CrontabTrigger | None:
    """None where cronsim sees that no month of the list is that long: each item by itself was fine."""
    try:
        return CrontabTrigger(parts, local, dst, years)
    except CronSimError:
        return None
