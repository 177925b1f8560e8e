"""The checker of the acceptance ring finds what is planted, and nothing in a clean history."""

from __future__ import annotations

from dataclasses import replace

import pytest

from leasebeat.model.instant import SECOND, from_text
from leasebeat.testing.evidence import (
    AttemptRow,
    Death,
    Evidence,
    NodeRow,
    RunRow,
    executions,
    findings,
    second_keys,
)

START = from_text("2026-11-20T03:00:00Z")
KEYS = sorted(second_keys(["job-1"], START, START + 3 * SECOND))
LEAD = START - 1000 * SECOND  # the tasks' clock shows 1000 s at START


def at(seconds: float) -> int:
    """An instant of the store, so many seconds after START."""
    return START + round(seconds * SECOND)


def ns(seconds: float) -> int:
    """The same for the tasks."""
    return round((1000 + seconds) * 1e9)


def line(key: str, what: str, seconds: float, attempt: int = 1, node: str = "a") -> str:
    claimed = from_text(key.partition("@")[2]) if attempt == 1 else at(seconds)
    return f"{key} {attempt} {claimed} {node} {what} {ns(seconds)}"


def lasting(key: str, begin: float, end: float, attempt: int = 1, node: str = "a") -> list[str]:
    return [line(key, what, when, attempt, node) for what, when in (("begin", begin), ("end", end))]


def succeeded(key: str, finished: float, attempt: int = 1, node: str = "a", claimed: float = 0) -> RunRow:
    return RunRow(key, "succeeded", attempt, node, at(claimed), at(finished))


def clean() -> Evidence:
    """Three instants. `b` dies at 3.5 during the last one, which `a` takes over at 8."""
    lines = [*lasting(KEYS[0], 0.1, 1), *lasting(KEYS[1], 1.1, 1.5), *lasting(KEYS[2], 8.1, 9, 2)]
    lines[4:4] = [line(KEYS[2], "begin", 2.1, node="b"), line(KEYS[2], "alive", 3.4, node="b")]
    return Evidence(
        lines=lines,
        runs=[succeeded(KEYS[0], 1.1), succeeded(KEYS[1], 1.6), succeeded(KEYS[2], 9.1, 2, claimed=8)],
        attempts=[AttemptRow(KEYS[2], 1, "b", "lost", at(2))],
        nodes=[NodeRow("a", "a", "live", at(9), 2.0), NodeRow("b", "b", "purged", at(2), 2.0)],
        due=frozenset(KEYS),
        lead=LEAD,
        deaths={"b": Death(ns(3.5), "killed")},
    )


def only(evidence: Evidence) -> str:
    (found,) = findings(evidence)
    return found


def test_a_clean_history_passes() -> None:
    assert findings(clean()) == []


def test_each_second_of_each_schedule_is_due() -> None:
    assert second_keys(["a-1", "b-2"], START, START + 2 * SECOND) == {
        "a-1@2026-11-20T03:00:00Z",
        "a-1@2026-11-20T03:00:01Z",
        "b-2@2026-11-20T03:00:00Z",
        "b-2@2026-11-20T03:00:01Z",
    }


def test_a_gap_is_found() -> None:
    history = clean()
    assert only(replace(history, runs=history.runs[1:], lines=history.lines[2:])) == (
        f"{KEYS[0]} was due and has no row"
    )


def test_a_second_row_is_found() -> None:
    history = clean()
    assert only(replace(history, runs=[*history.runs, history.runs[0]])) == f"{KEYS[0]} has 2 rows"


def test_a_row_of_what_was_not_due_is_found() -> None:
    history = clean()
    assert only(replace(history, due=history.due - {KEYS[1]})) == f"{KEYS[1]} was not due and has a row"


@pytest.mark.parametrize("status", ["queued", "running"])
def test_a_stuck_row_is_found(status: str) -> None:
    history = clean()
    stuck = replace(history.runs[0], status=status)
    assert only(replace(history, runs=[stuck, *history.runs[1:]])) == (
        f"{KEYS[0]} is still {status}, attempt 1"
    )


def test_an_attempt_begun_twice_is_found() -> None:
    history = clean()
    again = lasting(KEYS[0], 1.02, 1.05)
    assert only(replace(history, lines=[*history.lines, *again])) == f"{KEYS[0]} attempt 1 was begun 2 times"


def test_an_overlap_with_the_last_sign_of_life_is_found() -> None:
    history = clean()
    # Late by the clock of a slow `alive`, but the file says who wrote first.
    lines = [*history.lines[:5], line(KEYS[2], "begin", 8.1, 2), line(KEYS[2], "alive", 3.4, node="b")]
    assert only(replace(history, lines=[*lines, line(KEYS[2], "end", 9, 2)])) == (
        f"{KEYS[2]}: attempt 2 began while attempt 1 ran"
    )


def test_an_overlap_with_a_task_that_its_dying_worker_still_had_is_found() -> None:
    history = clean()
    lines = [*history.lines[:6], *lasting(KEYS[2], 3.45, 9, 2)]
    assert findings(replace(history, lines=lines)) == [f"{KEYS[2]}: attempt 2 began while attempt 1 ran"]


def test_a_task_that_outlives_its_killed_worker_is_found() -> None:
    history = clean()
    lines = [*history.lines[:6], line(KEYS[2], "alive", 5.6, node="b"), *history.lines[6:]]
    assert only(replace(history, lines=lines)) == f"{KEYS[2]} attempt 1 lived 2.10 s longer than its worker"


def test_a_task_that_outlives_the_lease_of_its_stopped_node_is_found() -> None:
    history = clean()
    lines = [*history.lines[:6], line(KEYS[2], "alive", 8.2, node="b"), *lasting(KEYS[2], 8.3, 9, 2)]
    stopped = replace(history, lines=lines, deaths={"b": Death(ns(3.5), "stopped")})
    assert only(stopped) == f"{KEYS[2]} attempt 1 lived after the lease of its node"


def test_a_success_of_what_never_ended_is_found() -> None:
    history = clean()
    assert only(replace(history, lines=[history.lines[0], *history.lines[2:]])) == (
        f"{KEYS[0]} attempt 1 is recorded as succeeded and never ended"
    )


def test_a_success_recorded_before_the_end_is_found() -> None:
    history = clean()
    assert only(replace(history, runs=[succeeded(KEYS[0], 0.5), *history.runs[1:]])) == (
        f"{KEYS[0]} attempt 1 is recorded as succeeded before it ended"
    )


def test_a_success_on_another_node_than_the_rows_is_found() -> None:
    history = clean()
    assert only(replace(history, runs=[succeeded(KEYS[0], 1.1, node="b"), *history.runs[1:]])) == (
        f"{KEYS[0]} attempt 1 ran on a, not on b"
    )


def test_a_late_write_that_was_accepted_is_found() -> None:
    history = clean()
    lines = [*history.lines[:6], line(KEYS[2], "end", 3.45, node="b"), *history.lines[6:]]
    late = [*history.runs[:2], succeeded(KEYS[2], 8.5, node="b")]
    assert findings(replace(history, lines=lines, runs=late)) == [
        f"{KEYS[2]} is succeeded by attempt 1, but attempt 2 began",
        f"{KEYS[2]} is succeeded by attempt 1, which is lost",
    ]


def test_an_outcome_kept_from_before_a_take_over_is_found() -> None:
    history = clean()
    kept = [replace(history.attempts[0], outcome="failed")]
    assert (
        only(replace(history, attempts=kept)) == f"{KEYS[2]} attempt 1 was taken over, and its 'failed' kept"
    )


def test_an_early_start_is_found() -> None:
    history = clean()
    early = [*history.lines[:2], *lasting(KEYS[1], 0.5, 1.5), *history.lines[4:]]
    assert only(replace(history, lines=early)) == f"{KEYS[1]} began early"
    claimed = [text.replace(f" {at(1)} ", f" {at(0.75)} ") for text in history.lines]
    assert only(replace(history, lines=claimed)) == f"{KEYS[1]} was claimed 0.250 s early"


def test_a_late_take_over_is_found() -> None:
    history = clean()
    late = [*history.runs[:2], succeeded(KEYS[2], 12, 2, claimed=10.1)]
    assert only(replace(history, runs=late)) == (
        f"{KEYS[2]} was taken over 8.100 s after the last beat of b, later than 8 s"
    )
    assert findings(replace(history, runs=late), prompt=False) == []


def test_the_purge_of_a_living_node_is_found() -> None:
    assert only(replace(clean(), deaths={})) == "b (b) was purged, and nothing had happened to it"


def test_a_run_given_up_too_soon_is_found() -> None:
    history = clean()
    lost = [*history.runs[:2], replace(history.runs[2], status="lost")]
    assert (
        only(replace(history, runs=lost)) == f"{KEYS[2]} is lost, and only 1 of the nodes that held it died"
    )


def test_a_run_may_be_given_up_after_its_third_dead_node() -> None:
    history = clean()
    tries = [
        *history.attempts,
        AttemptRow(KEYS[2], 2, "b", "lost", at(5)),
        AttemptRow(KEYS[2], 3, "b", "lost", at(6)),
    ]
    lost = [*history.runs[:2], RunRow(KEYS[2], "lost", 3, "b", at(6), at(7))]
    assert findings(replace(history, runs=lost, attempts=tries, lines=history.lines[:6])) == []


def test_a_line_that_no_task_writes_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 1 of the evidence makes no sense"):
        executions([line(KEYS[0], "end", 1)])
