"""`H` in a cron field: a value that each schedule draws by a hash of its name, as in Jenkins.

    H            one value of the field          H(0-29)      one of these
    H/15         every 15th, from a drawn start  H(0-29)/10   the same among these

A hundred `H H * * *` spread over the day by themselves; each stays where it is until it is renamed.
Each field draws for itself. A day of the month is drawn from 1 to 28, so that every month has it.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from cronsim.cronsim import CronSimError, Field

_FORM = re.compile(r"H(?:\((\w+)-(\w+)\))?(?:/(\d+))?", re.ASCII)
_DRAWN = {
    Field.SECOND: (0, 59),
    Field.MINUTE: (0, 59),
    Field.HOUR: (0, 23),
    Field.DAY: (1, 28),
    Field.MONTH: (1, 12),
    Field.DOW: (0, 6),
}


def is_hashed(item: str) -> bool:
    """Whether an item, in capitals, is meant as `H`."""
    return item.startswith("H")


def problem(field: Field, item: str) -> str | None:
    """What is wrong with an item that `is_hashed`; None if nothing is."""
    low, high = _DRAWN[field]
    bounds = _bounds(field, item)
    if bounds is None:
        return "has an H that cannot be read (write H, H/15, H(0-29) or H(0-29)/10)"
    first, last, step = bounds
    if not low <= first <= last <= high:
        return f"has an H that reaches out of {low}-{high}"
    if step is not None and not 1 < step <= last - first + 1:
        return f"has an H with a step that means nothing (expected 2 to {last - first + 1})"
    return None


def drawn(field: Field, item: str, name: str) -> str:
    """An item that `problem` found good, as a number or a range with a step."""
    bounds = _bounds(field, item)
    assert bounds is not None
    first, last, step = bounds
    number = _hash(field, name) % (step or last - first + 1)
    return f"{first + number}-{last}/{step}" if step else str(first + number)


def _bounds(field: Field, item: str) -> tuple[int, int, int | None] | None:
    """The first value, the last and the step."""
    form = _FORM.fullmatch(item)
    if form is None:
        return None
    low, high, step = form.groups()
    try:
        first, last = (field.int(low), field.int(high)) if low else _DRAWN[field]
    except CronSimError:
        return None
    return first, last, int(step) if step else None


def _hash(field: Field, name: str) -> int:
    text = f"{field.name.lower()}/{name}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
