"""`quartz: 0 0 12 ? * MON-FRI 2027`: Quartz's fields, brought into our own words.

What differs, by the source of Quartz 2.3: 1 is Sunday; one of the two day fields is `?`, so that they are
never joined; ranges wrap; `a/b` ends with the field, and with Saturday among the days of the week; a
step is at most the greatest value; `L` alone is Saturday there; there may be a year.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_PREFIX = "quartz:"


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    expected: str
    names: tuple[str, ...] = ()
    shift: int = 0  #: added to a value, it is ours


_FIELDS = (
    _Field("second", 0, 59, "0-59"),
    _Field("minute", 0, 59, "0-59"),
    _Field("hour", 0, 23, "0-23"),
    _Field("day of month", 1, 31, "1-31, L, LW, L-3 or 15W"),
    _Field("month", 1, 12, "1-12 or JAN-DEC", _MONTHS),
    _Field("day of week", 1, 7, "1-7 or SUN-SAT (1 is Sunday), 6L or 6#3", _WEEKDAYS, -1),
    _Field("year", 1970, 2099, "1970-2099"),
)
_DAY, _WEEKDAY, _YEAR = _FIELDS[3], _FIELDS[5], _FIELDS[6]
_SPAN = re.compile(r"(\*|[0-9A-Z]+)?(?:-([0-9A-Z]+))?(?:/(\d+))?")
_LAST = re.compile(r"L(?:W|-(?:[12]?\d|30)W?)?")
_WEEKDAY_NEAR = re.compile(r"(?:[1-9]|[12]\d|3[01])W")
_WEEKDAY_IN_MONTH = re.compile(r"([0-9A-Z]+?)(?:(L)|#([1-5]))")


class NotQuartz(ValueError):
    """A text that Quartz would refuse; says what is wrong, as the rest of a sentence."""


def is_quartz(text: str) -> bool:
    """Whether a text says that its fields are Quartz's."""
    return text.lower().startswith(_PREFIX)


def translate(text: str) -> tuple[list[str], list[int] | None]:
    """Six fields of ours for a text that `is_quartz`, and its years, in order (None: all).

    Raises NotQuartz.
    """
    parts = text[len(_PREFIX) :].upper().split()
    if len(parts) not in (6, 7):
        raise NotQuartz(
            f"has {len(parts)} fields after quartz:; expected six, the seconds first, or a year too"
        )
    if (parts[3] == "?") == (parts[5] == "?"):
        raise NotQuartz("has days that Quartz cannot join; expected ? as day of month or as day of week")
    ours = [_part(field, part) for field, part in zip(_FIELDS, parts, strict=False)]
    years = None if len(parts) == 6 or parts[6] == "*" else sorted(set(map(int, ours[6].split(","))))
    return ours[:6], years


def _part(field: _Field, part: str) -> str:
    if part == "?" and field in (_DAY, _WEEKDAY):
        return "*"
    return ",".join(_item(field, item) for item in part.split(","))


def _item(field: _Field, item: str) -> str:
    special = _special(field, item)
    return special if special is not None else _span(field, item)


def _special(field: _Field, item: str) -> str | None:
    """`L`, `W` and `#`, which only the day fields know."""
    if field is _DAY and (_LAST.fullmatch(item) or _WEEKDAY_NEAR.fullmatch(item)):
        return item
    if field is not _WEEKDAY:
        return None
    if item == "L":
        return "6"
    found = _WEEKDAY_IN_MONTH.fullmatch(item)
    if found is None:
        return None
    weekday = _value(field, found[1], item) + field.shift
    return f"{weekday}L" if found[2] else f"{weekday}#{found[3]}"


def _span(field: _Field, item: str) -> str:
    """A value, a range or a step of them, as the list of what it stands for.

    A star stays one: it makes a schedule follow real time where clocks are turned.
    """
    form = _SPAN.fullmatch(item)
    star = form is not None and form[1] in (None, "*")
    if form is None or not item or (star and form[2]):
        raise _wrong(field, item, "has an error")
    step = int(form[3]) if form[3] else None
    if step is not None and not 1 <= step <= field.high:
        raise _wrong(field, item, f"has a step that is not from 1 to {field.high}")
    if star and field is not _YEAR:
        return _starred(field, step)
    first = field.low if star else _value(field, form[1], item)
    last = field.high if star or step is not None else first
    last = _value(field, form[2], item) if form[2] else last
    return ",".join(map(str, _values(field, item, first, last, step or 1)))


def _starred(field: _Field, step: int | None) -> str:
    """Days of the week begin with 0 for us, and have no 7: `*/n` there would count it as another Sunday."""
    if step is None:
        return "*"
    return f"*/{step}" if field is not _WEEKDAY else ",".join(map(str, range(0, 7, step)))


def _values(field: _Field, item: str, first: int, last: int, step: int) -> Sequence[int]:
    if last >= first:
        return range(first + field.shift, last + field.shift + 1, step)
    if field is _YEAR:
        raise _wrong(field, item, "has a range that runs backwards")
    count = field.high - field.low + 1
    wrapped = range(first, last + count + 1, step)
    return [(value - field.low) % count + field.low + field.shift for value in wrapped]


def _value(field: _Field, text: str, item: str) -> int:
    if text in field.names:
        return field.names.index(text) + 1
    if not text.isdecimal() or not field.low <= int(text) <= field.high:
        raise _wrong(field, item, "has an error")
    return int(text)


def _wrong(field: _Field, item: str, what: str) -> NotQuartz:
    return NotQuartz(
        f"{what} in the {field.name} {item!r}; expected {field.expected}, a list, a range or a step"
    )
