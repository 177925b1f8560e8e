"""Claims: what may be opened, by whom, once."""

from __future__ import annotations

import pytest

from leasebeat.model.instant import from_seconds
from leasebeat.model.run import RunKey
from leasebeat.store.base import BATCH, CLAIM_REACH, Store
from tests.contract.store_bench import CORDONED, DRAINING, HOUR, LEFT, NODE, OTHER, START, Bench, opening


@pytest.fixture(autouse=True)
def _nodes(bench: Bench) -> None:
    bench.join(NODE)
    bench.join(OTHER)


def answers(store: Store, node: str, fire_at: int, *rows: object) -> list[str]:
    return [answer.answer for answer in store.claim_answer(node, fire_at, rows)]  # pyright: ignore[reportArgumentType]


def test_a_claim_is_a_running_row_of_the_node(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    claimed = store.claim(NODE, START, [opening(version, queue="heavy", priority=3, grace=50)])
    assert (claimed.count, claimed.claimed_at) == (1, START)
    row = bench.run(RunKey(START, 1))
    assert row is not None
    assert (row["status"], row["node_id"], row["attempt"], row["version"]) == ("running", NODE, 1, version.id)
    assert (row["queue"], row["priority"], row["origin"]) == ("heavy", 3, "trigger")
    assert (row["ready_at"], row["expires_at"], row["claimed_at"]) == (START, START + 50, START)
    assert (row["started_at"], row["finished_at"]) == (None, None)


def test_without_a_slot_a_row_is_born_queued_and_has_no_fence(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    claimed = store.claim(NODE, START, [opening(version, run=False, delay=7, grace=50)])
    assert (claimed.count, claimed.claimed_at) == (1, 0)
    row = bench.run(RunKey(START, 1))
    assert row is not None
    assert (row["status"], row["node_id"], row["attempt"]) == ("queued", None, 0)
    assert (row["ready_at"], row["expires_at"]) == (START + 7, START + 57)


def test_the_second_claim_of_a_fire_inserts_nothing(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    assert store.claim(NODE, START, [opening(version)]).count == 1
    assert store.claim(OTHER, START, [opening(version)]).count == 0
    assert answers(store, OTHER, START, opening(version)) == ["other"]
    assert answers(store, NODE, START, opening(version)) == ["mine"]


def test_an_answer_tells_attempt_and_fence_of_what_is_mine_only(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    store.claim(NODE, START, [opening(version)])
    (mine,) = store.claim_answer(NODE, START, [opening(version)])
    (other,) = store.claim_answer(OTHER, START, [opening(version)])
    assert (mine.attempt, mine.claimed_at) == (1, START)
    assert (other.attempt, other.claimed_at) == (0, 0)


def test_an_answer_tells_the_version_that_the_row_has_and_not_the_one_that_was_sent(
    bench: Bench, store: Store
) -> None:
    first = bench.schedule(1)
    store.claim(NODE, START, [opening(first)])
    bench.put_schedule(1, command="false")
    second = bench.see(1)
    (mine,) = store.claim_answer(NODE, START, [opening(second)])
    assert (mine.answer, mine.version) == ("mine", first.id)


def test_of_a_mixed_claim_the_open_rows_are_inserted_and_the_fence_is_not_told(
    bench: Bench, store: Store
) -> None:
    first, second = bench.schedule(1), bench.schedule(2)
    store.claim(OTHER, START, [opening(first)])
    claimed = store.claim(NODE, START, [opening(first), opening(second)])
    assert (claimed.count, claimed.claimed_at) == (1, 0)
    assert answers(store, NODE, START, opening(first), opening(second)) == ["other", "mine"]


@pytest.mark.fault(54)
def test_an_instant_of_the_future_is_early_and_told_how_long(bench: Bench, store: Store) -> None:
    row = opening(bench.schedule(1))
    assert store.claim(NODE, START + 1500, [row]).count == 0
    (answer,) = store.claim_answer(NODE, START + 1500, [row])
    assert (answer.answer, answer.wait) == ("early", 1500)
    bench.pass_time(0.0015)
    assert store.claim(NODE, START + 1500, [row]).count == 1


def test_an_instant_beyond_the_reach_is_late(bench: Bench, store: Store) -> None:
    row = opening(bench.schedule(1))
    assert store.claim(NODE, START - CLAIM_REACH, [row]).count == 0
    assert answers(store, NODE, START - CLAIM_REACH, row) == ["late"]
    assert store.claim(NODE, START - CLAIM_REACH + 1, [row]).count == 1


def test_a_paused_schedule_is_not_opened(bench: Bench, store: Store) -> None:
    row = opening(bench.schedule(1))
    bench.put_schedule(1, enabled=0)
    assert store.claim(NODE, START, [row]).count == 0
    assert answers(store, NODE, START, row) == ["paused"]


def test_a_deleted_schedule_is_not_opened(bench: Bench, store: Store) -> None:
    row = opening(bench.schedule(1))
    bench.delete_schedule(1)
    assert store.claim(NODE, START, [row]).count == 0
    assert answers(store, NODE, START, row) == ["deleted"]


@pytest.mark.parametrize("updated_at", [START - HOUR, START])
def test_a_claim_from_an_older_version_is_refused(bench: Bench, store: Store, updated_at: int) -> None:
    row = opening(bench.schedule(1))
    bench.put_schedule(1, updated_at=updated_at, command="false")  # with and without a new updated_at
    assert store.claim(NODE, START, [row]).count == 0
    assert answers(store, NODE, START, row) == ["stale"]


def test_an_edit_there_and_back_is_told_by_its_time(bench: Bench, store: Store) -> None:
    row = opening(bench.schedule(1, command="a"))
    bench.put_schedule(1, updated_at=START - 5, command="b")
    bench.put_schedule(1, updated_at=START - 4, command="a")
    assert store.claim(NODE, START, [row]).count == 0


def test_an_instant_before_its_version_was_valid_is_not_due(bench: Bench, store: Store) -> None:
    bench.put_schedule(1, updated_at=START)
    version = bench.see(1)
    bench.pass_time(1)
    assert store.claim(NODE, START, [opening(version)]).count == 0
    assert store.claim(NODE, START + 1, [opening(version)]).count == 1


def test_the_version_in_force_decides_what_was_due_and_the_present_one_runs(
    bench: Bench, store: Store
) -> None:
    due = bench.schedule(1, command="old")
    bench.put_schedule(1, updated_at=START + 10, command="new")
    bench.pass_time(1)
    present = bench.see(1)
    assert store.claim(NODE, START, [opening(present)]).count == 0  # it is younger than the instant
    assert store.claim(NODE, START, [opening(present, due=due.id)]).count == 1
    row = bench.run(RunKey(START, 1))
    assert row is not None
    assert row["version"] == present.id


def test_nothing_was_due_of_a_version_that_was_paused(bench: Bench, store: Store) -> None:
    paused = bench.schedule(1, enabled=0)
    bench.put_schedule(1, updated_at=START + 10, enabled=1)
    bench.pass_time(1)
    present = bench.see(1)
    assert store.claim(NODE, START, [opening(present, due=paused.id)]).count == 0


@pytest.mark.fault(78)
def test_while_the_row_is_broken_its_last_good_version_runs(bench: Bench, store: Store) -> None:
    good = bench.schedule(1)
    bench.put_schedule(1, updated_at=START - 10, cron="broken")
    broken = bench.see(1, problem="no")
    assert store.claim(NODE, START, [opening(good)]).count == 0  # it is not the row
    assert store.claim(NODE, START, [opening(broken)]).count == 1
    row = bench.run(RunKey(START, 1))
    assert row is not None
    assert row["version"] == good.id


def test_a_row_that_never_was_good_is_never_opened(bench: Bench, store: Store) -> None:
    bench.put_schedule(1, updated_at=START - HOUR)
    broken = bench.see(1, problem="no")
    assert store.claim(NODE, START, [opening(broken)]).count == 0
    assert answers(store, NODE, START, opening(broken)) == ["stale"]


def test_a_version_of_another_schedule_opens_nothing(bench: Bench, store: Store) -> None:
    first, second = bench.schedule(1), bench.schedule(2)
    assert store.claim(NODE, START, [opening(first, version=second.id)]).count == 0
    assert store.claim(NODE, START, [opening(first, due=second.id)]).count == 0


@pytest.mark.parametrize("state", [CORDONED, DRAINING, LEFT])
def test_a_node_that_is_not_live_claims_nothing(bench: Bench, store: Store, state: str) -> None:
    row = opening(bench.schedule(1))
    assert store.set_state(NODE, state)  # pyright: ignore[reportArgumentType]
    assert store.claim(NODE, START, [row]).count == 0
    assert answers(store, NODE, START, row) == ["node"]


def test_a_node_whose_beat_is_older_than_its_lease_claims_nothing(bench: Bench, store: Store) -> None:
    row = opening(bench.schedule(1))
    now = bench.pass_time(30)
    assert store.claim(NODE, now, [row]).count == 1
    bench.pass_time(0.000001)
    assert store.claim(NODE, now + 1, [row]).count == 0
    assert answers(store, NODE, now + 1, row) == ["node"]


def test_a_node_without_a_row_claims_nothing(bench: Bench, store: Store) -> None:
    row = opening(bench.schedule(1))
    assert store.claim("x" * 32, START, [row]).count == 0
    assert answers(store, "x" * 32, START, row) == ["node"]


def test_a_serial_that_an_open_run_wants_is_not_claimed_but_skipped(bench: Bench, store: Store) -> None:
    row = opening(bench.schedule(1), serial="1:0", overlap="skip")
    assert store.claim(NODE, START, [row]).count == 1
    now = bench.pass_time(1)
    assert store.claim(NODE, now, [row]).count == 0
    assert answers(store, NODE, now, row) == ["again"]
    assert store.claim_rest(NODE, now, [row]) == 1
    skipped = bench.run(RunKey(now, 1))
    assert skipped is not None
    assert (skipped["status"], skipped["reason_code"], skipped["attempt"]) == ("skipped", "overlap", 0)
    assert (skipped["serial"], skipped["serial_held"], skipped["finished_at"]) == (None, None, now)
    assert store.claim_rest(NODE, now, [row]) == 0


def test_a_serial_is_wanted_while_its_run_is_queued_too(bench: Bench, store: Store) -> None:
    row = opening(bench.schedule(1), serial="1:0", overlap="skip")
    assert store.claim(NODE, START, [opening(bench.schedule(1), serial="1:0", run=False)]).count == 1
    now = bench.pass_time(1)
    assert store.claim(NODE, now, [row]).count == 0


def test_what_nothing_is_in_the_way_of_is_not_skipped(bench: Bench, store: Store) -> None:
    store.claim(NODE, START, [opening(bench.schedule(1), serial="1:0")])
    now = bench.pass_time(1)
    assert store.claim_rest(NODE, now, [opening(bench.schedule(2), serial="2:0", overlap="skip")]) == 1
    assert bench.status(RunKey(now, 2)) == "running"


def test_a_skip_obeys_the_guards_of_a_claim(bench: Bench, store: Store) -> None:
    row = opening(bench.schedule(1), serial="1:0", overlap="skip")
    store.claim(NODE, START, [row])
    bench.put_schedule(1, command="false")
    now = bench.pass_time(1)
    assert store.claim_rest(NODE, now, [row]) == 0
    assert bench.run(RunKey(now, 1)) is None


def test_of_a_batch_each_row_is_judged_alone(bench: Bench, store: Store) -> None:
    good, paused, taken = (bench.schedule(each) for each in (1, 2, 3))
    bench.put_schedule(2, enabled=0)
    store.claim(OTHER, START, [opening(taken)])
    rows = [opening(good), opening(paused), opening(taken)]
    assert store.claim(NODE, START, rows).count == 1
    assert answers(store, NODE, START, *rows) == ["mine", "paused", "other"]


def test_shards_of_a_fire_are_rows_of_their_own(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    rows = [opening(version, shard=shard, serial=f"1:{shard}") for shard in range(3)]
    assert store.claim(NODE, START, rows).count == 3
    assert [run.key.shard for run in bench.own()] == [0, 1, 2]


def test_all_rows_of_a_full_batch_carry_one_fence(bench: Bench, store: Store) -> None:
    version = bench.schedule(1)
    claimed = store.claim(NODE, START, [opening(version, shard=shard) for shard in range(BATCH)])
    assert (claimed.count, claimed.claimed_at) == (BATCH, START)
    assert {run.claimed_at for run in bench.own()} == {START}


def test_own_rows_say_when_they_are_settled(bench: Bench, store: Store) -> None:
    bench.running(1)
    assert [run.settled for run in store.mine(NODE, from_seconds(5))] == [False]
    bench.pass_time(5.000001)
    assert [run.settled for run in store.mine(NODE, from_seconds(5))] == [True]
    assert store.mine(OTHER, 0) == []
