"""The checker of shards and followers finds what is planted, and nothing in a clean history."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from leasebeat.model.instant import SECOND, from_text
from leasebeat.testing.evidence import Evidence, NodeRow, RunRow
from leasebeat.testing.trials import steps
from leasebeat.testing.trials.steps import Play, Step

START = from_text("2026-11-20T03:00:00Z")
AT = "2026-11-20T03:00:00Z"
PARTS = Step("parts", shard_args=("Lviv", {"region": 2}), fails="parts*#1")
PLAY: Play = ([PARTS, Step("undo", after=("parts",), rule="failure"), Step("go", after=("parts",))], [START])
ENDS = {
    f"parts@{AT}": "succeeded",
    f"parts@{AT}#1": "failed",
    f"undo@{AT}": "succeeded",
    f"go@{AT}": "skipped",
}
RAN = [key for key, status in ENDS.items() if status != "skipped"]


def line(key: str, what: str, second: int) -> str:
    return f"{key} 1 {START + SECOND // 2} a {what} {(1000 + second) * 10**9}"


def clean() -> Evidence:
    """Three tasks, one after the other; the follower on success is skipped."""
    return Evidence(
        lines=[line(key, what, 1 + i) for i, key in enumerate(RAN) for what in ("begin", "end")],
        runs=[RunRow(key, ENDS[key], 1, "a", START, START + 9 * SECOND) for key in ENDS],
        attempts=[],
        nodes=[NodeRow("a", "a", "live", START, 2.0)],
        due=steps.due([PLAY]),
        lead=START - 1000 * SECOND,
    )


def part(shard: int, status: str) -> dict[str, object]:
    key = RAN[shard]
    code = int(status == "failed")
    return {
        "key": key,
        "schedule": "parts",
        "shard": shard,
        "shards": 2,
        "status": status,
        "exit_code": code,
        "result": key,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "told").mkdir()
    upstream = json.dumps([part(0, "succeeded"), part(1, "failed")])
    for key, said in zip(RAN, ('0 2\n"Lviv"\n', '1 2\n{"region": 2}\n', f"0 1\n\n{upstream}"), strict=True):
        (tmp_path / "told" / f"{key} 1").write_text(f"{said}\n")
    return tmp_path


def found(folder: Path, evidence: Evidence) -> str:
    return "\n".join(steps.findings(folder, [PLAY], evidence))


def test_a_clean_history_has_no_findings(folder: Path) -> None:
    assert clean().due == ENDS.keys()
    assert found(folder, clean()) == ""


def test_a_follower_that_begins_before_the_last_shard_has_ended_is_found(folder: Path) -> None:
    lines = list(clean().lines)
    early = replace(clean(), lines=[*lines[:3], *lines[4:], lines[3]])
    assert found(folder, early) == f"undo@{AT} began before parts@{AT}#1 attempt 1 had ended"


def test_a_step_that_should_have_been_skipped_is_found(folder: Path) -> None:
    (folder / "told" / f"go@{AT} 1").write_text((folder / "told" / f"undo@{AT} 1").read_text())
    ran = replace(clean(), lines=[*clean().lines, line(f"go@{AT}", "begin", 7)])
    assert f"go@{AT} began, and should have been skipped" in found(folder, ran)


def test_a_wrong_end_and_an_end_that_never_was_are_found(folder: Path) -> None:
    runs = [replace(run, status="succeeded") for run in clean().runs]
    said = found(folder, replace(clean(), runs=runs, lines=clean().lines[:-1]))
    assert f"go@{AT} is succeeded, attempt 1; it should be skipped" in said
    assert f"undo@{AT} attempt 1 is succeeded and never ended" in said


@pytest.mark.parametrize(
    ("key", "told", "what"),
    [
        (RAN[0], '1 2\n"Lviv"\n\n', "SHARD SHARDS '1 2'"),
        (RAN[0], '0 2\n"Kyiv"\n\n', "SHARD_ARG '\"Kyiv\"'"),
        (RAN[0], "0 2\n\n\n", "SHARD_ARG ''"),
        (RAN[2], f"0 1\n\n{json.dumps([part(0, 'succeeded')])}\n", "UPSTREAM"),
        (RAN[2], f"0 1\n\n{json.dumps([part(0, 'failed'), part(1, 'failed')])}\n", "UPSTREAM"),
    ],
)
def test_what_a_task_was_told_wrongly_is_found(folder: Path, key: str, told: str, what: str) -> None:
    (folder / "told" / f"{key} 1").write_text(told)
    assert found(folder, clean()).startswith(f"{key} attempt 1 was told {what}")
