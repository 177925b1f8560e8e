"""Each case of the table in docs/explain.md, from rows in a store, on both dialects."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from leasebeat.cli.inquiry import Inquiry, inquiry
from leasebeat.explain.codes import Code
from leasebeat.explain.scene import Verdict
from leasebeat.model.instant import DAY, SECOND, Instant, from_text
from leasebeat.settings import Retention
from tests.contract.desk_bench import Office
from tests.contract.store_bench import HOUR, NODE, START

DUE = START - HOUR
"""An instant of the schedule: it fires each hour."""
TEXT = "2026-11-20T09:00:00Z"
JOB = {"id": 1, "name": "job", "cron": "0 * * * *", "command": "true", "enabled": 1}


@dataclass
class Stage:
    """One schedule, `job`, hourly; the store's time is 10:00, and the audit has come so far."""

    office: Office

    def put(self, table: str, **values: object) -> None:
        told = [
            self.office.bench.told(value) if isinstance(value, int) and value > DAY else value
            for value in values.values()
        ]
        names = ", ".join(f"`{name}`" for name in values)
        self.office.bench.sql(
            f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(told))})", *told
        )

    def version(self, number: int, since: Instant, /, schedule_id: int = 1, **changes: Any) -> None:
        """A version in force from then on. Columns of the definition, or `problem`, `good_id`, `deleted`."""
        own = {
            name: changes.pop(name) for name in ("problem", "good_id", "deleted", "diff") if name in changes
        }
        definition = JOB | {"id": schedule_id} | changes
        self.put(
            "schedule_history",
            id=number,
            schedule_id=schedule_id,
            former_id=number - 1,
            version=str(number),
            updated_at=since,
            valid_from=since,
            enabled=int(bool(definition["enabled"])),
            definition=json.dumps(definition),
            **own,
        )

    def run(self, status: str, at: Instant = DUE, schedule_id: int = 1, **columns: Any) -> None:
        if status not in ("queued", "running"):
            columns = {"finished_at": at + 9 * SECOND} | columns
        whole = {"origin": "trigger", "version": schedule_id, "ready_at": at} | columns
        self.put("runs", fire_at=at, schedule_id=schedule_id, status=status, **whole)

    def node(self, name: str = "web-1", since: Instant = START - HOUR, **columns: Any) -> None:
        whole = {"state": "live", "beat_at": START, "beat_s": 10, "slots": 4, "queues": '{"default": null}'}
        whole |= {"id": name.ljust(32, "0"), "roles": '["dispatch", "execute"]'} | columns
        self.put("nodes", name=name, started_at=since, **whole)

    def audited(self, until: Instant) -> None:
        self.office.bench.sql("UPDATE roles SET watermark = %s", self.office.bench.told(until))

    @property
    def inquiry(self) -> Inquiry:
        return inquiry(self.office.desk, 1, "job", Retention())

    def verdict(self, at: Instant = DUE) -> Verdict:
        return self.inquiry.verdict(at)


@pytest.fixture
def stage(office: Office) -> Stage:
    made = Stage(office)
    made.put("schedules", id=1, name="job", cron="0 * * * *", command="true")
    made.audited(START - SECOND)
    return made


@pytest.fixture
def known(stage: Stage) -> Stage:
    """The same after a node has read the schedule."""
    stage.version(1, START - 3 * DAY)
    return stage


Arranged = Callable[[Stage], Instant | None]
"""Puts the rows there; the instant that is asked about, DUE if none."""


def of_run(status: str, **columns: Any) -> Arranged:
    def arrange(stage: Stage) -> None:
        stage.version(1, START - 3 * DAY)
        stage.node(id=NODE)
        stage.run(status, **columns)

    return arrange


def of_version(at: Instant | None = None, /, **columns: Any) -> Arranged:
    def arrange(stage: Stage) -> Instant | None:
        stage.version(1, START - 3 * DAY)
        stage.version(2, START - 2 * DAY, **columns)
        return at

    return arrange


def unread(stage: Stage) -> None:
    del stage


def before_it_was_there(stage: Stage) -> Instant:
    stage.version(1, START - 3 * DAY)
    return START - 4 * DAY


def on_a_holiday(stage: Stage) -> None:
    days = {"exclude": ["2026-11-20"]}
    stage.put("calendars", name="works", day="2026-11-20", effect="exclude", note="company holiday")
    stage.version(1, START - 3 * DAY, calendar="works", calendar_days=days)


def in_the_second_pass(stage: Stage) -> Instant:
    stage.version(1, START - 90 * DAY, cron="30 2 * * *", timezone="Europe/Berlin")
    return from_text("2026-10-25T02:30:00+01:00")


def after_nothing(stage: Stage) -> None:
    stage.put("schedules", id=2, name="up", cron="@daily", command="true")
    stage.version(2, START - 3 * DAY, schedule_id=2, name="up")
    stage.version(1, START - 3 * DAY, cron="@manual", after=["up"])


def after_an_open_run(stage: Stage) -> None:
    after_nothing(stage)
    stage.run("running", schedule_id=2, attempt=1)


def above_the_watermark(stage: Stage) -> None:
    stage.version(1, START - 3 * DAY)
    stage.audited(DUE - SECOND)


def in_a_span(stage: Stage) -> None:
    stage.version(1, START - 3 * DAY)
    at, until = START - 2 * DAY, DUE + HOUR // 2
    stage.run("missed", at, reason_code="misfire", until=until, missed_count=1200)


def long_ago(stage: Stage) -> Instant:
    stage.version(1, START - 30 * DAY)
    return START - 20 * DAY


def nothing_at_all(stage: Stage) -> None:
    stage.version(1, START - 3 * DAY)


def in_the_future(stage: Stage) -> Instant:
    stage.version(1, START - 3 * DAY)
    return START + HOUR


def in_a_paused_queue(stage: Stage) -> None:
    of_run("queued")(stage)
    stage.put("queues", name="default", paused=1)


def of_a_paused_schedule(stage: Stage) -> None:
    of_run("queued")(stage)
    stage.version(2, DUE + SECOND, enabled=0, diff='{"enabled": [1, 0]}')


def without_a_node(stage: Stage) -> None:
    stage.version(1, START - 3 * DAY)
    stage.node(state="left", beat_at=DUE - 60 * SECOND)
    stage.run("queued")


def behind_an_earlier_run(stage: Stage) -> None:
    of_run("queued", serial="1:0")(stage)
    stage.run("running", DUE - HOUR, attempt=1, serial="1:0", serial_held="1:0", node_id=NODE)


def in_a_full_lane(stage: Stage) -> None:
    of_run("queued", lane="api")(stage)
    stage.run("running", DUE - HOUR, attempt=1, lane="api", lane_slot="api:0", node_id=NODE)


def with_full_nodes(stage: Stage) -> None:
    stage.version(1, START - 3 * DAY)
    stage.node(running=4)
    stage.run("queued")


def missed_without_a_node(stage: Stage) -> None:
    stage.version(1, START - 3 * DAY)
    stage.node("old", START - 4 * HOUR, state="left", beat_at=DUE - 60 * SECOND)
    stage.node("new", DUE + 1200 * SECOND)
    stage.run("missed", reason_code="no_slot", finished_at=DUE + 600 * SECOND, ready_at=DUE)


CASES: dict[Code, tuple[Arranged, str]] = {
    Code.NOT_DUE: (of_version(DUE + SECOND), "does not have this instant"),
    Code.CLOCK_CHANGE: (in_the_second_pass, "02:30:00 came twice in Europe/Berlin on 2026-10-25"),
    Code.CALENDAR: (on_a_holiday, "calendar 'works' leaves out 2026-11-20 (company holiday)"),
    Code.OUTSIDE_WINDOW: (
        of_version(starts_at=DUE + SECOND),
        "before starts_at, 2026-11-20T09:00:01Z",
    ),
    Code.MANUAL: (of_version(cron="@manual"), "runs only when it is asked for"),
    Code.NO_UPSTREAM: (after_nothing, "it follows up, and up has no run at this instant"),
    Code.DISABLED: (of_version(enabled=0, diff='{"enabled": [1, 0]}'), "the schedule was paused"),
    Code.PROBLEM: (
        of_version(problem="cron '61 * * * *' cannot be read", good_id=0),
        "its row could not be used: cron '61 * * * *'",
    ),
    Code.NOT_THERE_YET: (before_it_was_there, "it holds from 2026-11-17T10:00:00Z on"),
    Code.NOT_READ: (unread, "no node has read the schedule yet"),
    Code.DELETED: (of_version(deleted=1, enabled=0, good_id=0), "the schedule was gone"),
    Code.FUTURE: (in_the_future, "due in 1:00:00"),
    Code.NOT_AUDITED: (above_the_watermark, "the audit has come as far as 2026-11-20T08:59:59Z"),
    Code.WAITS_UPSTREAM: (after_an_open_run, f"up@{TEXT} has not ended"),
    Code.MISSED_SPAN: (in_a_span, "one of 1200 instants from 2026-11-18T10:00:00Z to 2026-11-20T09:30:00Z"),
    Code.NOT_KEPT: (long_ago, "successes 14 days"),
    Code.NO_RECORD: (nothing_at_all, "without a run although the audit is past it"),
    Code.CLOSING: (of_run("queued", kill_requested=1), "asked to end"),
    Code.WAITS_READING: (of_run("queued", version=None, origin="manual"), "no node has read it yet"),
    Code.WAITS_RETRY: (
        of_run("queued", attempt=1, ready_at=START + 10 * SECOND),
        "attempt 2 is due at 2026-11-20T10:00:10Z",
    ),
    Code.WAITS_DELAY: (of_run("queued", ready_at=START + SECOND), "not before 2026-11-20T10:00:01Z"),
    Code.WAITS_QUEUE: (in_a_paused_queue, "its queue 'default' is paused"),
    Code.WAITS_RESUME: (of_a_paused_schedule, "its schedule is paused since 2026-11-20T09:00:01Z"),
    Code.WAITS_NODE: (
        without_a_node,
        "no live node serves queue 'default' (from 2026-11-20T08:59:00Z to now)",
    ),
    Code.WAITS_TURN: (behind_an_earlier_run, "job@2026-11-20T08:00:00Z is running"),
    Code.WAITS_LANE: (in_a_full_lane, "lane 'api' is full: job@2026-11-20T08:00:00Z"),
    Code.WAITS_SLOT: (with_full_nodes, "no free slot at the last beats of web-1"),
    Code.WAITS_PULL: (of_run("queued"), "nothing stands in its way"),
    Code.RUNNING: (
        of_run("running", attempt=1, node_id=NODE, started_at=DUE + SECOND),
        "running on web-1 since 2026-11-20T09:00:01Z",
    ),
    Code.SUCCEEDED: (of_run("succeeded", attempt=1, node_id=NODE), "succeeded on web-1"),
    Code.FAILED: (of_run("failed", attempt=1, node_id=NODE, reason="exit code 3, expected 0"), "exit code 3"),
    Code.TIMED_OUT: (of_run("timed_out", attempt=1, node_id=NODE, reason_code="timeout"), "timeout"),
    Code.KILLED: (of_run("killed", attempt=1, node_id=NODE, reason_code="kill_requested"), "kill_requested"),
    Code.LOST: (of_run("lost", attempt=3, take_overs=3, node_id=NODE), "lost on web-1, attempt 3"),
    Code.OVERLAP: (of_run("skipped", reason_code="overlap", reason="the run of X is still running"), "still"),
    Code.REPLACED: (
        of_run("skipped", reason_code="replaced", reason="replaced by the run of X"),
        "replaced by",
    ),
    Code.DEFINITION_CHANGED: (
        of_run("skipped", reason_code="definition_changed", reason="definition changed: paused"),
        "definition changed: paused",
    ),
    Code.UPSTREAM: (of_run("skipped", reason_code="upstream", reason="up@X is failed"), "up@X is failed"),
    Code.MISFIRE: (of_run("missed", reason_code="misfire", reason="found 70 s late"), "found 70 s late"),
    Code.NO_NODE: (missed_without_a_node, "missed"),
    Code.NO_SLOT: (of_run("missed", reason_code="no_slot", reason="no node with a free slot"), "free slot"),
}


@pytest.mark.parametrize("code", CASES)
def test_each_case_is_told_by_its_code_and_its_words(stage: Stage, code: Code) -> None:
    arrange, words = CASES[code]
    at = arrange(stage)
    verdict = stage.verdict(DUE if at is None else at)
    assert verdict.code == code, verdict
    assert words in verdict.text


def test_what_cannot_follow_says_why(stage: Stage) -> None:
    after_nothing(stage)
    stage.put("schedule_problems", schedule_id=1, version=1, problem="a cycle", good_id=0, noticed_at=START)
    verdict = stage.verdict()
    assert (verdict.code, verdict.text) == (Code.PROBLEM, "it follows up, and cannot: a cycle")


def test_every_code_has_its_case() -> None:
    assert list(CASES) == list(Code)


def test_what_the_clocks_jump_over_is_told_where_dst_skips_it(stage: Stage) -> None:
    stage.version(1, START - 300 * DAY, cron="30 2 * * *", timezone="Europe/Berlin", dst="skip")
    verdict = stage.verdict(from_text("2026-03-29T03:00:00+02:00"))
    assert verdict.code == Code.CLOCK_CHANGE
    assert "put forward to 03:00:00 in Europe/Berlin on 2026-03-29" in verdict.text


def test_a_pause_is_told_with_its_beginning_and_the_edit_that_made_it(known: Stage) -> None:
    known.version(2, START - 2 * DAY, enabled=0, diff='{"enabled": [1, 0]}')
    known.version(3, START - DAY, enabled=0, command="false")
    verdict = known.verdict()
    assert verdict.more == ("so since 2026-11-18T10:00:00Z (version 2, which changed enabled: 1 -> 0)",)


def test_what_an_overlapping_run_became_is_told_too(known: Stage) -> None:
    known.node(id=NODE)
    known.run("failed", DUE - HOUR, attempt=1, node_id=NODE, finished_at=DUE + HOUR // 2)
    known.run("skipped", reason_code="overlap", reason="the run of 2026-11-20T08:00:00Z is still running")
    told = "job@2026-11-20T08:00:00Z: failed at 2026-11-20T09:30:00Z on web-1"
    assert told in known.verdict().more


def test_every_attempt_is_told_with_its_node_and_its_end(known: Stage) -> None:
    known.node(id=NODE)
    key = {"fire_at": DUE, "schedule_id": 1, "shard": 0}
    known.put(
        "attempts",
        **key,
        attempt=1,
        node_id="gone",
        outcome="lost",
        reason="purged",
        ended_at=DUE + 5 * SECOND,
    )
    known.run("failed", attempt=2, node_id=NODE, exit_code=3, started_at=DUE + 6 * SECOND)
    verdict = known.verdict()
    ended = "attempt 1 on gone: lost to 2026-11-20T09:00:05Z (purged)"
    last = "attempt 2 on web-1: failed from 2026-11-20T09:00:06Z to 2026-11-20T09:00:09Z, exit code 3"
    assert [line for line in verdict.more if line.startswith("attempt")] == [ended, last]
    assert verdict.more[-1] == f"output: `leasebeat logs job@{TEXT}`"


def test_a_fire_of_many_parts_is_told_as_one(known: Stage) -> None:
    known.node(id=NODE)
    for shard in range(4):
        status = "failed" if shard == 2 else "succeeded"
        known.run(status, shard=shard, shards=4, attempt=1, node_id=NODE)
    verdict = known.verdict()
    assert (verdict.code, verdict.text) == ("failed", "4 of 4 parts: 3 succeeded, 1 failed")
    assert verdict.facts["parts"] == [{"key": f"job@{TEXT}#2", "code": "failed", "text": "failed on web-1"}]


def test_a_time_without_a_node_is_told_from_the_last_beat_to_the_next_start(stage: Stage) -> None:
    missed_without_a_node(stage)
    assert (
        "no node served queue 'default' from 2026-11-20T08:59:00Z to 2026-11-20T09:20:00Z"
        in stage.verdict().more
    )


def test_of_what_is_older_than_the_rows_of_nodes_nobody_is_blamed(known: Stage) -> None:
    at = START - 2 * DAY
    known.run("missed", at, reason_code="no_slot", reason="no node with a free slot took it in time")
    verdict = known.verdict(at)
    assert (verdict.code, verdict.more) == ("no_slot", ())


def test_a_version_that_stands_in_for_a_broken_row_is_told(known: Stage) -> None:
    known.version(2, START - 2 * DAY, cron="61 * * * *", problem="61 is no minute", good_id=1)
    known.run("succeeded", attempt=1)
    assert "its row could not be used then (61 is no minute): version 1 ran instead" in known.verdict().more


def test_a_manual_run_in_the_place_of_an_instant_says_so(known: Stage) -> None:
    known.run("succeeded", attempt=1, origin="manual", requested_by="ada")
    assert "put in by hand by ada, at an instant that was due by itself" in known.verdict().more


def test_the_instants_of_a_day_are_those_that_were_due_or_ran_or_would_have_been(known: Stage) -> None:
    known.version(2, START - 20 * HOUR, enabled=0)
    known.run("succeeded", START - 30 * HOUR, attempt=1)
    known.run("succeeded", START - 30 * HOUR + 5, attempt=1, origin="manual")
    found = known.inquiry.instants(START - 34 * HOUR, START - 10 * HOUR - 1)
    assert len(found) == 25
    codes = [verdict.code for verdict in known.inquiry.verdicts(found)]
    assert [codes.count(code) for code in ("no_record", "succeeded", "disabled")] == [14, 2, 9]


def test_the_last_instant_is_the_last_that_was_due_or_has_a_run(known: Stage) -> None:
    assert known.inquiry.last(START - 1) == DUE
    known.run("succeeded", DUE + 7, attempt=1, origin="manual")
    assert known.inquiry.last(START - 1) == DUE + 7


def test_a_run_that_was_to_give_way_says_so_whatever_ended_it(known: Stage) -> None:
    known.node(id=NODE)
    later: dict[str, Any] = {"requested_by": "the run of 2026-11-20T09:30:00Z", "node_id": NODE}
    known.run(
        "killed",
        reason_code="node_lost",
        reason="node gone: x",
        attempt=1,
        kill_requested=2,
        **later,
    )
    known.run("succeeded", DUE + HOUR // 2, attempt=1, node_id=NODE)
    told = known.verdict().more
    assert "it was to give way to the run of 2026-11-20T09:30:00Z" in told
    assert "job@2026-11-20T09:30:00Z: succeeded at 2026-11-20T09:30:09Z on web-1" in told


def test_the_instants_of_a_span_are_told_as_missed_and_those_around_it_are_not(known: Stage) -> None:
    begin, until = START - 20 * HOUR, START - 10 * HOUR
    known.run("missed", begin, reason_code="misfire", until=until, missed_count=11)
    known.run("succeeded", begin + HOUR // 2, origin="manual", attempt=1)
    found = known.inquiry.instants(begin - HOUR, until + HOUR)
    codes = [verdict.code for verdict in known.inquiry.verdicts(found)]
    assert codes == ["no_record", "missed_span", "succeeded", *["missed_span"] * 10, "no_record"]
    assert known.verdict(until).code == "missed_span"


def test_what_was_paused_while_a_run_waited_is_told(known: Stage) -> None:
    known.put("queues", name="default", paused=0)
    for what, second in (("pause", -60), ("resume", 60), ("pause", 1800)):
        known.put("activity", at=DUE + second * SECOND, who="ada", what=what, subject="queue default")
    known.version(2, DUE + 30 * SECOND, enabled=0)
    known.version(3, DUE + 40 * SECOND)
    known.run("missed", reason_code="no_slot", ready_at=DUE, finished_at=DUE + 100 * SECOND)
    told = [line for line in known.verdict().more if "paused" in line]
    assert told == [
        "queue 'default' was paused from 2026-11-20T08:59:00Z to 2026-11-20T09:01:00Z by ada",
        "its schedule was paused from 2026-11-20T09:00:30Z to 2026-11-20T09:00:40Z",
    ]
