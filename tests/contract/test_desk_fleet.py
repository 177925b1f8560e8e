"""People's commands on nodes, and what `doctor` looks at, on both dialects."""

from __future__ import annotations

import pytest

from leasebeat.errors import NotFound, Refused
from leasebeat.model.node import NodeState
from leasebeat.store.desk_tables import CalendarDay
from leasebeat.testing.trials.cases import proves
from tests.contract.desk_bench import Office
from tests.contract.store_bench import CORDONED, DRAINING, HOUR, LEFT, LIVE, NODE, OTHER


def test_nodes_that_are_gone_are_listed_only_with_all(office: Office) -> None:
    office.bench.join(name="beta")
    office.bench.join(OTHER, name="alpha")
    assert office.bench.store.set_state(OTHER, LEFT)
    assert [row["name"] for row in office.desk.nodes()] == ["beta"]
    assert [(row["name"], row["state"]) for row in office.desk.nodes(every=True)] == [
        ("alpha", "left"),
        ("beta", "live"),
    ]
    assert office.desk.nodes()[0]["beat_at"] == office.bench.now


@pytest.mark.parametrize("state", [CORDONED, DRAINING, LIVE])
def test_a_node_is_cordoned_drained_and_resumed_by_name(office: Office, state: NodeState) -> None:
    office.bench.join(name="beta")
    office.desk.set_node_state("beta", state)
    assert [member.state for member in office.bench.store.poll(NODE, ["default"]).members] == [state]


def test_a_node_that_left_cannot_be_resumed(office: Office) -> None:
    office.bench.join(name="beta")
    office.bench.store.set_state(NODE, LEFT)
    with pytest.raises(NotFound, match="no node 'beta' is there"):
        office.desk.set_node_state("beta", LIVE)


def test_the_auditor_is_told_with_its_name(office: Office) -> None:
    office.bench.join(name="beta")
    role = office.desk.role()
    assert role is not None
    assert (role["holder"], role["term"], role["watermark"]) == (None, 0, None)
    assert office.bench.store.lead(NODE, HOUR)
    role = office.desk.role()
    assert role is not None
    assert (role["node"], role["term"], role["expires_at"]) == ("beta", 1, office.bench.now + HOUR)
    assert office.desk.role("nobody") is None


def test_runs_that_wait_too_long_are_told_oldest_first(office: Office) -> None:
    office.bench.join()
    keys = [
        office.bench.queued(1, delay=5_000_000),
        office.bench.queued(2),
        office.bench.queued(3, delay=HOUR),
    ]
    office.bench.running(4)
    late = office.desk.late(office.bench.now + 10_000_000)
    assert [row["schedule_id"] for row in late] == [keys[1].schedule_id, keys[0].schedule_id]
    assert len(office.desk.late(office.bench.now + 10_000_000, limit=1)) == 1


@proves("id", "number")
def test_an_id_that_was_given_out_does_not_return(office: Office) -> None:
    office.bench.schedule(7)
    assert not office.desk.ids_may_return()
    office.bench.delete_schedule(7)
    assert not office.desk.ids_may_return()


def test_a_counter_set_back_under_recorded_ids_is_noticed(office: Office) -> None:
    office.bench.schedule(70_000)
    office.set_counter_back()
    assert office.desk.ids_may_return()


def test_a_run_put_in_by_hand_for_a_schedule_that_never_was_is_no_record_of_an_id(office: Office) -> None:
    office.bench.schedule(7)
    office.bench.insert_run(999, office.bench.now)
    assert not office.desk.ids_may_return()


def test_a_queue_tells_what_waits_in_it_and_who_serves_it(office: Office) -> None:
    office.bench.join(queues={"default": None, "heavy": 2}, slots=20)
    office.bench.queued(1, delay=HOUR)
    office.bench.queued(2)
    office.bench.running(3)
    office.desk.add({"name": "job", "cron": "@manual", "command": "true", "queue": "unserved"})
    office.pass_time(5)
    default, heavy, unserved = office.desk.queues()
    assert default == {
        "queue": "default",
        "paused": False,
        "queued": 2,
        "ready": 1,
        "oldest_wait_s": 5,
        "running": 1,
        "nodes": 1,
        "slots": 20,
    }
    assert (heavy["queue"], heavy["slots"], heavy["queued"]) == ("heavy", 2, 0)
    assert (unserved["queue"], unserved["nodes"], unserved["oldest_wait_s"]) == ("unserved", 0, None)


def test_a_queue_is_paused_and_resumed_once(office: Office) -> None:
    office.bench.join()
    counts = [office.desk.pause_queues(["default"], paused) for paused in (True, True, False, False)]
    assert counts == [1, 0, 1, 0]
    office.desk.pause_queues(["default"], True)
    with pytest.raises(NotFound, match="no queue is called 'defualt'"):
        office.desk.pause_queues(["default", "defualt"], False)
    assert office.desk.paused_queues() == {"default": True}


def test_a_lane_that_nobody_listed_has_the_size_one(office: Office) -> None:
    office.desk.add({"name": "job", "cron": "@manual", "command": "true", "lane": "api"})
    wanted = {"name": "api", "size": 1, "listed": False, "running": 0, "waiting": 0}
    assert office.desk.lanes() == [wanted]
    assert [office.desk.set_lane("api", 4), office.desk.set_lane("api", 4)] == [True, False]
    assert office.desk.lanes() == [{**wanted, "size": 4, "listed": True}]
    office.desk.forget_lane("api")
    assert office.desk.lanes() == [wanted]


def test_a_calendar_is_changed_day_by_day(office: Office) -> None:
    christmas, work = CalendarDay("2026-12-25", "exclude", "Christmas"), CalendarDay("2026-12-27", "add")
    office.desk.change_calendar("berlin", [christmas, CalendarDay("2026-12-26")])
    office.desk.change_calendar("berlin", [work, christmas._replace(note="Xmas")], removed=["2026-12-26"])
    assert office.desk.calendars() == {"berlin": [christmas._replace(note="Xmas"), work]}


def test_a_day_that_is_none_is_refused(office: Office) -> None:
    with pytest.raises(Refused):
        office.desk.change_calendar("berlin", [CalendarDay("2026-12-25"), CalendarDay("2026-02-30")])
    assert office.desk.calendars() == {}


def test_the_watermark_moves_only_from_where_it_was_seen(office: Office) -> None:
    now = office.bench.now
    office.desk.move_watermark(None, now - HOUR, "")
    office.desk.move_watermark(now - HOUR, now, "restored")
    with pytest.raises(Refused, match="by somebody else"):
        office.desk.move_watermark(now - HOUR, now, "")
    role = office.desk.role()
    assert role is not None
    assert role["watermark"] == now
    assert office.desk.activity("watermark")[0]["detail"].endswith(": restored")
