"""Each checker of a policy finds what was planted for it; that it is silent otherwise, every seed says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from leasebeat.model.instant import SECOND
from leasebeat.model.node import NodeFacts
from leasebeat.model.run import RunKey
from leasebeat.testing.simstore.base import NodeChange, Replaced, WatermarkMove
from leasebeat.testing.simstore.tables import DEFAULTS, NodeRow, Run, RunChange
from leasebeat.testing.simulation.checkers import check
from leasebeat.testing.simulation.evidence import Evidence
from leasebeat.testing.simulation.policies import POLICIES
from leasebeat.testing.simulation.world import START, Noted
from tests.simulation.test_checkers import CREATED, KEY, VERSION, at, begin, change, end, evidence, row

LATER = RunKey(KEY.fire_at + 10 * SECOND, 1)
FACTS = NodeFacts(
    id="n",
    name="one",
    host="one",
    address="",
    pid=1,
    boot_id="b",
    pid_namespace="1",
    process_start=1,
    slots=2,
    beat_s=10.0,
    queues={"default": None},
    roles=("execute",),
    version="1",
    tzdata="1",
)
JOINED = NodeChange(START, "n", None, "live", START, False)


def world(journal: Sequence[Any], rows: Sequence[Run], **columns: Any) -> Evidence:
    """A history of schedule 1 with those columns, on one node that serves the default queue."""
    definition = json.dumps(
        {**DEFAULTS, "name": "task-1", "cron": "*/10 * * * * *", "command": "task-1", **columns}
    )
    made = evidence([JOINED, *journal], rows)
    node = NodeRow(FACTS, START)
    return replace(made, versions={1: replace(VERSION, definition=definition)}, nodes={"n": node})


def objections(journal: Sequence[Any], rows: Sequence[Run], **columns: Any) -> set[str]:
    return {violation.checker for violation in check(world(journal, rows, **columns), POLICIES)}


def opened(seconds: float, status: str = "queued", **fields: Any) -> RunChange:
    born = change(seconds, None, status, attempt=0, node_id=None, ready_at=KEY.fire_at)
    return born._replace(**fields)


TWO = [row(status="queued"), row(LATER, status="queued")]


def test_two_open_runs_under_skip() -> None:
    journal = [opened(10), opened(20, key=LATER, ready_at=LATER.fire_at)]
    assert objections(journal, TWO, overlap="skip") == {"overlap = skip"}
    assert objections(journal, TWO, overlap="wait") == set()
    assert objections(journal, TWO, overlap="allow") == set()


def test_an_older_run_that_was_not_asked_to_end() -> None:
    journal = [opened(10), opened(20, key=LATER, ready_at=LATER.fire_at)]
    assert objections(journal, TWO, overlap="replace") == {"overlap = replace"}
    assert objections([*journal, Replaced(at(20), KEY, LATER)], TWO, overlap="replace") == set()


def test_a_lane_that_is_too_full() -> None:
    rows = [row(lane="one"), row(LATER, lane="one")]
    beside = [begin(10.1), begin(10.2, key=LATER), end(12), end(12, key=LATER)]
    assert objections(beside, rows, lane="one", overlap="allow") == {"lanes keep their size"}
    assert objections([beside[0], end(12), begin(12.1, key=LATER)], rows, lane="one") == set()


def test_a_lane_out_of_order() -> None:
    keys = [KEY, LATER, RunKey(KEY.fire_at + 20 * SECOND, 1)]
    rows = [row(key, lane="one", status="queued") for key in keys]
    journal = [opened(10 + 10 * n, key=key, ready_at=key.fire_at) for n, key in enumerate(keys)]
    passed, again = (
        change(seconds, "queued", "running", key=key, ready_at=key.fire_at, writer=None)
        for seconds, key in zip((60, 80), keys[1:], strict=True)
    )
    assert objections([*journal, passed], rows, lane="one", overlap="allow") == set()
    assert objections([*journal, passed, again], rows, lane="one", overlap="allow") == {
        "lanes keep their order"
    }


def test_a_fire_that_lacks_a_shard() -> None:
    rows = [row(RunKey(*KEY[:2], shard), shards=3) for shard in (0, 2)]
    journal = [opened(10, key=run.key) for run in rows]
    assert objections(journal, rows, shards=3, route="any") == {"fires are whole"}


def test_shards_that_were_dealt_unevenly() -> None:
    rows = [row(RunKey(*KEY[:2], shard), shards=4, pinned_node_id=f"n{shard // 3}") for shard in range(4)]
    journal = [opened(10, key=run.key) for run in rows]
    assert objections(journal, rows, shards=4) == {"shards are dealt evenly"}


def test_a_task_on_a_node_that_it_is_not_for() -> None:
    assert objections([begin(10.1)], [row()], route="node:two") == {"route = node"}
    assert objections([begin(10.1)], [row()], route="node:one") == set()
    assert objections([begin(10.1)], [row(pinned_node_id="m")], route="all") == {"route = all"}
    assert objections([begin(10.1)], [row(queue="heavy")]) == {"queues are kept"}


def test_work_that_a_cordoned_node_took() -> None:
    cordoned = NodeChange(at(5), "n", "live", "cordoned", at(5), False)
    assert objections([cordoned, change(10, None, "running", ready_at=KEY.fire_at)], [row()]) == {
        "only the live take work"
    }


def test_a_start_in_a_queue_that_stands_still() -> None:
    paused = Noted(at(0), "pause queue", "default")
    running = change(15, None, "running", ready_at=KEY.fire_at)
    assert objections([paused, running], [row()]) == {"paused queues stand still"}


def test_a_start_before_its_time() -> None:
    journal = [opened(10, ready_at=KEY.fire_at + 2 * SECOND), begin(10.5)]
    assert objections(journal, [row()], jitter_s=5) == {"nothing starts before it is ready"}
    assert objections([opened(10)], [row()], jitter_s=5) == {"jitter"}


def test_a_catch_up_that_is_judged_by_another_misfire() -> None:
    moves = [WatermarkMove(at(20.5), at(20.5), "n", 1, 1, at(18), at(19))]
    found = opened(200, statement="open_missing", origin="audit", ready_at=at(200))
    rows = [row(origin="audit", status="queued", ready_at=at(200))]
    assert "misfire" in objections([*moves, found], rows, misfire="skip")
    assert "misfire" in objections([*moves, found], rows, misfire="once")
    assert "misfire" not in objections([*moves, found], rows, misfire="all")


def test_a_catch_up_that_is_not_spread() -> None:
    keys = [RunKey(KEY.fire_at, each) for each in range(1, 4)]
    rows = [row(key, origin="audit", status="queued", ready_at=at(200)) for key in keys]
    journal = [
        opened(200, key=key, statement="open_missing", origin="audit", ready_at=at(200)) for key in keys
    ]
    journal += [change(201 + n / 10, "queued", "running", key=key) for n, key in enumerate(keys)]
    made = replace(world(journal, rows, misfire="all", overlap="allow"), catch_up_per_s=2)
    assert "catch-ups are spread" in {violation.checker for violation in check(made, POLICIES)}


def test_a_queued_row_that_nobody_pulls() -> None:
    made = replace(world([], [row(status="queued")]), store_now=at(200))
    assert "nothing is stuck" in {violation.checker for violation in check(made, POLICIES)}


def test_a_row_in_a_paused_queue_waits_with_reason() -> None:
    made = replace(world([], [row(status="queued")]), store_now=at(200), paused={"default"})
    assert check(made, POLICIES) == []


def follower(journal: Sequence[Any], rows: Sequence[Run]) -> set[str]:
    """Schedule 2 follows schedule 1 when it fails."""
    made = world(journal, rows)
    definition = json.dumps(
        {**DEFAULTS, "name": "task-2", "cron": "@manual", "after": '["task-1"]', "after_rule": "failure"}
    )
    versions = {**made.versions, 2: replace(VERSION, id=2, schedule_id=2, definition=definition)}
    created = CREATED._replace(
        schedule_id=2, row={**(CREATED.row or {}), "id": 2, "cron": "@manual", "after_rule": "failure"}
    )
    made = replace(made, versions=versions, journal=[created, *made.journal], now=at(300))
    return {violation.checker for violation in check(made, POLICIES)}


ENDED = change(12, "running", "failed", ready_at=KEY.fire_at)


def test_a_follower_that_was_never_opened() -> None:
    assert follower([opened(10), ENDED], [row(status="failed")]) == {"followers"}


def test_a_follower_that_its_rule_did_not_want() -> None:
    rows = [row(status="failed"), row(KEY._replace(schedule_id=2), status="skipped", origin="after")]
    rows[1].reason_code, rows[1].version = "upstream", 2
    assert follower([opened(10), ENDED], rows) == {"followers"}


def test_a_follower_that_did_not_wait() -> None:
    of = KEY._replace(schedule_id=2)
    rows = [row(status="failed"), row(of, origin="after")]
    rows[1].version = 2
    early = opened(11, key=of, origin="after", version=2)
    assert follower([opened(10), early, ENDED], rows) == {"followers come last"}
    assert follower([opened(10), ENDED, early._replace(at=at(13))], rows) == set()


def test_an_instant_that_follows_no_end() -> None:
    invented = opened(11, origin="after")
    assert objections([invented], [row(origin="after")], cron="@after_end 5s") == {"@after_end"}
