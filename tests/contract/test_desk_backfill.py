"""Past instants that are opened again, on both dialects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from leasebeat.errors import Refused
from leasebeat.model.run import RunKey
from leasebeat.store.desk_backfill import Backfill, Fires
from tests.contract.desk_bench import Office


def fires(office: Office, count: int = 3, **columns: Any) -> Fires:
    version = office.bench.schedule(7)
    now = office.bench.now
    instants = [now - number * 60_000_000 for number in range(count, 0, -1)]
    wanted = Fires("s7", 7, version.id, instants, 1, "heavy", -1, "backfill/s7")
    return replace(wanted, **columns)


def put(office: Office, key: RunKey, **columns: object) -> None:
    assert office.bench.insert_run(key.schedule_id, key.fire_at) == key
    office.bench.change_run(key, **columns)


def test_instants_without_a_run_are_opened_in_their_order_and_once(office: Office) -> None:
    wanted = fires(office)
    todo = office.desk.backfill_look(wanted)
    assert office.desk.backfill(wanted, todo) == (3, 0)
    rows = [office.bench.run(key) for key in todo.open]
    now = office.bench.now
    for number, row in enumerate(rows):
        assert row is not None
        assert (row["status"], row["origin"], row["queue"], row["priority"]) == (
            "queued",
            "backfill",
            "heavy",
            -1,
        )
        assert (row["version"], row["serial"], row["lane"]) == (wanted.version, None, "backfill/s7")
        assert (row["ready_at"], row["expires_at"], row["attempt"]) == (now + number, None, 0)
    again = office.desk.backfill_look(wanted)
    assert (again.open, again.reopen, again.left) == ([], [], todo.open)
    assert office.desk.backfill(wanted, again) == (0, 0)


def test_what_was_missed_or_skipped_is_opened_again_and_keeps_its_end(office: Office) -> None:
    wanted = fires(office, 3)
    missed, skipped, failed = (RunKey(at, 7) for at in wanted.instants)
    put(office, missed, status="missed", reason="no node")
    put(office, skipped, status="skipped", reason="overlap")
    put(office, failed, status="failed")
    todo = office.desk.backfill_look(wanted)
    assert (todo.open, todo.reopen, todo.left) == ([], [missed, skipped], [failed])
    assert office.desk.backfill(wanted, todo) == (0, 2)
    row = office.bench.run(missed)
    assert row is not None
    assert (row["status"], row["origin"], row["reason"], row["version"]) == (
        "queued",
        "backfill",
        None,
        wanted.version,
    )
    assert [(t["attempt"], t["outcome"], t["reason"]) for t in office.desk.attempts(missed)] == [
        (0, "missed", "no node")
    ]


def test_the_row_of_many_missed_instants_stays_and_the_others_are_opened(office: Office) -> None:
    wanted = fires(office, 3)
    span = RunKey(wanted.instants[0], 7)
    put(office, span, status="missed", until=wanted.instants[-1], missed_count=3)
    todo = office.desk.backfill_look(wanted)
    assert (todo.spans, [key.fire_at for key in todo.open]) == ([span.fire_at], list(wanted.instants[1:]))
    assert office.desk.backfill(wanted, todo) == (2, 0)
    with pytest.raises(Refused, match="stands for 3 missed instants"):
        office.desk.retry(span)
    row = office.bench.run(span)
    assert row is not None
    assert (row["status"], row["missed_count"]) == ("missed", 3)


def test_a_fire_of_several_shards_is_opened_whole_or_not_at_all(office: Office) -> None:
    wanted = fires(office, 2, shards=3)
    first, second = wanted.instants
    put(office, RunKey(first, 7), status="succeeded")
    put(office, RunKey(second, 7), status="missed")
    todo = office.desk.backfill_look(wanted)
    assert (todo.left, todo.reopen) == ([RunKey(first, 7)], [RunKey(second, 7)])
    assert todo.open == [RunKey(second, 7, 1), RunKey(second, 7, 2)]
    assert office.desk.backfill(wanted, todo) == (2, 1)
    assert [office.bench.status(RunKey(second, 7, shard)) for shard in range(3)] == ["queued"] * 3


def test_nothing_is_opened_by_a_definition_that_was_edited_meanwhile(office: Office) -> None:
    wanted = fires(office)
    todo = office.desk.backfill_look(wanted)
    office.bench.put_schedule(7, command="false")
    with pytest.raises(Refused, match="changed by somebody else"):
        office.desk.backfill(wanted, todo)
    assert office.desk.backfill_look(wanted) == todo


def test_of_two_that_backfill_the_same_one_is_refused(office: Office) -> None:
    wanted = fires(office)
    todo = office.desk.backfill_look(wanted)
    office.desk.backfill(wanted, todo)
    with pytest.raises(Refused, match="somebody else opens runs"):
        office.desk.backfill(wanted, todo)
    assert len(office.desk.backfill_look(wanted).left) == 3


def test_nothing_to_do_is_nothing(office: Office) -> None:
    wanted = fires(office, 0)
    assert office.desk.backfill_look(wanted) == Backfill([], [], [], [])
    assert office.desk.activity("s7") == []


def test_a_backfilled_run_is_pulled_and_the_lane_lets_one_run_at_a_time(office: Office) -> None:
    office.bench.join(queues={"heavy": None})
    wanted = fires(office)
    office.desk.set_lane(wanted.lane, 1)
    office.desk.backfill(wanted, office.desk.backfill_look(wanted))
    found = office.bench.store.pull_look("n" * 32, "heavy", 10)
    assert {each.key.fire_at for each in found} <= set(wanted.instants)
    assert wanted.instants[0] in {each.key.fire_at for each in found}


def test_a_fire_is_never_cut_between_two_transactions(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leasebeat.store.desk_backfill._BATCH", 4)
    wanted = fires(office, 3, shards=3)
    todo = office.desk.backfill_look(wanted)
    office.bench.insert_run(7, wanted.instants[1])
    with pytest.raises(Refused, match="somebody else opens runs"):
        office.desk.backfill(wanted, todo)
    assert {office.bench.status(RunKey(wanted.instants[0], 7, shard)) for shard in range(3)} == {"queued"}
    assert office.bench.run(RunKey(wanted.instants[1], 7, 1)) is None
