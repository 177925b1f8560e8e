"""Nodes: joining, beating, being declared dead, and what they left."""

from __future__ import annotations

import pytest

from leasebeat.errors import Duplicate
from leasebeat.model.instant import from_seconds
from leasebeat.model.node import NodeState, Vitals
from leasebeat.store.base import ReclaimRow, Store
from tests.contract.store_bench import CORDONED, DRAINING, LEFT, LIVE, NODE, OTHER, START, Bench, ended, taken


def members(store: Store, node: str = NODE) -> dict[str, tuple[str, int, bool]]:
    return {m.id: (str(m.state), m.beat_seq, m.stale) for m in store.poll(node, ["default"]).members}


def test_the_store_tells_its_installation(bench: Bench, store: Store) -> None:
    assert store.installation() == store.installation()
    assert store.installation()


def test_a_node_is_seen_with_what_it_said(bench: Bench, store: Store) -> None:
    facts = bench.join(name="alpha", beat_s=2.5)
    (member,) = store.poll(NODE, ["default"]).members
    assert (member.id, member.name, member.state, member.stale) == (NODE, "alpha", LIVE, False)
    assert (member.beat_at, member.beat_s, member.slots) == (START, 2.5, 8)
    assert (member.queues, member.roles) == (
        {"default": None, "heavy": 2},
        frozenset({"dispatch", "execute"}),
    )
    assert store.node_named("alpha") == (member, facts)
    assert store.node_named("beta") is None


@pytest.mark.fault(60)
def test_two_present_nodes_never_share_a_name(bench: Bench, store: Store) -> None:
    bench.join(NODE, name="alpha")
    with pytest.raises(Duplicate):
        bench.join(OTHER, name="alpha")
    store.set_state(NODE, LEFT)
    bench.join(OTHER, name="alpha")
    assert members(store).keys() == {OTHER}


def test_a_node_may_join_cordoned(bench: Bench, store: Store) -> None:
    bench.join(state=CORDONED)
    assert members(store)[NODE][0] == "cordoned"
    assert store.beat(NODE, Vitals())


def test_a_beat_is_counted_and_dated(bench: Bench, store: Store) -> None:
    bench.join()
    (first,) = store.poll(NODE, []).members
    now = bench.pass_time(10)
    assert store.beat(
        NODE, Vitals(running=3, cpu_pct=12.5, memory_bytes=2**33, clock_offset_ms=-1.5, digest="d")
    )
    (member,) = store.poll(NODE, []).members
    assert (member.beat_at, member.beat_seq) == (now, first.beat_seq + 1)


@pytest.mark.parametrize("state", [LIVE, CORDONED, DRAINING])
def test_a_present_node_beats_in_every_state(bench: Bench, store: Store, state: NodeState) -> None:
    bench.join()
    assert store.set_state(NODE, state)
    assert store.set_state(NODE, state)  # asked again
    assert store.beat(NODE, Vitals())
    assert members(store)[NODE][0] == state


def test_a_node_that_left_is_gone_for_good(bench: Bench, store: Store) -> None:
    bench.join()
    assert store.set_state(NODE, LEFT)
    assert not store.beat(NODE, Vitals())
    assert not store.set_state(NODE, LIVE)
    assert members(store) == {}


def test_a_node_is_stale_when_its_beat_is_older_than_its_lease(bench: Bench, store: Store) -> None:
    bench.join()
    bench.pass_time(30)
    assert members(store)[NODE][2] is False
    bench.pass_time(0.000001)
    assert members(store)[NODE][2] is True


# --- purge --------------------------------------------------------------------------------------


@pytest.mark.fault(63)
def test_a_stale_node_is_purged_once(bench: Bench, store: Store) -> None:
    bench.join()
    seq = members(store)[NODE][1]
    bench.pass_time(31)
    assert store.purge(NODE, seq)
    assert not store.purge(NODE, seq)
    assert not store.beat(NODE, Vitals())
    assert members(store) == {}


@pytest.mark.fault(17)
def test_joining_counts_as_the_first_beat(bench: Bench, store: Store) -> None:
    """Who dies before it has beaten has no beat that nobody could compare."""
    bench.join()
    assert members(store)[NODE][1:] == (1, False)
    bench.pass_time(31)
    assert members(store)[NODE][1:] == (1, True)
    assert store.purge(NODE, 1)


def test_a_node_that_has_beaten_since_is_not_purged(bench: Bench, store: Store) -> None:
    bench.join()
    seq = members(store)[NODE][1]
    bench.pass_time(31)
    store.beat(NODE, Vitals())
    bench.pass_time(31)
    assert not store.purge(NODE, seq)
    assert store.purge(NODE, seq + 1)


def test_a_node_within_its_lease_is_purged_only_when_known_to_be_dead(bench: Bench, store: Store) -> None:
    bench.join()
    seq = members(store)[NODE][1]
    assert not store.purge(NODE, seq)
    assert not store.purge(NODE, seq + 1, watched=False)
    assert store.purge(NODE, seq, watched=False)


def test_a_purged_nodes_name_is_free(bench: Bench, store: Store) -> None:
    bench.join(NODE, name="alpha")
    store.purge(NODE, members(store)[NODE][1], watched=False)
    bench.join(OTHER, name="alpha")
    assert store.node_named("alpha") is not None


# --- orphans ------------------------------------------------------------------------------------


def gone(bench: Bench, node: str = NODE) -> None:
    assert bench.store.purge(node, members(bench.store)[node][1], watched=False)


def test_runs_of_the_living_are_no_orphans(bench: Bench, store: Store) -> None:
    bench.join()
    bench.running(1)
    poll = store.poll(NODE, ["default"])
    assert (poll.running, poll.orphans) == (1, False)
    assert (store.orphans(False), store.orphans(True)) == ([], [])


@pytest.mark.parametrize("how", ["purged", "left"])
def test_runs_of_a_node_that_is_gone_are_found(bench: Bench, store: Store, how: str) -> None:
    bench.join()
    key = bench.running(1, on_node_loss="fail")
    store.start(NODE, [taken(key)])
    if how == "left":
        store.set_state(NODE, LEFT)
    else:
        gone(bench)
    assert store.poll(OTHER, ["default"]).orphans
    (orphan,) = store.orphans(False)
    assert (orphan.key, orphan.attempt, orphan.node_id, orphan.take_overs) == (key, 1, NODE, 0)
    assert (orphan.started, orphan.on_node_loss) == (True, "fail")
    assert store.orphans(True) == [orphan]


def test_runs_of_a_node_without_a_row_are_found_by_the_thorough_look(bench: Bench, store: Store) -> None:
    bench.join()
    key = bench.running(1)
    bench.delete_node(NODE)
    assert store.orphans(False) == []
    (orphan,) = store.orphans(True)
    assert (orphan.key, orphan.started, orphan.on_node_loss) == (key, False, "rerun")
    assert store.reclaim([ReclaimRow(key, 1, NODE, True, "no row")]) == 1


@pytest.mark.fault(63)
def test_an_orphan_goes_back_to_the_queue_once(bench: Bench, store: Store) -> None:
    bench.join()
    key = bench.running(1, overlap="skip")
    gone(bench)
    now = bench.pass_time(1)
    assert store.reclaim([ReclaimRow(key, 1, NODE, True, "node gone: alpha")]) == 1
    assert store.reclaim([ReclaimRow(key, 1, NODE, True, "node gone: alpha")]) == 0
    row, attempt = bench.run(key), bench.attempt(key, 1)
    assert row is not None
    assert attempt is not None
    assert (row["status"], row["attempt"], row["take_overs"]) == ("queued", 1, 1)
    assert (row["ready_at"], row["finished_at"], row["serial_held"]) == (now, None, "1:0")
    assert (row["reason_code"], row["reason"]) == ("node_lost", "node gone: alpha")
    assert (attempt["outcome"], attempt["node_id"], attempt["reason_code"]) == ("lost", NODE, "node_lost")
    assert not store.poll(OTHER, ["default"]).orphans


def test_an_orphan_that_may_not_run_again_is_closed_as_lost(bench: Bench, store: Store) -> None:
    bench.join()
    key = bench.running(1, overlap="skip")
    gone(bench)
    assert store.reclaim([ReclaimRow(key, 1, NODE, False, "node gone")]) == 1
    row = bench.run(key)
    assert row is not None
    assert (row["status"], row["finished_at"], row["serial"], row["serial_held"]) == (
        "lost",
        START,
        None,
        None,
    )


@pytest.mark.parametrize("again", [True, False])
def test_an_orphan_that_was_to_be_killed_is_killed(bench: Bench, store: Store, again: bool) -> None:
    bench.join()
    key = bench.running(1)
    bench.change_run(key, kill_requested=1)
    gone(bench)
    store.reclaim([ReclaimRow(key, 1, NODE, again, "node gone")])
    assert bench.status(key) == "killed"


def test_an_orphan_that_has_ended_meanwhile_is_left_alone(bench: Bench, store: Store) -> None:
    bench.join()
    key, late = bench.running(1), bench.running(2)
    gone(bench)
    store.finish(NODE, [ended(key)])  # it had still been on its way
    rows = [ReclaimRow(key, 1, NODE, True, "x"), ReclaimRow(late, 2, NODE, True, "x")]
    assert store.reclaim(rows) == 0
    assert (bench.status(key), bench.status(late)) == ("succeeded", "running")


def test_a_run_taken_over_twice_tells_so(bench: Bench, store: Store) -> None:
    bench.join()
    key = bench.running(1)
    for attempt, node in enumerate((NODE, OTHER), start=1):
        gone(bench, node)
        store.reclaim([ReclaimRow(key, attempt, node, True, "x")])
        follower = "abc"[attempt] * 32 if attempt == 2 else OTHER
        bench.join(follower)
        store.pull(follower, [taken(key, attempt)], 1)
    (run,) = bench.own("c" * 32)
    assert (run.attempt, run.take_overs, run.claimed_at > START) == (3, 2, True)


# --- the poll as a whole ------------------------------------------------------------------------


def test_a_poll_of_an_idle_store_wants_nothing(bench: Bench, store: Store) -> None:
    poll = store.poll(NODE, ["default"])
    assert (poll.now, poll.members, poll.running) == (START, (), 0)
    assert (poll.kills, poll.ready, poll.orphans, poll.sweep) == (False, False, False, False)


def test_a_poll_tells_who_is_the_auditor(bench: Bench, store: Store) -> None:
    bench.join()
    before = store.poll(NODE, []).auditor
    assert before is not None
    assert (before.holder, before.term, before.expired, before.watermark) == (None, 0, True, None)
    store.lead(NODE, from_seconds(4))
    after = store.poll(NODE, []).auditor
    assert after is not None
    assert (after.holder, after.term, after.expired) == (NODE, 1, False)
    bench.pass_time(4.000001)
    expired = store.poll(NODE, []).auditor
    assert expired is not None
    assert expired.expired
