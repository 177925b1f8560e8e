"""Each checker finds what was planted for it, and nothing in a history that is as it should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from leasebeat.model.instant import SECOND, Instant
from leasebeat.model.run import RunKey
from leasebeat.store.base import Version
from leasebeat.testing.simstore.base import NodeChange, RowChange, WatermarkMove
from leasebeat.testing.simstore.tables import DEFAULTS, Run, RunChange
from leasebeat.testing.simulation.checkers import Evidence, check
from leasebeat.testing.simulation.eras import eras_of
from leasebeat.testing.simulation.tasks import TaskBegin, TaskEnd
from leasebeat.testing.simulation.world import START

ROW: dict[str, object] = {
    **DEFAULTS,
    "id": 1,
    "name": "s",
    "cron": "*/10 * * * * *",
    "command": "task-1",
    "version": "v",
    "updated_at": START,
}
DEFINITION = '{"command": "task-1", "on_node_loss": "rerun"}'
VERSION = Version(1, 1, "v", START, START, True, False, None, None, DEFINITION, None)
KEY = RunKey(START + 10 * SECOND, 1)
LEASE = 30 * SECOND


def at(seconds: float) -> Instant:
    return START + round(seconds * SECOND)


def change(seconds: float, was: str | None, status: str, attempt: int = 1, **fields: Any) -> RunChange:
    """The row of KEY changed; by a claim or a pull if it runs now, else by a finish of its holder."""
    made = RunChange(
        at=at(seconds),
        now=at(seconds),
        statement="claim" if was is None else "finish",
        key=KEY,
        was=was,
        status=status,
        attempt=attempt,
        node_id="n",
        claimed_at=at(seconds) if status == "running" else None,
        writer=("n", attempt) if was == "running" else None,
        began=at(seconds),
        version=1,
        origin="trigger",
    )
    return made._replace(**fields)


def begin(seconds: float, attempt: int = 1, **fields: Any) -> TaskBegin:
    return TaskBegin(at(seconds), at(seconds), KEY, attempt, 1, "n", "1:0", True, "task-1")._replace(**fields)


def end(seconds: float, attempt: int = 1, key: RunKey = KEY, node_id: str = "n") -> TaskEnd:
    return TaskEnd(at(seconds), key, attempt, node_id)


def row(key: RunKey = KEY, status: str = "succeeded", **columns: Any) -> Run:
    run = Run(key, status, "trigger", key.fire_at)
    run.version = 1
    for name, value in columns.items():
        setattr(run, name, value)
    return run


CREATED = RowChange(START, START, 1, ROW)
MOVES = [
    WatermarkMove(at(8), at(8), "n", 1, 1, None, at(5)),
    WatermarkMove(at(20), at(20), "n", 1, 1, at(5), at(18)),
]
LIFE = [change(10, None, "running"), begin(10.1), end(12), change(12.1, "running", "succeeded")]


def evidence(journal: Sequence[Any], rows: Sequence[Run] | None = None, **fields: Any) -> Evidence:
    whole = Evidence(
        journal=sorted([CREATED, *MOVES, *journal], key=lambda entry: entry.at),
        rows={run.key: run for run in ([row()] if rows is None else rows)},
        nodes={},
        versions={1: VERSION},
        clock=[(0, 0)],
        now=at(25),
        store_now=at(25),
        slots=2,
        lease=LEASE,
        calm_since=START,
        enabled=frozenset({1}),
        present=frozenset(),
        executing=frozenset(),
        calm_links=False,
        take_over_limit=LEASE + 5 * SECOND,
        disturbed=[],
    )
    return replace(whole, **fields)


def objections(journal: Sequence[Any], rows: Sequence[Run] | None = None, **fields: Any) -> set[str]:
    return {violation.checker for violation in check(evidence(journal, rows, **fields))}


def test_a_history_as_it_should_be_is_not_objected_to() -> None:
    assert objections(LIFE) == set()


def test_a_second_row_of_a_fire() -> None:
    assert "one row per fire" in objections([*LIFE, change(14, None, "skipped")])


def test_a_status_that_may_not_follow() -> None:
    assert "allowed transitions" in objections([*LIFE, change(14, "succeeded", "queued", writer=None)])


def test_an_attempt_that_was_left_out() -> None:
    journal = [*LIFE[:3], change(13, "running", "queued"), change(14, "queued", "running", 3, writer=None)]
    assert "attempts without gaps" in objections(journal)


def test_a_fence_that_does_not_grow() -> None:
    again = change(14, "queued", "running", 2, writer=None, claimed_at=at(10))
    assert "fences increase" in objections([*LIFE[:3], change(13, "running", "queued"), again])


def test_an_end_written_by_an_attempt_that_was_taken_over() -> None:
    journal = [*LIFE[:3], change(13, "running", "queued"), change(14, "queued", "running", 2, writer=None)]
    late = change(15, "running", "succeeded", 2, writer=("n", 1))
    assert "late writers refused" in objections([*journal, late])


def test_an_attempt_that_begins_twice() -> None:
    assert "each attempt begins once" in objections([*LIFE[:3], begin(12), end(12.05), LIFE[3]])


def test_a_task_without_a_lease() -> None:
    assert "tasks begin under a lease" in objections(
        [*LIFE[:1], begin(10.1, node_id="other"), end(11, node_id="other")]
    )


def test_a_task_before_its_time() -> None:
    assert "no early start" in objections([LIFE[0], begin(10.1, store_high=at(9.9)), *LIFE[2:]])


def test_two_executions_of_a_run_at_once() -> None:
    journal = [LIFE[0], begin(10.1), change(11, "running", "queued"), change(11.5, "queued", "running", 2)]
    assert "one execution at a time" in objections([*journal, begin(11.6, 2), end(12), end(13, 2)])


def test_two_runs_of_a_schedule_that_may_not_overlap() -> None:
    other = RunKey(at(20), 1)
    journal = [*LIFE[:2], change(20, None, "running", key=other), begin(20.1, key=other)]
    assert "overlap = skip" in objections(journal, [row(), row(other)], calm_since=at(25))


def test_a_purge_of_a_node_that_had_just_beaten() -> None:
    purge = NodeChange(at(20), "n", "live", "purged", at(15), True)
    assert objections([*LIFE, purge]) == {"the living are not purged"}


def test_a_task_that_outlives_its_nodes_lease() -> None:
    purge = NodeChange(at(45), "n", "live", "purged", at(10), True)
    assert "work stops before the purge" in objections([*LIFE[:2], purge], now=at(50))


def test_a_node_with_more_tasks_than_slots() -> None:
    others = [RunKey(at(n), 1) for n in (11, 12, 13)]
    assert "slots are kept" in objections([begin(14 + n / 10, key=key) for n, key in enumerate(others)])


def test_a_watermark_that_moves_back() -> None:
    back = WatermarkMove(at(22), at(22), "n", 1, 1, at(18), at(16))
    assert "the watermark grows" in objections([*LIFE, back])


def test_a_watermark_moved_under_an_old_term() -> None:
    stale = WatermarkMove(at(22), at(22), "n", 1, 2, at(18), at(19))
    assert objections([*LIFE, stale]) == {"the watermark obeys the term"}


def test_a_due_instant_of_which_nothing_tells() -> None:
    assert objections([], []) == {"every due instant"}


def test_a_span_of_missed_instants_tells_of_each_of_them() -> None:
    missed = row(RunKey(START, 1), "missed", origin="manual", until=at(10))
    assert objections([], [missed]) == set()


def test_a_fire_that_nobody_asked_for() -> None:
    invented = RunKey(at(13), 1)
    assert objections(LIFE, [row(), row(invented)]) == {"no invented fires"}


def test_a_claim_from_a_definition_that_had_been_edited() -> None:
    paused = RowChange(at(9), at(9), 1, {**ROW, "enabled": 0, "version": "w", "updated_at": at(9)})
    assert "edits are not overtaken" in objections([paused, *LIFE])


def test_a_claim_whose_statement_began_before_the_edit_is_none() -> None:
    paused = RowChange(at(10.5), at(10.5), 1, {**ROW, "enabled": 0, "version": "w", "updated_at": at(10.5)})
    late = change(11, None, "running", began=at(10.4))
    assert objections([paused, late, begin(11.1), end(12), LIFE[3]]) == set()


def test_a_task_that_is_not_its_versions() -> None:
    assert objections([LIFE[0], begin(10.1, command="task-2"), *LIFE[2:]]) == {"tasks run their version"}


def test_a_running_row_in_no_process() -> None:
    stuck = [row(status="running", claimed_at=at(10))]
    assert "nothing is stuck" in objections(LIFE[:3], stuck, store_now=at(100))


def test_a_worker_that_does_not_come_back() -> None:
    assert objections(LIFE, present=frozenset({"node-1"})) == {"the fleet heals"}


def test_a_watermark_that_stands() -> None:
    assert "the fleet heals" in objections(LIFE, store_now=at(60))


def test_a_take_over_that_takes_too_long() -> None:
    purge = NodeChange(at(80), "n", "live", "purged", at(10), True)
    taken = change(80, "running", "queued", statement="reclaim", writer=None)
    assert "take-overs are in time" in objections([*LIFE[:3], purge, taken])


def test_a_take_over_while_nobody_could_watch() -> None:
    purge = NodeChange(at(80), "n", "live", "purged", at(10), True)
    taken = change(80, "running", "queued", statement="reclaim", writer=None)
    assert objections([*LIFE[:3], purge, taken], disturbed=[(at(15), at(60))]) == set()


def test_a_run_that_is_taken_over_again_and_again() -> None:
    assert objections(LIFE, [row(take_overs=4)]) == {"take-overs are bounded"}


def test_a_task_that_may_not_run_again_and_is_queued_again() -> None:
    once = replace(VERSION, definition='{"command": "task-1", "on_node_loss": "fail"}')
    taken = change(30, "running", "queued", statement="reclaim", writer=None)
    assert objections([*LIFE[:3], taken], versions={1: once}) == {"on_node_loss is kept"}
    assert objections([LIFE[0], taken], versions={1: once}) == set()


def test_a_fire_skipped_beside_nothing() -> None:
    other = RunKey(at(20), 1)
    skipped = change(20, None, "skipped", 0, key=other)
    rows = [row(), row(other, "skipped", reason_code="overlap")]
    assert objections([*LIFE, skipped], rows) == {"skips have a reason"}
    assert objections([*LIFE[:3], skipped, change(21, "running", "succeeded")], rows) == set()


def test_a_fire_left_to_the_audit_though_all_was_calm() -> None:
    journal = [change(100, None, "queued", statement="open_missing", origin="audit")]
    assert "fires open in time" in objections(journal, calm_links=True, disturbed=[])


# which definition was in force


def edit(seconds: float, now: float | None = None, **columns: object) -> RowChange:
    said = at(seconds if now is None else now)
    return RowChange(
        at(seconds), said, 1, {**ROW, "version": f"v{seconds}", "updated_at": said, **columns}, at(5)
    )


def ruling(
    edits: Sequence[RowChange], instant: Instant, clock: Sequence[tuple[int, int]] = ((0, 0),)
) -> list[Any]:
    seen = {(1, edit.row["version"], edit.row["updated_at"]) for edit in edits if edit.row}
    eras = eras_of(edits, clock, seen)[1]
    return [era.row and era.row["cron"] for era in eras if era.may_rule(instant)]


def test_the_definition_in_force_is_the_one_committed_last_before_the_instant() -> None:
    edits = [edit(0), edit(15, cron="@manual")]
    assert ruling(edits, at(15)) == ["*/10 * * * * *"]
    assert ruling(edits, at(15) + 1) == ["@manual"]


def test_an_edit_that_hides_its_time_may_be_as_old_as_the_watermark() -> None:
    edits = [edit(0), edit(15, cron="@manual", updated_at=START)]
    assert ruling(edits, at(10)) == ["*/10 * * * * *", "@manual"]


def test_a_clock_set_back_lets_two_definitions_rule() -> None:
    edits = [edit(0), edit(30, now=10, cron="@manual")]
    assert ruling(edits, at(15), [(0, 0), (at(20), -20 * SECOND)]) == ["*/10 * * * * *", "@manual"]


def test_a_broken_row_leaves_the_last_good_definition_in_force() -> None:
    assert ruling([edit(0), edit(15, cron="61 * * * *")], at(20)) == ["*/10 * * * * *"]


def test_a_deleted_row_has_no_instants() -> None:
    assert ruling([edit(0), RowChange(at(15), at(15), 1, None)], at(20)) == [None]


def test_what_was_edited_back_to_without_a_trace_leaves_both_to_rule() -> None:
    edits = [
        edit(0),
        edit(15, cron="@manual", updated_at=START),
        RowChange(at(20), at(20), 1, edit(0).row, at(18)),
    ]
    assert set(ruling(edits, at(17))) == {"*/10 * * * * *", "@manual"}
    assert set(ruling(edits, at(25))) == {"*/10 * * * * *", "@manual"}


def test_a_state_that_no_node_has_read_leaves_the_one_before_it_to_rule() -> None:
    edits = [edit(0), edit(15, cron="@manual"), edit(16)]
    seen = {(1, each.row["version"], each.row["updated_at"]) for each in (edits[0], edits[2]) if each.row}
    eras = eras_of(edits, [(0, 0)], seen)[1]
    crons = [era.row and era.row["cron"] for era in eras if era.may_rule(at(15.5))]
    assert crons == ["*/10 * * * * *", "@manual"]
