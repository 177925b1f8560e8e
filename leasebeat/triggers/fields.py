"""The fields of a cron expression, item by item: what each may say, and what to write instead.

`cronsim` knows only that a field is bad. Debian's cron does not even say that of a range that runs
backwards: it takes it, and never fires.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cronsim.cronsim import CronSimError, Field

from leasebeat.triggers import hashed
from leasebeat.triggers.days import NearDay, near_day

_EXPECTED = {
    Field.SECOND: ("second", "0-59"),
    Field.MINUTE: ("minute", "0-59"),
    Field.HOUR: ("hour", "0-23"),
    Field.DAY: (
        "day of month",
        "1-31, L (the last), LW (the last weekday) or 15W (the nearest one)",
    ),
    Field.MONTH: ("month", "1-12 or jan-dec"),
    Field.DOW: ("day of week", "0-7 or sun-sat, 5L (the last Friday) or 5#2 (the second)"),
}
_STEP_OF_LAST = re.compile(r"LW?/")
_BEFORE_LAST = re.compile(r"L-\d+W?")
_RANGE = re.compile(r"([0-9A-Z]+)-([0-9A-Z]+)(/\d+)?")
_ANY_DAY = "1"


def problem(parts: Sequence[str]) -> str | None:
    """The first thing that is wrong in five or six fields, as the rest of a sentence; None if nothing is."""
    for field, part in _named(parts):
        for item in part.split(",") if part != "?" else []:
            found = _item_problem(field, item.upper())
            if found:
                name, values = _EXPECTED[field]
                return (
                    f"{found} in the {name} {item!r}; expected {values}, a list, a range or a step like */2"
                )
    return None


def with_hashes(parts: Sequence[str], name: str) -> list[str]:
    """The same fields, which `problem` found good, with what `H` stands for under that name."""
    return [
        ",".join(
            hashed.drawn(field, item.upper(), name) if hashed.is_hashed(item.upper()) else item
            for item in part.split(",")
        )
        for field, part in _named(parts)
    ]


def for_cronsim(parts: Sequence[str]) -> list[str]:
    """The same fields, which `problem` found good and which have no `H`, in the language of cronsim.

    It knows no `?`, and takes `5-5/10`, which is 5, for `5/10`, which is 5, 15, 25 and so on. The days of
    `near_days` are left out; where the field says nothing else a day stands in for them.
    """
    return [_field_for_cronsim(field, part) for field, part in _named(parts)]


def near_days(parts: Sequence[str]) -> list[NearDay]:
    """The days of the month that cronsim has no word for."""
    return [day for item in parts[-3].split(",") if (day := near_day(item.upper())) is not None]


def _named(parts: Sequence[str]) -> list[tuple[Field, str]]:
    return list(zip(list(Field)[-len(parts) :], parts, strict=True))


def _field_for_cronsim(field: Field, part: str) -> str:
    items = [item for item in part.upper().split(",") if field != Field.DAY or near_day(item) is None]
    return ",".join(_item_for_cronsim(field, item) for item in items) or _ANY_DAY


def _item_for_cronsim(field: Field, item: str) -> str:
    ends = _RANGE.fullmatch(item)
    if ends is not None and ends[3] and field.int(ends[1]) == field.int(ends[2]):
        return ends[1]
    return "*" if item == "?" else item


def _item_problem(field: Field, item: str) -> str | None:
    if hashed.is_hashed(item):
        return hashed.problem(field, item)
    if _STEP_OF_LAST.match(item):
        return "has a step that means nothing"
    if _BEFORE_LAST.fullmatch(item):
        return "counts back from the last day, which only quartz: does,"
    if _runs_backwards(field, item):
        return "has a range that runs backwards (write two, like 22-23,0-2)"
    try:
        field.parse(item.removesuffix("W") if field == Field.DAY and near_day(item) else item)
    except CronSimError:
        return "has an error"
    return None


def _runs_backwards(field: Field, item: str) -> bool:
    ends = _RANGE.fullmatch(item)
    if ends is None:
        return False
    try:
        return field.int(ends[1]) > field.int(ends[2])
    except CronSimError:
        return False  # not a range at all; `parse` says so
