"""Followers: marks on what has ended, the list of who follows whom, rows opened, and last ends."""

from __future__ import annotations

from typing import Any

import pytest

from leasebeat.model.instant import from_seconds
from leasebeat.model.run import RunKey
from leasebeat.store.base import Candidate, Edge, FollowProblem, LastEnd, ReclaimRow, SettleRow, Store
from tests.contract.store_bench import HOUR, LEFT, NODE, OTHER, START, Bench, ended, opening, retried
from tests.contract.test_store_overlap import bench_term, open_row, row_of


@pytest.fixture(autouse=True)
def _node(bench: Bench) -> None:
    bench.join()


def follow(
    bench: Bench, *pairs: tuple[int, int], since: int = 0, problems: tuple[FollowProblem, ...] = ()
) -> bool:
    edges = [Edge(upstream, follower, since) for upstream, follower in pairs]
    return bench.store.link(NODE, bench_term(bench), edges, problems)


def marked(store: Store) -> list[RunKey]:
    keys = sorted(run.key for run in store.follow_look().ended)
    assert store.poll(NODE, ["default"]).follow == bool(keys)
    return keys


def test_an_end_is_marked_where_something_follows(bench: Bench, store: Store) -> None:
    assert follow(bench, (1, 9))
    watched, alone = bench.running(1), bench.running(2)
    store.finish(NODE, [ended(watched), ended(alone)])
    assert marked(store) == [watched]
    assert store.follow_look().digest == store.poll(NODE, []).digest
    store.followed(store.follow_look().ended)
    assert marked(store) == []


def test_going_back_to_the_queue_is_no_end(bench: Bench, store: Store) -> None:
    follow(bench, (1, 9))
    store.finish(NODE, [retried(bench.running(1))])
    assert marked(store) == []


def _settled(bench: Bench) -> RunKey:
    key = bench.queued(1)
    bench.store.settle([SettleRow(key, "skipped", "definition_changed", "why")])
    return key


def _killed(bench: Bench) -> RunKey:
    key = bench.queued(1)
    bench.change_run(key, kill_requested=1)
    bench.store.close_killed()
    return key


def _deleted(bench: Bench) -> RunKey:
    key = bench.queued(1)
    bench.delete_schedule(1)
    bench.store.close_deleted()
    return key


def _expired(bench: Bench) -> RunKey:
    key = bench.queued(1)
    bench.pass_time(HOUR / 1_000_000 + 1)
    bench.store.expire()
    return key


def _reclaimed(bench: Bench) -> RunKey:
    key = bench.running(1)
    bench.store.set_state(NODE, LEFT)
    bench.store.reclaim([ReclaimRow(key, 1, NODE, False, "node gone")])
    return key


def _pinned(bench: Bench) -> RunKey:
    version = bench.schedule(1, route="all")
    bench.store.claim(NODE, START, [opening(version, pinned_node_id=OTHER)])
    bench.store.close_pinned()
    return RunKey(START, 1)


def _skipped(bench: Bench) -> RunKey:
    bench.running(1, overlap="skip")
    now = bench.pass_time(1)
    bench.store.claim_rest(NODE, now, [opening(bench.schedule(1), serial="1:0", overlap="skip")])
    return RunKey(now, 1)


def _missed(bench: Bench) -> RunKey:
    row = open_row(bench, RunKey(START, 1), "allow", status="missed", reason_code="misfire", serial=None)
    bench.store.open_missing(NODE, bench_term(bench), [row], 0)
    return RunKey(START, 1)


@pytest.mark.parametrize(
    "end", [_settled, _killed, _deleted, _expired, _reclaimed, _pinned, _skipped, _missed]
)
def test_every_statement_that_ends_a_run_marks_it(bench: Bench, store: Store, end: Any) -> None:
    follow(bench, (1, 9))
    key = end(bench)
    assert [run.key for run in store.follow_look().ended] == [key]


# who follows whom


def test_what_ended_before_there_was_a_follower_is_marked_from_its_first_instant_on(
    bench: Bench, store: Store
) -> None:
    old, new = bench.running(1), RunKey(bench.pass_time(1), 1)
    store.claim(NODE, new.fire_at, [opening(bench.schedule(1))])
    store.finish(NODE, [ended(old), ended(new)])
    assert marked(store) == []
    assert follow(bench, (1, 9), since=old.fire_at)
    assert marked(store) == [new]
    store.followed([Candidate(new, 1)])
    assert follow(bench, (1, 9), since=0)
    assert marked(store) == []


def test_edges_that_are_gone_mark_no_more(bench: Bench, store: Store) -> None:
    follow(bench, (1, 9), (2, 9))
    follow(bench, (2, 9))
    one, two = bench.running(1), bench.running(2)
    store.finish(NODE, [ended(one), ended(two)])
    assert marked(store) == [two]


def test_a_term_that_is_over_links_nothing(bench: Bench, store: Store) -> None:
    term = bench_term(bench)
    assert not store.link(NODE, term + 1, [Edge(1, 9, 0)], [])
    assert not store.link(OTHER, term, [Edge(1, 9, 0)], [])
    store.finish(NODE, [ended(bench.running(1))])
    assert marked(store) == []


def test_what_cannot_follow_says_why_until_it_can(bench: Bench) -> None:
    version = bench.schedule(1)
    assert follow(bench, problems=(FollowProblem(1, version.id, "a cycle: a, b, a"),))
    assert bench.problem(1) == "a cycle: a, b, a"
    assert follow(bench, problems=(FollowProblem(1, version.id, "nobody is called b"),))
    assert bench.problem(1) == "nobody is called b"
    assert follow(bench)
    assert bench.problem(1) is None


def test_a_node_that_reports_the_version_later_leaves_it_that_it_cannot_follow(
    bench: Bench, store: Store
) -> None:
    version = bench.schedule(1)
    follow(bench, problems=(FollowProblem(1, version.id, "nobody is called b"),))
    store.report_problems([1])
    assert bench.problem(1) == "nobody is called b"
    bench.pass_time(1)
    bench.schedule(1)
    store.report_problems([1])
    assert bench.problem(1) is None


def test_the_problem_of_a_row_itself_stays(bench: Bench, store: Store) -> None:
    bench.put_schedule(1)
    version = bench.see(1, problem="unreadable")
    store.report_problems([1])
    follow(bench, problems=(FollowProblem(1, version.id, "a cycle"),))
    assert bench.problem(1) == "unreadable"
    follow(bench)
    assert bench.problem(1) == "unreadable"


# opening


def test_followers_are_opened_by_a_live_node_once(bench: Bench, store: Store) -> None:
    key = RunKey(START - 3 * HOUR, 9)
    row = open_row(bench, key, "allow", serial=None)
    assert store.open_followers("x" * 32, [row]) == 0
    assert store.open_followers(NODE, [row]) == 1
    assert store.open_followers(NODE, [row]) == 0
    assert row_of(bench, key, "status", "origin", "ready_at") == ("queued", "after", START)


def test_a_follower_that_was_edited_is_not_opened(bench: Bench, store: Store) -> None:
    row = open_row(bench, RunKey(START, 9), "allow", serial=None)
    bench.put_schedule(9, command="false")
    assert store.open_followers(NODE, [row]) == 0


def test_a_follower_obeys_its_overlap(bench: Bench, store: Store) -> None:
    bench.running(1, overlap="skip")
    key = RunKey(START - 1, 1)
    assert store.open_followers(NODE, [open_row(bench, key, "skip")]) == 1
    assert row_of(bench, key, "status", "reason_code") == ("skipped", "overlap")


def test_a_follower_that_was_skipped_for_its_upstream_comes_back_undressed(
    bench: Bench, store: Store
) -> None:
    skipped, other = RunKey(START, 8), RunKey(START, 9)
    rows = [
        open_row(bench, skipped, "allow", status="skipped", reason_code="upstream", reason="x", serial=None),
        open_row(bench, other, "allow", status="skipped", reason_code="misfire", reason="x", serial=None),
    ]
    assert store.open_followers(NODE, rows) == 2
    now = bench.pass_time(5)
    assert store.reopen_followers([skipped, other]) == 1
    assert [row.key for row in store.undressed()] == [skipped]
    back = row_of(bench, skipped, "status", "reason_code", "reason", "finished_at", "expires_at", "ready_at")
    assert back == ("queued", None, None, None, None, now)


def test_the_runs_of_fires_are_told(bench: Bench, store: Store) -> None:
    one, two = bench.running(1), bench.running(2)
    store.finish(NODE, [ended(two, status="failed", reason_code="exit_code")])
    found = store.fire_runs([(START, 1), (START, 2), (START, 3)])
    assert sorted((run.key, run.status, run.shards, run.reason_code) for run in found) == [
        (one, "running", 1, None),
        (two, "failed", 1, "exit_code"),
    ]


def test_a_follower_is_told_what_became_of_its_upstreams(bench: Bench, store: Store) -> None:
    follow(bench, (1, 9), (2, 9), (3, 8))
    one, two, three = (bench.running(number) for number in (1, 2, 3))
    ends = [ended(one, result='{"rows": 3}'), ended(two, status="failed", exit_code=4), ended(three)]
    store.finish(NODE, ends)
    bench.put_schedule(2, name="renamed")
    found = store.upstream_runs(RunKey(START, 9))
    assert [(run.key, run.schedule, run.status, run.exit_code) for run in found] == [
        (one, "s1", "succeeded", None),
        (two, "s2", "failed", 4),
    ]
    assert (found[0].result or "").replace(" ", "") == '{"rows":3}'


# @after_end


def test_the_last_end_is_that_of_the_run_that_ended_last(bench: Bench, store: Store) -> None:
    bench.schedule(2)
    first = bench.running(1)
    second = RunKey(bench.pass_time(1), 1)
    store.claim(NODE, second.fire_at, [opening(bench.schedule(1))])
    bench.pass_time(1)
    store.finish(NODE, [ended(second)])
    assert store.last_ends([1, 2]) == [LastEnd(1, True, bench.now), LastEnd(2, False, None)]
    now = bench.pass_time(1)
    store.finish(NODE, [ended(first)])
    assert store.last_ends([1]) == [LastEnd(1, False, now)]
    assert now == START + from_seconds(3)


def test_no_fire_of_its_own_ended_before_its_instant(bench: Bench, store: Store) -> None:
    """The clock was set back: the end alone would give an instant that has its row already, for ever."""
    key = bench.running(1)
    bench.change_run(key, origin="after")
    bench.pass_time(-2)
    store.finish(NODE, [ended(key)])
    assert store.last_ends([1]) == [LastEnd(1, False, key.fire_at)]


def test_a_queued_run_is_open_too(bench: Bench, store: Store) -> None:
    bench.queued(1)
    assert store.last_ends([1]) == [LastEnd(1, True, None)]


def test_queues_tell_how_long_their_oldest_ready_run_has_waited(bench: Bench, store: Store) -> None:
    bench.queued(1)
    bench.queued(2, queue="heavy", lane="db")
    bench.queued(3, queue="night")
    bench.pause_queue("night")
    bench.pass_time(60)
    waits = {wait.queue: (wait.runs, wait.oldest, wait.paused) for wait in store.queue_waits()}
    assert waits == {"default": (1, START, False), "night": (1, START, True)}


def test_a_poll_names_the_queues_that_are_paused(bench: Bench, store: Store) -> None:
    assert store.poll(NODE, ["default"]).paused == frozenset()
    bench.pause_queue("heavy")
    bench.pause_queue("night")
    assert store.poll(NODE, ["default"]).paused == {"heavy", "night"}


def test_what_ended_before_its_instant_is_followed_at_once(bench: Bench, store: Store) -> None:
    row = open_row(bench, RunKey(bench.now + HOUR, 9), "allow")
    assert store.open_followers(NODE, [row]) == 1
    assert bench.status(row.key) == "queued"


def test_a_mark_made_since_the_look_stays(bench: Bench, store: Store) -> None:
    follow(bench, (1, 9))
    key = bench.running(1)
    store.finish(NODE, [ended(key, status="failed")])
    before = store.follow_look().ended
    bench.change_run(key, status="running", attempt=2, follow=None)  # retried, and pulled
    store.finish(NODE, [ended(key, 2)])
    store.followed(before)
    assert marked(store) == [key]
