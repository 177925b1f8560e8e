"""People's commands on runs, on both dialects."""

from __future__ import annotations

import pytest

from leasebeat.errors import NotFound, Refused
from leasebeat.model.node import NodeState, Vitals
from leasebeat.model.run import RunKey
from leasebeat.store.base import DressRow
from tests.contract.desk_bench import JOB, Office
from tests.contract.store_bench import HOUR, NODE, START, ended, opening, retried


def test_a_run_asked_for_waits_to_be_dressed(office: Office) -> None:
    schedule_id = office.desk.add(JOB)
    key = office.desk.run_now("job", args='{"cwd": "/srv"}', requested_by="ada")
    assert key == RunKey(office.bench.now, schedule_id, 0)
    row = office.desk.run(key)
    assert (row["status"], row["origin"], row["requested_by"], row["schedule"]) == (
        "queued",
        "manual",
        "ada",
        "job",
    )
    assert (row["ready_at"], row["version"], row["args"]) == (office.bench.now, None, '{"cwd": "/srv"}')
    assert [one.key for one in office.bench.store.undressed()] == [key]


def test_two_runs_asked_for_at_once_are_two_runs(office: Office) -> None:
    office.desk.add(JOB)
    keys = [office.desk.run_now("job") for _ in range(3)]
    assert [key.fire_at - office.bench.now for key in keys] == [0, 1, 2]


def test_a_run_of_nothing_is_not_found(office: Office) -> None:
    with pytest.raises(NotFound):
        office.desk.run_now("nothing")
    with pytest.raises(NotFound):
        office.desk.run(RunKey(office.bench.now, 1, 0))


def test_runs_are_listed_from_the_newest(office: Office) -> None:
    office.desk.add(JOB)
    keys: list[RunKey] = []
    for _ in range(4):
        keys.append(office.desk.run_now("job"))
        office.pass_time(1)
    assert [row["fire_at"] for row in office.desk.runs()] == [key.fire_at for key in reversed(keys)]
    assert [row["fire_at"] for row in office.desk.runs(limit=2)] == [keys[3].fire_at, keys[2].fire_at]
    assert len(office.desk.runs(since=keys[1].fire_at)) == 3


def test_runs_are_chosen_by_name_pattern_and_status(office: Office) -> None:
    office.bench.join()
    office.run_that_ended(1, name="billing/a")
    office.run_that_ended(2, "succeeded", name="billing/b")
    office.run_that_ended(3, name="a")
    assert {row["schedule"] for row in office.desk.runs("billing/*")} == {"billing/a", "billing/b"}
    assert [row["schedule_id"] for row in office.desk.runs("a")] == [3]
    assert [row["schedule_id"] for row in office.desk.runs("billing/*", ["failed", "lost"])] == [1]
    assert [row["schedule_id"] for row in office.desk.runs(None, ["succeeded"])] == [2]
    assert office.desk.runs("nothing") == []


def test_runs_of_a_removed_schedule_are_still_found_by_its_name(office: Office) -> None:
    office.bench.join()
    key = office.run_that_ended(1, name="gone")
    office.desk.remove(["gone"])
    office.bench.store.see_deleted([1], office.bench.now)
    assert [row["schedule"] for row in office.desk.runs("gone")] == ["gone"]
    assert office.desk.run_named("gone", key.fire_at) == key


def test_a_run_is_named_by_what_its_schedule_is_called_or_was(office: Office) -> None:
    office.bench.join()
    key = office.run_that_ended(1, name="before")
    office.desk.edit("before", {"name": "after"})
    assert office.desk.run_named("before", key.fire_at) == key
    assert office.desk.run_named("after", key.fire_at) == key
    assert office.desk.run(key)["key"] == "before@2026-11-20T10:00:00Z"
    with pytest.raises(NotFound, match="there is no run before@2026-11-20T10:00:00Z#1"):
        office.desk.run_named("before", key.fire_at, 1)


def test_a_kill_is_asked_of_open_runs_only(office: Office) -> None:
    office.bench.join()
    running, over = office.bench.running(1), office.run_that_ended(2)
    office.desk.kill(running, requested_by="ada")
    (own,) = office.bench.own()
    assert own.kill_requested
    assert office.desk.run(running)["requested_by"] == "ada"
    with pytest.raises(Refused, match="has ended: failed"):
        office.desk.kill(over)
    with pytest.raises(NotFound):
        office.desk.kill(RunKey(1, 1, 0))


def test_all_open_runs_of_schedules_are_killed_at_once(office: Office) -> None:
    office.bench.join()
    office.bench.running(1)
    office.bench.queued(2)
    office.bench.queued(3)
    office.run_that_ended(4)
    assert office.desk.kill_of(["s1", "s2", "s4"], requested_by="ada") == 2
    assert office.desk.kill_of(["s1", "s2", "s4"]) == 0
    assert office.bench.store.close_killed() == 1


@pytest.mark.parametrize("status", ["failed", "timed_out", "killed", "lost"])
def test_a_retry_is_the_next_attempt_with_a_higher_fence(office: Office, status: str) -> None:
    office.bench.join()
    key = office.run_that_ended(1, status)
    former = office.desk.run(key)
    office.desk.retry(key, requested_by="ada")
    row = office.desk.run(key)
    assert (row["status"], row["finished_at"], row["exit_code"], row["reason"]) == (
        "queued",
        None,
        None,
        None,
    )
    assert (row["requested_by"], row["version"], row["failures"]) == ("ada", former["version"], 0)
    assert office.pull(key, 1) == 1
    (own,) = office.bench.own()
    assert own.attempt == 2
    assert own.claimed_at > former["claimed_at"]


def test_the_former_end_stays_on_record(office: Office) -> None:
    office.bench.join()
    key = office.run_that_ended(1)
    office.desk.retry(key)
    assert office.pull(key, 1) == 1
    office.bench.store.finish(NODE, [ended(key, attempt=2)])
    tries = [
        (row["attempt"], row["outcome"], row["exit_code"], row["reason"]) for row in office.desk.attempts(key)
    ]
    assert tries == [(1, "failed", 3, "it broke"), (2, "succeeded", None, None)]
    assert [row["node"] for row in office.desk.attempts(key)] == [f"name-{NODE}"] * 2


def test_a_run_that_was_killed_may_be_retried_and_lives(office: Office) -> None:
    office.bench.join()
    key = office.bench.running(1)
    office.desk.kill(key)
    office.bench.store.finish(NODE, [ended(key, status="failed")])
    assert office.desk.run(key)["status"] == "killed"
    office.desk.retry(key)
    assert office.bench.store.close_killed() == 0
    assert office.pull(key, 1) == 1


def test_a_missed_run_that_is_retried_has_no_start_deadline(office: Office) -> None:
    office.bench.join()
    key = office.bench.queued(1)
    office.pass_time(2 * HOUR / 1_000_000)
    assert office.bench.store.expire() == 1
    office.desk.retry(key)
    assert office.bench.store.expire() == 0
    office.bench.store.beat(NODE, Vitals())
    assert office.pull(key, 0) == 1


@pytest.mark.parametrize(("status", "why"), [("succeeded", "has succeeded"), ("running", "is running")])
def test_what_is_open_or_went_well_is_not_retried(office: Office, status: str, why: str) -> None:
    office.bench.join()
    key = office.bench.running(1) if status == "running" else office.run_that_ended(1, status)
    with pytest.raises(Refused, match=why):
        office.desk.retry(key)
    assert office.desk.run(key)["status"] == status


def test_a_queued_retry_is_not_retried_again(office: Office) -> None:
    office.bench.join()
    key = office.bench.running(1)
    office.bench.store.finish(NODE, [retried(key)])
    with pytest.raises(Refused, match="is queued"):
        office.desk.retry(key)


def test_a_retry_holds_again_what_keeps_its_schedule_from_overlapping(office: Office) -> None:
    office.bench.join()
    key = office.run_that_ended(1, overlap="skip")
    office.desk.retry(key)
    version = office.bench.store.versions([1])[0]
    now = office.pass_time(1)
    assert office.bench.store.claim(NODE, now, [opening(version, serial="1:0", overlap="skip")]).count == 0
    assert office.desk.run(key)["serial_held"] == "1:0"


def test_a_retry_beside_an_open_run_of_its_schedule_is_refused_and_changes_nothing(office: Office) -> None:
    office.bench.join()
    key = office.run_that_ended(1, overlap="skip")
    before = office.desk.run(key)
    version = office.bench.store.versions([1])[0]
    now = office.pass_time(1)
    assert office.bench.store.claim(NODE, now, [opening(version, serial="1:0", overlap="skip")]).count == 1
    with pytest.raises(Refused, match="s1@2026-11-20T10:00:01Z is running, and they may not overlap"):
        office.desk.retry(key)
    assert office.desk.run(key) == before
    assert office.bench.attempt(key, 1) is None


@pytest.mark.parametrize("overlap", ["wait", "replace"])
def test_a_retry_waits_for_an_open_run_where_its_schedule_lets_it(office: Office, overlap: str) -> None:
    office.bench.join()
    key = office.run_that_ended(1, overlap=overlap)
    version = office.bench.store.versions([1])[0]
    now = office.pass_time(1)
    assert office.bench.store.claim(NODE, now, [opening(version, serial="1:0", overlap=overlap)]).count == 1
    office.desk.retry(key)
    row = office.desk.run(key)
    assert (row["status"], row["serial"], row["serial_held"]) == ("queued", "1:0", None)
    assert office.bench.store.pull_look(NODE, "default", 10) == []
    office.bench.store.finish(NODE, [ended(RunKey(now, 1))])
    assert [each.key for each in office.bench.store.pull_look(NODE, "default", 10)] == [key]


def test_a_retry_with_nothing_in_its_way_holds_its_serial_even_if_it_could_wait(office: Office) -> None:
    office.bench.join()
    key = office.run_that_ended(1, overlap="wait")
    office.desk.retry(key)
    assert office.desk.run(key)["serial_held"] == "1:0"


def broadcast(office: Office, **columns: object) -> RunKey:
    """A run of route all that failed on its node."""
    version = office.bench.schedule(1, route="all", overlap="skip", **columns)
    serial = f"1@name-{NODE}"
    row = opening(version, serial=serial, overlap="skip", pinned_node_id=NODE)
    assert office.bench.store.claim(NODE, START, [row]).count == 1
    key = RunKey(START, 1)
    office.bench.store.finish(NODE, [ended(key, status="failed")])
    return key


def test_a_retry_of_a_broadcast_stays_on_its_node(office: Office) -> None:
    office.bench.join()
    key = broadcast(office)
    office.desk.retry(key)
    row = office.desk.run(key)
    assert (row["pinned_node_id"], row["serial"]) == (NODE, f"1@name-{NODE}")


def test_a_broadcast_to_a_node_that_is_gone_is_not_retried(office: Office) -> None:
    office.bench.join()
    key = broadcast(office)
    office.bench.store.set_state(NODE, NodeState.LEFT)
    with pytest.raises(Refused, match="for one node alone, which is gone"):
        office.desk.retry(key)
    assert office.desk.run(key)["status"] == "failed"


def test_a_retry_is_in_the_lane_of_its_schedule_and_in_no_slot(office: Office) -> None:
    office.bench.join()
    key = office.run_that_ended(1, lane="l")
    office.desk.retry(key)
    row = office.desk.run(key)
    assert (row["lane"], row["lane_slot"], row["follow"]) == ("l", None, None)


def test_a_fire_that_was_never_divided_is_dressed_after_its_retry(office: Office) -> None:
    office.bench.join()
    version = office.bench.schedule(1, shards=3)
    assert office.bench.store.claim(NODE, START, [opening(version, run=False)]).count == 1
    office.pass_time(2 * HOUR / 1_000_000)
    assert office.bench.store.expire() == 1
    office.desk.retry(RunKey(START, 1))
    assert [row.key for row in office.bench.store.undressed()] == [RunKey(START, 1)]


def test_a_run_of_a_removed_schedule_is_not_retried(office: Office) -> None:
    office.bench.join()
    key = office.run_that_ended(1)
    office.desk.remove(["s1"])
    with pytest.raises(Refused, match="its schedule is gone"):
        office.desk.retry(key)


def test_a_run_that_was_never_dressed_is_dressed_after_its_retry(office: Office) -> None:
    version = office.bench.schedule(1)
    key = office.desk.run_now("s1")
    office.desk.kill(key)
    assert office.bench.store.close_killed() == 1
    office.desk.retry(key)
    assert [one.key for one in office.bench.store.undressed()] == [key]
    assert office.bench.store.dress([DressRow(key, version.id, "default", 0, "1:0")]) == 1


def test_what_an_attempt_printed_is_told_with_its_size(office: Office) -> None:
    office.bench.join()
    key = office.bench.running(1)
    said = b"\x00\xff the end"
    office.bench.store.finish(NODE, [ended(key, output=said, output_bytes=99)])
    assert office.desk.output(key, 1) == {"attempt": 1, "output": said, "output_bytes": 99}
    assert office.desk.output(key, 2) is None
