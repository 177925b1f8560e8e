"""Which instants were due, and what becomes of one without a row."""

import json

import pytest

from leasebeat.model.instant import DAY, SECOND, from_text
from leasebeat.model.run import RunKey
from leasebeat.node.catalog import Entry, entry_of
from leasebeat.node.owed import SPAN, Owed, Walker, Window, audit_rows, owed_by_history, spans
from leasebeat.node.ranking import Ranking
from leasebeat.store.base import OpenRow, Version
from leasebeat.testing.trials.cases import proves

NOON = from_text("2026-11-20T12:00:00Z")
MINUTE = 60 * SECOND


def version(id: int, valid_from: int, cron: str = "* * * * *", **other: object) -> Version:
    definition = {"id": 7, "name": "backup", "cron": cron, "command": "true", **other.pop("definition", {})}  # type: ignore[dict-item]
    values = {
        "enabled": True,
        "deleted": False,
        "problem": None,
        "good_id": None,
        "ends_at": None,
        "definition": json.dumps(definition),
        **other,
    }
    return Version(id, 7, f"v{id}", valid_from, valid_from, **values)  # type: ignore[arg-type]


def entry(id: int = 1, valid_from: int = 0, cron: str = "* * * * *", **other: object) -> Entry:
    return entry_of(version(id, valid_from, cron, **other), NOON)


def due(*versions: Version, after: int = NOON, until: int = NOON + 5 * MINUTE) -> list[int]:
    return [(instant - NOON) // MINUTE for _, instant in owed_by_history(versions, Walker(after, until))]


def window(now: int = NOON + 2 * SECOND, catch_up: bool = False) -> Window:
    return Window(NOON - 60 * SECOND, now - 2 * SECOND, now, catch_up)


def verdict(newest: Entry | None, instant: int = NOON, **kw: object) -> tuple[str, str | None]:
    row = only_row(Owed(RunKey(instant, 7)), newest, window(**kw))  # type: ignore[arg-type]
    return row.status, row.reason_code


def only_row(owed: Owed, newest: Entry | None, seen: Window) -> OpenRow:
    (row,) = audit_rows(owed, newest, seen, Ranking())
    return row


def test_a_version_owes_the_instants_after_it_became_valid():
    assert due(version(1, NOON + 2 * MINUTE)) == [3, 4, 5]


@pytest.mark.fault(82)
def test_an_edit_never_makes_an_instant_in_its_own_past():
    assert due(version(1, NOON + MINUTE + SECOND)) == [2, 3, 4, 5]


def test_the_old_version_owes_what_lies_up_to_the_edit_and_the_new_one_the_rest():
    new = version(2, NOON + 2 * MINUTE + SECOND, "*/5 * * * *")
    assert due(version(1, 0), new) == [1, 2, 5]


def test_a_pause_over_an_instant_and_a_resume_after_it_leave_nothing_due():
    paused = version(2, NOON + 90 * SECOND, enabled=False)
    resumed = version(3, NOON + 150 * SECOND)
    assert due(version(1, 0), paused, resumed) == [1, 3, 4, 5]


def test_a_deleted_schedule_owes_nothing_after_its_deletion():
    assert due(version(1, 0), version(2, NOON + 90 * SECOND, deleted=True, definition={})) == [1]


def test_a_window_bounds_what_is_owed():
    window = {"starts_at": NOON + 2 * MINUTE, "ends_at": NOON + 4 * MINUTE}
    assert due(version(1, 0, definition=window)) == [2, 3]


def test_a_broken_row_owes_what_its_good_version_does_until_its_own_end():
    broken = version(2, 0, problem="no", good_id=1, ends_at=NOON + 2 * MINUTE)
    assert due(broken) == [1]


def test_a_broken_row_without_a_good_version_owes_nothing():
    assert due(version(1, 0, problem="no", good_id=0)) == []


def test_a_due_fire_that_nobody_opened_is_queued():
    assert verdict(entry()) == ("queued", None)


@proves("misfire_grace_s", "seconds")
def test_what_is_later_than_its_grace_is_missed():
    tight = entry(definition={"misfire_grace_s": 1})
    assert verdict(tight) == ("missed", "misfire")


@proves("misfire", "once")
def test_in_a_catch_up_once_runs_the_latest_and_misses_the_rest():
    now = NOON + 130 * SECOND
    found = [verdict(entry(), NOON + n * MINUTE, now=now, catch_up=True)[0] for n in range(3)]
    assert found == ["missed", "missed", "queued"]


def test_in_a_catch_up_once_runs_the_last_instant_before_the_schedule_ended():
    ended = entry(definition={"ends_at": NOON + 30 * SECOND})
    assert verdict(ended, NOON, now=NOON + 130 * SECOND, catch_up=True)[0] == "queued"


def test_a_walk_of_more_than_a_day_of_seconds_owes_every_one_and_breathes():
    breaths: list[int] = []
    walker = Walker(NOON - 2 * DAY, NOON, lambda: breaths.append(1))
    every_second = entry(cron="* * * * * *")
    assert len(walker.owed_by(every_second, NOON - 2 * DAY, NOON)) == 172_800
    assert len(breaths) > 80


def test_schedules_with_one_trigger_are_walked_once():
    breaths: list[int] = []
    walker = Walker(NOON - DAY, NOON, lambda: breaths.append(1))
    walker.owed_by(entry(), NOON - DAY, NOON)
    walked = len(breaths)
    walker.owed_by(entry(), NOON - DAY, NOON)
    assert len(breaths) == walked


@proves("misfire", "skip")
def test_in_a_catch_up_skip_misses_all():
    skip = entry(definition={"misfire": "skip"})
    assert verdict(skip, now=NOON + 2 * SECOND, catch_up=True) == ("missed", "misfire")


def test_a_claimer_that_died_just_now_is_no_misfire():
    skip = entry(definition={"misfire": "skip"})
    assert verdict(skip) == ("queued", None)


def test_what_the_newest_version_lacks_is_skipped():
    assert verdict(entry(2, NOON + SECOND, "30 4 * * *")) == ("skipped", "definition_changed")


def test_what_was_paused_before_it_was_opened_is_skipped():
    assert verdict(entry(2, NOON + SECOND, enabled=False)) == ("skipped", "definition_changed")


def test_what_was_deleted_before_it_was_opened_is_skipped_under_no_version():
    gone = entry_of(version(2, NOON + SECOND, deleted=True), NOON)
    row = only_row(Owed(RunKey(NOON, 7)), gone, window())
    assert (row.status, row.version) == ("skipped", None)


def test_a_new_version_that_still_has_the_instant_lets_it_run():
    assert verdict(entry(2, NOON + SECOND, "*/5 * * * *")) == ("queued", None)


def test_a_thousand_missed_instants_have_rows_of_their_own():
    found = [NOON + n * SECOND for n in range(SPAN)]
    assert [o.until for o in spans(7, found)] == [None] * SPAN


def test_older_ones_than_a_thousand_share_a_row_that_counts_them():
    found = [NOON + n * SECOND for n in range(SPAN + 30)]
    first, *rest = spans(7, found)
    assert (first.key.fire_at, first.until, first.count) == (NOON, NOON + 29 * SECOND, 30)
    assert [o.key.fire_at for o in rest] == found[30:]


def test_a_span_is_recorded_as_missed_with_its_count():
    span = Owed(RunKey(NOON - DAY, 7), NOON - MINUTE, 1440)
    row = only_row(span, entry(), window(catch_up=True))
    assert (row.status, row.until, row.missed_count) == ("missed", NOON - MINUTE, 1440)


@proves("misfire", "all")
def test_with_misfire_all_the_missed_instants_of_a_serial_schedule_run_one_after_the_other():
    row = only_row(Owed(RunKey(NOON, 7)), entry(definition={"misfire": "all"}), window(catch_up=True))
    assert (row.status, row.overlap) == ("queued", "queue")


def test_a_missed_fire_of_several_shards_is_opened_whole():
    rows = audit_rows(Owed(RunKey(NOON, 7)), entry(definition={"shards": 3}), window(), Ranking())
    assert [(row.key.shard, row.shards, row.serial) for row in rows] == [
        (0, 3, "7:0"),
        (1, 3, "7:1"),
        (2, 3, "7:2"),
    ]


def test_a_fire_for_all_nodes_that_finds_none_is_missed():
    assert verdict(entry(definition={"route": "all"})) == ("missed", "no_node")


def test_what_is_left_of_the_jitter_is_kept_when_the_audit_opens_a_fire():
    row = only_row(Owed(RunKey(NOON, 7)), entry(definition={"jitter_s": 3600}), window())
    assert 0 < row.delay < 3600 * SECOND
