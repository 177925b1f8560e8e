"""The judge of `explain`: right answers pass, and every wrong one is noticed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from leasebeat.explain.scene import Verdict
from leasebeat.model.instant import SECOND, Instant, from_text, to_text
from leasebeat.testing.evidence import executions
from leasebeat.testing.trials.answers import KINDS, Definition, Judge, Outage

FIRST = from_text("2026-11-20T10:00:00Z")
END = FIRST + 60 * SECOND
NODES = {"n" * 32: "a", "o" * 32: "b"}


def at(second: float) -> Instant:
    return FIRST + round(second * SECOND)


def lines(
    key: str, attempt: int = 1, node: str = "n" * 32, begin: float = 0, end: float | None = None
) -> list[str]:
    """What a task writes; its clock is 0 at FIRST."""
    who = f"{key} {attempt} {at(begin)} {node}"
    said = [f"{who} begin {round(begin * 1e9)}"]
    return said if end is None else [*said, f"{who} end {round(end * 1e9)}"]


def judge(*told: list[str], outages: tuple[Outage, ...] = (), **definitions: list[Definition]) -> Judge:
    birth = Definition(before=at(-4), after=at(-3))
    names = [f"{kind}-{number}" for kind, what in KINDS.items() for number in range(1, what.count + 1)]
    known = {name: [replace(birth, step=KINDS[name.partition("-")[0]].step)] for name in names}
    known |= {
        name.replace("_", "-"): [known[name.replace("_", "-")][0], *each]
        for name, each in definitions.items()
    }
    ran = executions([line for each in told for line in each])
    return Judge(known, outages, FIRST, END, ran, NODES, FIRST)


def verdict(second: float, code: str, text: str = "", more: tuple[str, ...] = (), **facts: Any) -> Verdict:
    return Verdict(at(second), code, text, more, facts)


def told(begin: float, attempt: int = 1, node: str = "a") -> dict[str, Any]:
    attempts = [{"attempt": attempt, "node": node}]
    return {"attempt": attempt, "node": node, "claimed_at": to_text(at(begin)), "attempts": attempts}


RAN = lines("steady-1@2026-11-20T10:00:05Z", begin=5, end=6)


def test_a_true_success_passes() -> None:
    assert judge(RAN).wrong("steady-1", verdict(5, "succeeded", **told(5))) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        verdict(5, "failed", **told(5)),
        verdict(5, "not_due"),
        verdict(5, "misfire"),
        verdict(5, "succeeded", **told(5, attempt=2)),
        verdict(5, "succeeded", **told(5, node="b")),
        verdict(5, "succeeded", **told(5.5)),
        verdict(5, "succeeded", **told(5) | dict[str, Any](attempts=[])),
    ],
)
def test_what_ran_cannot_be_told_otherwise(wrong: Verdict) -> None:
    assert judge(RAN).wrong("steady-1", wrong) != ""


def test_a_task_without_an_end_is_no_success() -> None:
    begun = lines("steady-1@2026-11-20T10:00:05Z", begin=5)
    assert "never ended" in judge(begun).wrong("steady-1", verdict(5, "succeeded", **told(5)))


@pytest.mark.parametrize(
    ("second", "code"),
    [(-4.5, "not_there_yet"), (-2, "outside_window"), (60, "outside_window"), (5.5, "not_due")],
)
def test_what_was_not_due_is_told_by_its_own_reason(second: float, code: str) -> None:
    assert judge().wrong("steady-1", verdict(second, code)) == ""
    for other in {"not_there_yet", "outside_window", "not_due", "disabled", "misfire", "overlap"} - {code}:
        assert judge().wrong("steady-1", verdict(second, other)) != "", other


@pytest.mark.parametrize(
    "code", ["succeeded", "misfire", "no_record", "not_audited", "overlap", "disabled", "no_slot"]
)
def test_an_instant_that_was_due_and_did_not_run_has_no_excuse_without_a_fault(code: str) -> None:
    assert judge().wrong("steady-1", verdict(5, code)) != ""


def test_a_pause_excuses_what_lies_in_it_and_nothing_else() -> None:
    paused = Definition(False, before=at(10), after=at(10.1))
    known = judge(edited_1=[paused, Definition(before=at(20), after=at(20.1))])
    assert known.wrong("edited-1", verdict(15, "disabled")) == ""
    assert known.wrong("edited-1", verdict(25, "disabled")) != ""
    assert known.wrong("edited-1", verdict(15, "misfire")) != ""


def test_an_overlap_must_name_a_run_that_was_open() -> None:
    ran = lines("long-1@2026-11-20T10:00:04Z", begin=4, end=8)
    text, more = (
        "skipped: the run of 2026-11-20T10:00:04Z is still running",
        ("long-1@2026-11-20T10:00:04Z: succeeded",),
    )
    assert judge(ran).wrong("long-1", verdict(6, "overlap", text, more)) == ""
    assert judge(ran).wrong("long-1", verdict(6, "overlap", text)) != ""
    assert judge(ran).wrong("long-1", verdict(14, "overlap", text, more)) != ""
    assert judge(ran).wrong("long-1", verdict(6, "overlap", "skipped")) != ""


def test_an_outage_excuses_those_that_it_touches() -> None:
    away = Outage(frozenset("c"), at(20), at(30))
    known = judge(outages=(away,))
    assert known.wrong("lonely-1", verdict(22, "no_node")) == ""
    assert known.wrong("lonely-1", verdict(40, "no_node")) != ""
    assert known.wrong("steady-1", verdict(22, "no_node")) != ""
    assert known.wrong("steady-1", verdict(22, "misfire")) != ""
    everybody = tuple(Outage(frozenset(name), at(20), at(30)) for name in "abc")
    assert judge(outages=everybody).wrong("steady-1", verdict(22, "misfire")) == ""


def test_a_fire_of_parts_succeeded_when_all_of_them_ended() -> None:
    parts = [lines(f"parts-1@2026-11-20T10:00:05Z{mark}", begin=5, end=6) for mark in ("", "#1", "#2")]
    right = verdict(5, "succeeded", statuses={"succeeded": 3})
    assert judge(*parts).wrong("parts-1", right) == ""
    assert judge(*parts[:2]).wrong("parts-1", right) != ""


def test_what_gave_way_names_a_later_run_and_ended_soon() -> None:
    begun = lines("gives-1@2026-11-20T10:00:06Z", begin=6)
    text = "killed (replaced by the run of 2026-11-20T10:00:09Z)"
    assert judge(begun).wrong("gives-1", verdict(6, "killed", text)) == ""
    assert judge(begun).wrong("gives-1", verdict(6, "killed")) != ""
    assert judge(begun).wrong("gives-1", verdict(6, "succeeded", text)) != ""


@pytest.mark.parametrize(
    ("name", "code"), [("manual-1", "manual"), ("garbage-1", "problem"), ("calm-1", "calendar")]
)
def test_what_never_runs_has_one_reason(name: str, code: str) -> None:
    assert judge().wrong(name, verdict(5, code)) == ""
    assert judge().wrong(name, verdict(5, "not_due")) != ""


def test_a_follower_has_no_instant_where_its_upstream_did_not_run() -> None:
    assert judge().wrong("follows-1", verdict(5, "no_upstream")) == ""
    assert judge(RAN).wrong("follows-1", verdict(5, "no_upstream")) != ""
