"""The fields of a cron expression, item by item: what each may say, and what to write instead.

`cronsim` knows only that a field is bad. Debian's cron does not even say that of a range that runs
backwards: it takes it, and never fires.
"""

from __future__ import annotations

import re

from cronsim.cronsim import CronSimError, Field

_EXPECTED = {
    Field.SECOND: ("second", "0-59"),
    Field.MINUTE: ("minute", "0-59"),
    Field.HOUR: ("hour", "0-23"),
    Field.DAY: ("day of month", "1-31, L (the last) or LW (the last weekday)"),
    Field.MONTH: ("month", "1-12 or jan-dec"),
    Field.DOW: ("day of week", "0-7 or sun-sat, 5L (the last Friday) or 5#2 (the second)"),
}
_NOT_BUILT = re.compile(r"H(?![A-Z])|\d+W")
_STEP_OF_LAST = re.compile(r"LW?/")
_RANGE = re.compile(r"([0-9A-Z]+)-([0-9A-Z]+)(/\d+)?")


def problem(parts: list[str]) -> str | None:
    """The first thing that is wrong in five or six fields, as the rest of a sentence; None if nothing is."""
    for field, part in zip(list(Field)[-len(parts) :], parts, strict=True):
        for item in part.split(",") if part != "?" else []:
            found = _item_problem(field, item.upper())
            if found:
                name, values = _EXPECTED[field]
                return (
                    f"{found} in the {name} {item!r}; expected {values}, a list, a range or a step like */2"
                )
    return None


def for_cronsim(parts: list[str]) -> list[str]:
    """The same fields, which `problem` found good, in the language of cronsim.

    It knows no `?`, and takes `5-5/10`, which is 5, for `5/10`, which is 5, 15, 25 and so on.
    """
    named = zip(list(Field)[-len(parts) :], parts, strict=True)
    return [
        ",".join(_item_for_cronsim(field, item.upper()) for item in part.split(",")) for field, part in named
    ]


def _item_for_cronsim(field: Field, item: str) -> str:
    ends = _RANGE.fullmatch(item)
    if ends is not None and ends[3] and field.int(ends[1]) == field.int(ends[2]):
        return ends[1]
    return "*" if item == "?" else item


def _item_problem(field: Field, item: str) -> str | None:
    if _NOT_BUILT.match(item):
        return "uses H or W, which are not built yet,"
    if _STEP_OF_LAST.match(item):
        return "has a step that means nothing"
    if _runs_backwards(field, item):
        return "has a range that runs backwards (write two, like 22-23,0-2)"
    try:
        field.parse(item)
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
