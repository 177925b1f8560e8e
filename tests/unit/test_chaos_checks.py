"""The checks of the chaos ring find what they are for; the report calls a run that did too little invalid."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from leasebeat.model.instant import SECOND, from_text
from leasebeat.testing.chaos.checks import History, judge
from leasebeat.testing.chaos.ground import Plan, due_keys
from leasebeat.testing.chaos.nemesis import Suffered
from leasebeat.testing.chaos.plot import svg
from leasebeat.testing.chaos.report import figures
from leasebeat.testing.evidence import AttemptRow, Evidence, NodeRow, RunRow

AT = from_text("2026-11-20T03:00:00Z")
A, B = "job-0@2026-11-20T03:00:00Z", "job-0@2026-11-20T03:00:30Z"
FENCE = AT + 40 * SECOND


def line(key: str, attempt: int, node: str, what: str, at_s: float, fence: int = FENCE) -> str:
    return f"{key} {attempt} {fence} {node} {what} {round((AT // SECOND + at_s) * 1e9)}"


def run(key: str, attempt: int = 1, status: str = "succeeded", node: str = "n1") -> RunRow:
    return RunRow(key, status, attempt, node, FENCE, AT + 100 * SECOND)


def whole(key: str, begin_s: float, end_s: float) -> list[str]:
    return [line(key, 1, "n1", "begin", begin_s), line(key, 1, "n1", "end", end_s)]


CLEAN = History(
    evidence=Evidence(
        lines=[*whole(A, 41, 42), *whole(B, 43, 44)],
        runs=[run(A), run(B)],
        attempts=[],
        nodes=[NodeRow("n1", "one", "live", AT, 2.0)],
        due=frozenset({A, B}),
        lead=0,
    ),
    quiet=AT + 3600 * SECOND,
    slots=1,
    lanes={"narrow": (1, frozenset({"job-0"}))},
    serial=frozenset({"job-0"}),
    workers=["one"],
    live=["one"],
    tasks_left=0,
)
TOGETHER = [whole(A, 41, 44)[0], whole(B, 43, 45)[0], whole(A, 41, 44)[1], whole(B, 43, 45)[1]]
GAP = [RunRow(A, "succeeded", 3, "n1", FENCE, AT + 100 * SECOND), run(B)]
TAKEN = [AttemptRow(A, 1, "n1", "lost", FENCE)]
SAME_FENCE = [
    line(A, 1, "n1", "begin", 41),
    line(A, 2, "n1", "begin", 42),
    line(A, 2, "n1", "end", 43),
    *whole(B, 44, 45),
]


def with_evidence(**changes: object) -> History:
    return replace(CLEAN, evidence=replace(CLEAN.evidence, **changes))


def test_a_clean_history_has_no_findings():
    assert judge(CLEAN) == []


@pytest.mark.parametrize(
    ("history", "said"),
    [
        (with_evidence(lines=TOGETHER), "n1 ran 2 at once, with 1 slots"),
        (with_evidence(lines=TOGETHER), "lane narrow ran 2 at once, with size 1"),
        (with_evidence(lines=TOGETHER), "job-0 ran 2 times at once"),
        (with_evidence(runs=GAP, attempts=TAKEN), f"{A} has the attempts [1, 3]"),
        (
            with_evidence(lines=SAME_FENCE, runs=[run(A, 2), run(B)], attempts=TAKEN),
            f"{A}: the fence of attempt 2 did not grow",
        ),
        (replace(CLEAN, live=[]), "live at the end: ; running: one"),
        (replace(CLEAN, tasks_left=2), "2 processes of tasks are left at the end"),
        (
            replace(with_evidence(runs=[run(A, status="failed"), run(B)]), quiet=AT),
            f"{A} came due in the quiet, and is failed by attempt 1",
        ),
        (with_evidence(runs=[run(A, status="lost"), run(B)]), f"{A} is lost by attempt 1"),
    ],
)
def test_what_must_not_happen_is_said(history: History, said: str):
    assert said in judge(history)


def test_every_schedule_of_the_load_is_due_twice_a_minute():
    keys = due_keys(Plan(1, schedules=60), AT, AT + 60 * SECOND)
    assert len(keys) == 120
    assert {A, B} <= keys


def report_of(log: list[Suffered]):
    return figures(Plan(1, seconds=600), CLEAN.evidence, log, {}, CLEAN.quiet, [], ["kill", "stop"])


def test_a_run_in_which_too_little_happened_is_invalid_and_says_what_was_missing():
    report = report_of([Suffered("kill", "one", "kill -9", 0, 1)])
    assert report.verdict == "INVALID"
    assert "too few faults of kind kill, 1" in report.shortcomings
    assert "too few take-overs of running tasks, 0" in report.lines()


def test_what_was_found_fails_a_run_even_if_it_is_invalid():
    assert replace(report_of([]), findings=["something"]).verdict == "FAILED"


def test_the_plot_has_a_bar_for_each_run_and_fault_in_the_lane_of_its_node():
    at = (AT + 41 * SECOND) * 1000
    picture = svg(CLEAN.evidence, [Suffered("stop", "one", "stopped", at, at + 10**9)], ["one"])
    titles = [title.text for title in ElementTree.fromstring(picture).iter() if title.tag.endswith("title")]
    assert titles.count("stop: stopped") == 1
    assert {f"{A} attempt 1", f"{B} attempt 1"} <= set(titles)
