"""The trust window, and the purge rule that must always come after it."""

import pytest

from leasebeat.coordination.store import StoreCoordinator
from leasebeat.model.node import Member, NodeState
from leasebeat.node.lease import Lease
from leasebeat.testing.manual import ManualRuntime


class Leash:
    def __init__(self) -> None:
        self.deadlines: list[float] = []

    def renew(self, deadline: float) -> None:
        self.deadlines.append(deadline)

    def alive(self) -> bool:
        return True

    def restore(self) -> None: ...

    def close(self) -> None: ...


def member(beat_seq: int = 1, stale: bool = True) -> Member:
    return Member("a" * 32, "web1", NodeState.LIVE, beat_seq, 0, 10.0, 20, {"default": None}, stale=stale)


def watch(coordinator: StoreCoordinator, start: float, seconds: int, **shown: object) -> None:
    for second in range(seconds + 1):
        coordinator.look([member(**shown)], start + second)  # type: ignore[arg-type]


def test_trust_ends_a_margin_before_three_beats_from_the_start_of_the_last_beat():
    runtime, leash = ManualRuntime(), Leash()
    lease = Lease(runtime, leash, beat_s=10)
    lease.begin(1000.0)
    assert leash.deadlines == [1028.5]
    runtime.now = 1028.4
    assert lease.holds()
    runtime.now = 1028.5
    assert not lease.holds()


def test_a_slow_beat_counts_from_its_start_not_from_its_answer():
    runtime, leash = ManualRuntime(), Leash()
    lease = Lease(runtime, leash, beat_s=10)
    lease.begin(1000.0)
    runtime.now = 1012.0
    assert lease.renew(1010.0)
    assert leash.deadlines[-1] == 1038.5


def test_a_beat_that_is_accepted_after_the_lapse_renews_nothing():
    runtime, leash = ManualRuntime(), Leash()
    lease = Lease(runtime, leash, beat_s=10)
    lease.begin(1000.0)
    runtime.now = 1029.0
    assert not lease.renew(1028.9)
    assert leash.deadlines == [1028.5]


def test_a_lapse_is_counted_once_until_the_lease_begins_again():
    runtime = ManualRuntime()
    lease = Lease(runtime, Leash(), beat_s=10)
    lease.begin(1000.0)
    runtime.now = 1030.0
    assert [lease.lapse(), lease.lapse(), lease.lapses] == [True, False, 1]
    lease.begin(1030.0)
    runtime.now = 1060.0
    assert [lease.lapse(), lease.lapses] == [True, 2]


def test_a_lapse_seen_just_before_the_lease_began_again_is_none():
    runtime = ManualRuntime()
    lease = Lease(runtime, Leash(), beat_s=10)
    lease.begin(1000.0)
    assert [lease.lapse(), lease.lapses] == [False, 0]


@pytest.mark.fault(64)
def test_a_purged_node_trusts_nothing_at_once():
    runtime = ManualRuntime()
    lease = Lease(runtime, Leash(), beat_s=10)
    lease.begin(1000.0)
    lease.end()
    assert not lease.holds()
    assert lease.lapses == 1


def test_a_node_is_dead_only_after_a_whole_lease_of_standing_still_was_watched():
    coordinator = StoreCoordinator()
    watch(coordinator, 100.0, 29)
    assert coordinator.dead(129.0) == []
    coordinator.look([member()], 130.0)
    assert [m.name for m in coordinator.dead(130.0)] == ["web1"]


def test_a_beat_starts_the_watch_again():
    coordinator = StoreCoordinator()
    watch(coordinator, 100.0, 20)
    watch(coordinator, 121.0, 20, beat_seq=2)
    assert coordinator.dead(141.0) == []


def test_a_failed_look_starts_the_watch_again():
    coordinator = StoreCoordinator()
    watch(coordinator, 100.0, 20)
    coordinator.missed_look()
    watch(coordinator, 121.0, 20)
    assert coordinator.dead(141.0) == []


def test_a_purger_that_was_paused_has_not_watched():
    coordinator = StoreCoordinator()
    watch(coordinator, 100.0, 5)
    watch(coordinator, 121.0, 20)  # 16 s between two looks: more than 1.5 beats
    assert coordinator.dead(141.0) == []


def test_a_stores_clock_that_jumped_convicts_nobody_by_itself():
    coordinator = StoreCoordinator()
    coordinator.look([member(stale=True)], 100.0)
    assert coordinator.dead(100.0) == []


def test_a_node_that_the_stores_clock_calls_fresh_is_not_dead():
    coordinator = StoreCoordinator()
    watch(coordinator, 100.0, 40, stale=False)
    assert coordinator.dead(140.0) == []


def test_an_old_look_convicts_nobody():
    coordinator = StoreCoordinator()
    watch(coordinator, 100.0, 30)
    assert coordinator.dead(131.5) == []


def test_the_purge_comes_later_than_the_end_of_trust_by_the_margin():
    """Section 3.4 of the review, as arithmetic: the purger's wait begins after the beat was committed."""
    runtime, coordinator = ManualRuntime(), StoreCoordinator()
    lease = Lease(runtime, Leash(), beat_s=10)
    lease.begin(100.0)
    watch(coordinator, 100.0, 30)
    assert coordinator.dead(130.0)
    runtime.now = 128.5
    assert not lease.holds()


def held(runtime: ManualRuntime, leash: Leash) -> Lease:
    """A lease that ZooKeeper vouches for until 1004, a beat until 1028.5."""
    lease = Lease(runtime, leash, beat_s=10)
    lease.vouch(1004.0)
    lease.begin(1000.0)
    return lease


def test_a_lease_ends_with_the_trust_of_the_coordinator_though_beats_are_accepted():
    runtime, leash = ManualRuntime(), Leash()
    lease = held(runtime, leash)
    assert leash.deadlines[-1] == 1004.0
    runtime.now = 1003.9
    assert lease.holds()
    runtime.now = 1004.0
    assert not lease.holds()


def test_trust_that_comes_back_too_late_renews_nothing_before_a_new_beginning():
    runtime, leash = ManualRuntime(), Leash()
    lease = held(runtime, leash)
    told: list[int] = []
    lease.changed = lambda: told.append(1)
    runtime.now = 1004.1
    lease.vouch(1008.0)
    assert not lease.holds()
    assert (leash.deadlines[-1], told) == (1004.0, [1])
    assert [lease.lapse(), lease.renew(1004.1)] == [True, False]
    lease.begin(1004.1)
    assert lease.holds()
    assert leash.deadlines[-1] == 1008.0


def test_while_the_coordinator_is_not_heard_what_runs_goes_on_and_nothing_starts():
    lease = held(ManualRuntime(), Leash())
    lease.suspend()
    assert [lease.holds(), lease.firm()] == [True, False]
    lease.vouch(1005.0)
    assert lease.firm()


def test_what_the_coordinator_takes_back_is_void_at_once_for_the_guardian_too():
    runtime, leash = ManualRuntime(), Leash()
    lease = held(runtime, leash)
    runtime.now = 1001.0
    lease.revoke()
    assert not lease.holds()
    assert leash.deadlines[-1] == 1001.0
    assert lease.lapse()
