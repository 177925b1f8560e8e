from __future__ import annotations

from typing import Any

import pytest

from leasebeat.cli import doctor
from leasebeat.model.instant import SECOND, from_text
from leasebeat.settings import Settings, Store
from leasebeat.store.url import StoreUrl

NOW = from_text("2026-11-20T12:00:00Z")


def node(name: str = "n1", **facts: Any) -> dict[str, Any]:
    return {"name": name, "state": "live", "tzdata": "2026a", "digest": "d1", "clock_offset_ms": 3.0} | facts


def schedule(name: str = "backup", **columns: Any) -> dict[str, Any]:
    row = {"id": 1, "name": name, "cron": "@daily", "command": "x", "enabled": 1, "kind": "shell"}
    return row | {"queue": "default", "route": "sticky", "run_as": None, "problem": None} | columns


@pytest.mark.parametrize(
    ("seconds", "ok"), [(0.0, True), (0.9, True), (-0.9, True), (1.1, False), (-30, False)]
)
def test_a_clock_is_off_from_one_second_on(seconds: float, ok: bool) -> None:
    finding = doctor.clock_offset(NOW + round(seconds * SECOND), NOW)
    assert finding.ok is ok
    assert f"{seconds * 1000:+.0f} ms" in finding.found


def test_nodes_whose_clock_is_off_are_named() -> None:
    finding = doctor.node_clocks([node("a"), node("b", clock_offset_ms=-5000.0)])
    assert not finding.ok
    assert finding.found == "b -5000 ms"


@pytest.mark.fault(58)
def test_another_release_of_the_zone_rules_on_one_node_is_a_failure() -> None:
    finding = doctor.time_zone_data("2026a", [node("a"), node("b", tzdata="2025b")])
    assert not finding.ok
    assert "2025b on 1" in finding.found


def test_the_same_release_everywhere_or_no_node_at_all_is_well() -> None:
    assert doctor.time_zone_data("2026a", [node("a"), node("b")]).ok
    assert doctor.time_zone_data("2026a", []).ok


def test_nodes_that_hold_different_definitions_are_a_failure_and_new_ones_without_any_are_not() -> None:
    assert not doctor.definitions([node("a"), node("b", digest="d2")]).ok
    assert doctor.definitions([node("a"), node("b", digest="")]).ok


@pytest.mark.parametrize(
    ("digests", "told"),
    [
        ([], "no node is there"),
        ([""], "1 node yet to tell"),
        (["d1"], "the same on 1 node"),
        (["d1", "d1", ""], "the same on 2 nodes, 1 node yet to tell"),
        (["d1", "d2"], "2 different sets on 2 nodes"),
    ],
)
def test_what_nodes_hold_is_told_of_those_that_told_it(digests: list[str], told: str) -> None:
    assert doctor.definitions([node(str(number), digest=d) for number, d in enumerate(digests)]).found == told


def test_a_fleet_without_a_live_node_is_a_failure() -> None:
    assert not doctor.live_nodes([]).ok
    assert not doctor.live_nodes([node(state="cordoned")]).ok
    assert doctor.live_nodes([node()]).ok


def test_the_auditors_role_must_be_held_while_a_node_is_live() -> None:
    held = {"holder": "id", "term": 4, "expires_at": NOW + 1, "watermark": NOW}
    lapsed = held | {"expires_at": NOW - 1}
    assert doctor.auditor(held, NOW, any_live=True).ok
    assert not doctor.auditor(lapsed, NOW, any_live=True).ok
    assert doctor.auditor(lapsed, NOW, any_live=False).ok
    assert not doctor.auditor(None, NOW, any_live=False).ok


def test_a_queue_that_only_a_cordoned_node_serves_is_without_a_node() -> None:
    nodes = [node("a"), node("b", state="cordoned")]
    served = [frozenset({"default"}), frozenset({"heavy"})]
    rows = [schedule(), schedule("big", queue="heavy"), schedule("old", queue="gone", enabled=0)]
    finding = doctor.queues(rows, nodes, served)
    assert not finding.ok
    assert finding.found == "heavy"


def test_a_name_that_schedules_are_pinned_to_must_be_live() -> None:
    rows = [
        schedule(route="node:n1"),
        schedule("b", route="node:n9"),
        schedule("c", route="node:n8", enabled=0),
    ]
    finding = doctor.pinned(rows, [node("n1")])
    assert not finding.ok
    assert finding.found == "n9"


def test_rows_with_a_problem_are_named() -> None:
    finding = doctor.problems([schedule(), schedule("seen", problem="bad"), schedule("new", cron="bad")])
    assert not finding.ok
    assert finding.found == "seen, new"


def test_tasks_may_share_the_workers_user_only_where_there_is_no_password_to_read() -> None:
    secret = Settings(store=Store(url=StoreUrl.parse("mysql://u:secret@h/leasebeat")))
    assert doctor.shared_user([schedule()], Settings()).ok
    assert not doctor.shared_user([schedule()], secret).ok
    assert doctor.shared_user(
        [schedule(run_as="jobs"), schedule(kind="http"), schedule(enabled=0)], secret
    ).ok


def test_runs_that_wait_are_counted_with_the_oldest() -> None:
    finding = doctor.late([{"ready_at": NOW}, {"ready_at": NOW + 5 * SECOND}])
    assert not finding.ok
    assert finding.found == "2 runs, the oldest ready since 2026-11-20T12:00:00Z"
    assert doctor.late([]).ok


def test_ids_that_may_return_are_a_failure() -> None:
    assert not doctor.ids(True).ok
    assert doctor.ids(False).ok


@pytest.mark.parametrize(
    ("said", "role", "policy"),
    [
        ({"role": "master", "maxmemory_policy": "noeviction", "maxmemory": "1000"}, True, True),
        ({"role": "slave", "maxmemory_policy": "allkeys-lru", "maxmemory": "0"}, False, True),
        ({"role": "master", "maxmemory_policy": "allkeys-lru", "maxmemory": "1000"}, True, False),
    ],
)
def test_redis_must_be_a_primary_that_evicts_nothing(said: dict[str, str], role: bool, policy: bool) -> None:
    assert (doctor.redis_role(said).ok, doctor.redis_eviction(said).ok) == (role, policy)


def test_expressions_that_other_crons_read_otherwise_are_told_once_and_are_no_failure() -> None:
    rows = [schedule(f"s{number}", cron="0 9 * * 1-5") for number in range(5)]
    finding = doctor.dialects([*rows, schedule("h", cron="H 3 * * *"), schedule("d", cron="0 3 * * *")])
    assert (finding.ok, finding.found) == (True, "6 schedules that other crons read otherwise")
    assert [note.partition(" of ")[0] for note in finding.notes] == [
        "h: H is drawn by the schedule's name, as in Jenkins: renaming the schedule moves it",
        "s0, s1, s2 and 2 more: the day",
    ]


def test_plain_expressions_have_no_dialect() -> None:
    finding = doctor.dialects([schedule("a"), schedule("b", cron="*/5 8-18 * * mon-fri")])
    assert (finding.ok, finding.found, finding.notes) == (True, "none differ", ())


def test_the_coordinator_of_the_settings_must_be_the_fleets():
    assert doctor.coordinator("store", "store").ok
    assert not doctor.coordinator("store", "zookeeper").ok
