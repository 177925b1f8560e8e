"""The checker of the outage finds what is planted."""

from __future__ import annotations

from collections.abc import Sequence

from leasebeat.model.instant import SECOND, from_text, to_text
from leasebeat.testing.evidence import Execution
from leasebeat.testing.trials.outage import (
    Kind,
    most_behind,
    most_within_a_second,
    side_by_side,
    wrong_rows,
)

FIRST = from_text("2026-11-20T03:00:00Z")
MISSED = [FIRST + minute * 60 * SECOND for minute in range(3)]
LIVE = [FIRST + minute * 60 * SECOND for minute in (3, 4)]
ALL = Kind("all", "skip", 120, 2)
GOOD = [
    ("missed", "misfire"),
    ("succeeded", None),
    ("succeeded", None),
    ("skipped", "overlap"),
    ("succeeded", None),
]


def began(minute: int, order: int) -> Execution:
    """Lasts half a second from second `order` on, two lines."""
    key = f"job@{to_text(FIRST + minute * 60 * SECOND)}"
    begin = order * 10**9
    return Execution(key, 1, 0, "a", begin, 2 * order, begin + 5 * 10**8, 2 * order + 1, True)


def wrong(ends: Sequence[tuple[str, str | None]]) -> list[str]:
    rows = {("job", at): end for at, end in zip([*MISSED, *LIVE], ends, strict=False)}
    live = {LIVE[0]: {"job"}, LIVE[1]: set[str]()}
    return [sentence.partition(" ")[0] for sentence in wrong_rows(rows, {"job": ALL}, MISSED, live)]


def test_rows_as_documented_have_no_findings() -> None:
    assert wrong(GOOD) == []


def test_an_instant_that_ran_past_its_grace_or_was_missed_within_it_or_has_no_row_is_found() -> None:
    ends = [("succeeded", None), ("missed", "misfire"), *GOOD[2:4]]
    assert wrong(ends) == [f"job@{to_text(at)}" for at in (MISSED[0], MISSED[1], LIVE[1])]


def test_an_overlap_after_the_catch_up_is_found() -> None:
    assert wrong([*GOOD[:4], ("skipped", "overlap")]) == [f"job@{to_text(LIVE[1])}"]


def test_missed_instants_side_by_side_or_newest_first_are_found() -> None:
    one = began(0, 1)
    inside = Execution(began(1, 2).key, 1, 0, "a", one.begin, one.order + 0, one.last, one.last_order, True)
    assert list(side_by_side({"job": ALL}, [one, began(1, 2), began(2, 3)])) == []
    assert list(side_by_side({"job": ALL}, [one, inside])) == [f"{inside.key} began while {one.key} ran"]
    assert list(side_by_side({"job": ALL}, [began(1, 1), began(0, 2)])) == [
        f"{began(0, 2).key} began after {began(1, 1).key}"
    ]


def test_starts_are_counted_in_any_second() -> None:
    assert most_within_a_second([0, 900_000_000, 1_000_000_000, 1_800_000_000]) == 3


def test_how_far_an_older_instant_fell_behind_is_measured() -> None:
    assert most_behind([began(0, 1), began(2, 2), began(2, 3), began(1, 5)]) == 3 * 10**9
    assert most_behind([began(0, 1), began(1, 2), began(1, 3)]) == 0
