"""Which schedules are due: one entry for each instant, each given once."""

from __future__ import annotations

import pytest

from leasebeat.model.instant import DAY, SECOND, Instant
from leasebeat.triggers import Due, Trigger, TriggerGroups, parse

LONG_AGO = -DAY


class CountingTrigger(Trigger):
    """Every ten, and it counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def next(self, after: Instant) -> Instant:
        self.asked += 1
        return (after // 10 + 1) * 10


def put(groups: TriggerGroups, schedule_id: int, every: str, after: Instant = 0) -> None:
    groups.put(schedule_id, every, parse(f"@every {every}"), after)


def due(groups: TriggerGroups, now_s: float, limit: int = 100) -> list[tuple[float, tuple[int, ...]]]:
    return [(at / SECOND, ids) for at, ids in groups.due(round(now_s * SECOND), LONG_AGO, limit)]


@pytest.fixture
def groups() -> TriggerGroups:
    return TriggerGroups()


def test_nothing_is_due_among_nothing(groups: TriggerGroups):
    assert (groups.due(DAY, LONG_AGO, 10), groups.next_instant(), len(groups)) == ([], None, 0)


def test_an_instant_is_due_when_it_is_reached_and_not_before(groups: TriggerGroups):
    put(groups, 1, "10s")
    assert due(groups, 9.999999) == []
    assert due(groups, 10) == [(10, (1,))]


def test_an_instant_is_given_once(groups: TriggerGroups):
    put(groups, 1, "10s")
    due(groups, 10)
    assert due(groups, 19) == []


def test_the_next_instant_is_known(groups: TriggerGroups):
    put(groups, 1, "10s")
    put(groups, 2, "7s")
    assert groups.next_instant() == 7 * SECOND


def test_schedules_of_an_instant_come_together_in_order_whatever_their_trigger(groups: TriggerGroups):
    put(groups, 3, "10s")
    put(groups, 1, "10s")
    put(groups, 2, "5s")
    assert due(groups, 10) == [(5, (2,)), (10, (1, 2, 3))]


def test_a_backlog_comes_oldest_first_and_in_bounded_parts(groups: TriggerGroups):
    put(groups, 1, "1s")
    assert due(groups, 5, limit=2) == [(1, (1,)), (2, (1,))]
    assert due(groups, 5, limit=9) == [(3, (1,)), (4, (1,)), (5, (1,))]


def test_a_schedule_fires_strictly_after_the_instant_it_was_put_with(groups: TriggerGroups):
    put(groups, 1, "10s", after=10 * SECOND)
    assert due(groups, 20) == [(20, (1,))]


def test_a_member_that_starts_later_is_left_out_until_then(groups: TriggerGroups):
    put(groups, 1, "10s")
    put(groups, 2, "10s", after=15 * SECOND)
    assert due(groups, 20) == [(10, (1,)), (20, (1, 2))]


def test_a_late_member_gets_what_it_is_owed_and_the_others_nothing_twice(groups: TriggerGroups):
    put(groups, 1, "10s")
    due(groups, 30)
    put(groups, 2, "10s", after=15 * SECOND)
    put(groups, 3, "10s", after=25 * SECOND)
    assert due(groups, 40) == [(20, (2,)), (30, (2, 3)), (40, (1, 2, 3))]


def test_a_late_member_joins_one_that_is_still_catching_up(groups: TriggerGroups):
    put(groups, 1, "10s")
    due(groups, 40)
    put(groups, 2, "10s", after=5 * SECOND)
    due(groups, 20)
    put(groups, 3, "10s", after=5 * SECOND)
    assert due(groups, 50) == [(10, (3,)), (20, (3,)), (30, (2, 3)), (40, (2, 3)), (50, (1, 2, 3))]


def test_a_removed_schedule_is_not_due(groups: TriggerGroups):
    put(groups, 1, "10s")
    put(groups, 2, "10s")
    groups.remove(1)
    assert due(groups, 10) == [(10, (2,))]


def test_removing_the_last_of_a_group_leaves_nothing(groups: TriggerGroups):
    put(groups, 1, "10s")
    groups.remove(1)
    assert (due(groups, 100), groups.next_instant(), len(groups)) == ([], None, 0)


def test_removing_what_is_not_there_is_nothing(groups: TriggerGroups):
    groups.remove(7)
    assert len(groups) == 0


def test_putting_a_schedule_again_moves_it(groups: TriggerGroups):
    put(groups, 1, "10s")
    put(groups, 1, "7s")
    assert due(groups, 14) == [(7, (1,)), (14, (1,))]


def test_what_never_fires_is_held_and_never_due(groups: TriggerGroups):
    groups.put(1, "@manual", parse("@manual"), 0)
    assert (groups.next_instant(), len(groups)) == (None, 1)


def test_an_instant_that_comes_once_is_given_to_each_once(groups: TriggerGroups):
    trigger = parse("@at 1971-01-01T00:00:00Z")
    groups.put(1, "@at", trigger, 0)
    assert [each.schedule_ids for each in groups.due(400 * DAY, LONG_AGO, 9)] == [(1,)]
    groups.put(2, "@at", trigger, 0)
    assert [each.schedule_ids for each in groups.due(400 * DAY, LONG_AGO, 9)] == [(2,)]


def test_what_is_too_old_is_let_go_without_being_walked(groups: TriggerGroups):
    trigger = CountingTrigger()
    groups.put(1, "ten", trigger, 0)
    found = groups.due(now=1_000_000, not_before=999_985, limit=100)
    assert found == [Due(999_990, (1,)), Due(1_000_000, (1,))]
    assert trigger.asked == 4


def test_a_bound_that_is_due_itself_is_kept(groups: TriggerGroups):
    groups.put(1, "ten", CountingTrigger(), 0)
    assert groups.due(now=50, not_before=50, limit=100) == [Due(50, (1,))]


def test_ten_thousand_schedules_of_one_trigger_cost_one_evaluation(groups: TriggerGroups):
    trigger = CountingTrigger()
    for schedule_id in range(10_000):
        groups.put(schedule_id, "ten", trigger, 0)
    before = trigger.asked
    assert groups.due(10, 0, 1) == [Due(10, tuple(range(10_000)))]
    assert trigger.asked == before + 1


def test_edits_for_ever_do_not_fill_the_memory(groups: TriggerGroups):
    for _ in range(5_000):
        put(groups, 1, "10s")
    assert len(groups._heap) < 100
    assert due(groups, 10) == [(10, (1,))]
