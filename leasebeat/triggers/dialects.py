"""What would mean something else elsewhere: hints on expressions that people bring along from other crons.

Compared with Debian's cron, APScheduler 3 (`from_crontab`), Quartz and Spring. An expression that says
the same to all of them, or that the others refuse loudly and nobody would bring along, has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from leasebeat.triggers import fields

_SIZES = {"second": 60, "minute": 60, "hour": 24}
_STEP = re.compile(r"(?:\*|0|0-59|0-23)/(\d+)")
_EVERY = {"second": "s", "minute": "m", "hour": "h"}


def hints(text: str) -> list[str]:
    """Sentences, the weightiest first; none for a word, for `quartz:`, and for what cannot be read."""
    parts = text.split()
    if len(parts) not in (5, 6) or text.startswith("@") or not text.isascii() or fields.problem(parts):
        return []
    *times, day, _, weekday = (part.upper() for part in parts)
    return [
        *_numbers(weekday, six=len(parts) == 6),
        *_joined(day, weekday),
        *_steps(dict(zip(("minute", "hour") if len(parts) == 5 else _SIZES, times, strict=True))),
        *_steps_of_days(day, weekday),
        *_words(parts, day, weekday),
    ]


def _numbers(weekday: str, six: bool) -> Iterator[str]:
    """Days of the week by number. Spring counts as we do."""
    numbers = [item for item in weekday.split(",") if re.fullmatch(r"\d[\d/-]*", item)]
    if numbers:
        own = "here and to Spring" if six else "here and in Debian's cron"
        yield (
            f"the day of week {','.join(numbers)} counts from Sunday = 0 {own}, from Monday = 0 to"
            " APScheduler and from Sunday = 1 to Quartz; names (sun, mon) mean the same to all"
        )


def _joined(day: str, weekday: str) -> Iterator[str]:
    if day in ("*", "?") or weekday in ("*", "?"):
        return
    if day[0] in "*?" or weekday[0] in "*?":
        yield (
            "both days must match here and in Debian's cron, because one of the fields begins with *;"
            " other crons take one of the two for enough"
        )
    else:
        yield (
            "one of day of month and day of week is enough here and in Debian's cron; APScheduler and Spring"
            " want both to match, and Quartz refuses the two together"
        )


def _steps(times: dict[str, str]) -> Iterator[str]:
    for name, part in times.items():
        found = _STEP.fullmatch(part)
        step = int(found[1]) if found else 1
        if 1 < step < _SIZES[name] and _SIZES[name] % step:
            last = (_SIZES[name] - 1) // step * step
            whole = {"second": "minute", "minute": "hour", "hour": "day"}[name]
            yield (
                f"the {name} {part} begins anew with each {whole}: {last} is followed by 0;"
                f" an even distance is @every {step}{_EVERY[name]}"
            )


def _steps_of_days(day: str, weekday: str) -> Iterator[str]:
    if re.match(r"\*/(?!1$)\d", day):
        yield f"the day of month {day} begins anew with each month: the 1st may follow on the 31st"
    if re.match(r"\*/(?!1$)\d", weekday):
        yield f"the day of week {weekday} counts from Sunday here, from Monday to APScheduler"


def _words(parts: Sequence[str], day: str, weekday: str) -> Iterator[str]:
    if any(item.upper().startswith("H") for part in parts for item in part.split(",")):
        yield "H is drawn by the schedule's name, as in Jenkins: renaming the schedule moves it"
    if "#" in weekday:
        yield f"the day of week {weekday.lower()} is every one of these to Debian's cron, which ignores #"
    if re.search(r"\dL", weekday):
        yield f"the day of week {weekday} is the day before that to Quartz, which counts from Sunday = 1"
    if re.search(r"L|W", day):
        yield f"the day of month {day} is not known to Debian's cron and APScheduler"
    if "?" in parts:
        yield "? is * here; Quartz wants it for one of the two day fields, and Debian's cron refuses it"
    if len(parts) == 6:
        yield "six fields begin with the seconds, as to Quartz and Spring; Debian's cron knows five"
