"""Many at once: threads of several nodes at one database, and what must hold afterwards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from leasebeat.errors import Busy
from leasebeat.model.run import RunKey
from leasebeat.store.base import FinishRow, Version
from leasebeat.store.sql import SqlStore
from tests.integration.mysql_store import Fleet, Meanwhile, fleet, openings, taken

__all__ = ["fleet"]
THREADS = 16


def again(call: Callable[[], int]) -> int:
    """Send it until it is not refused for others' locks and keys."""
    for _ in range(200):
        try:
            return call()
        except Busy:
            time.sleep(0.01)  # as a node pauses: who is in the way wants the processor, too
    raise AssertionError("still busy after 200 times")


def all_at_once(calls: list[Callable[[], object]]) -> list[object]:
    results = [each.result(60) for each in [Meanwhile(call) for call in calls]]
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def name(number: int) -> str:
    return f"{number:032d}"


def test_of_many_nodes_that_claim_the_same_fires_each_fire_has_one(fleet: Fleet) -> None:
    versions = fleet.schedules(100, overlap="skip")
    for number in range(THREADS):
        fleet.join(name(number))
    now = fleet.now()

    def claim(number: int) -> int:
        rows = openings(versions, serial=None)
        return sum(
            again(lambda part=part: fleet.store.claim(name(number), now, rows[part : part + 25]).count)
            for part in range(0, 100, 25)
        )

    counts = all_at_once([lambda number=number: claim(number) for number in range(THREADS)])
    assert sum(counts) == 100  # pyright: ignore[reportArgumentType, reportCallIssue]
    owners = Counter(row["node_id"] for row in fleet.hands("SELECT node_id FROM runs"))
    assert [owners[name(number)] for number in range(THREADS)] == counts


def test_of_many_pullers_each_run_has_one_and_none_is_left(fleet: Fleet) -> None:
    versions = fleet.schedules(200)
    for number in range(THREADS):
        fleet.join(name(number))
    fleet.store.claim(name(0), fleet.now(), openings(versions, run=False))

    def pull(number: int) -> int:
        count = 0
        while seen := fleet.store.pull_look(name(number), "default", 20):
            count += again(lambda: fleet.store.pull(name(number), seen, 5))
        return count

    counts = all_at_once([lambda number=number: pull(number) for number in range(THREADS)])
    assert sum(counts) == 200  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert fleet.hands.one("SELECT COUNT(*) FROM runs WHERE status = 'running' AND attempt = 1") == 200


def test_a_serial_is_never_held_twice_under_load(fleet: Fleet) -> None:
    versions = fleet.schedules(20, overlap="skip")
    for number in range(THREADS):
        fleet.join(name(number))

    def work(number: int) -> int:
        return sum(one_fire(fleet.store, name(number), version, number) for version in versions)

    fires = all_at_once([lambda number=number: work(number) for number in range(THREADS)])
    rows = fleet.hands("SELECT status, COUNT(*) AS n, COUNT(serial) AS wanted FROM runs GROUP BY status")
    found = {row["status"]: (row["n"], row["wanted"]) for row in rows}
    assert found.keys() <= {"succeeded", "skipped"}
    assert sum(count for count, _ in found.values()) == sum(fires)  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert all(wanted == 0 for _, wanted in found.values())
    assert _overlaps(fleet) == 0


def one_fire(store: SqlStore, node: str, version: Version, number: int) -> int:
    """Claim a fire of its own instant, end it; or have it skipped."""
    instant = store.look_at_schedules().now - number
    rows = openings([version], serial=f"{version.schedule_id}:0", overlap="skip")
    if again(lambda: store.claim(node, instant, rows).count):
        key = RunKey(instant, version.schedule_id)
        store.start(node, [taken(key)])
        return again(lambda: store.finish(node, [FinishRow(key, 1, "succeeded")]))
    count = again(lambda: store.claim_rest(node, instant, rows))
    if any(
        answer.answer == "mine" for answer in store.claim_answer(node, instant, rows)
    ):  # it was free again
        again(lambda: store.finish(node, [FinishRow(RunKey(instant, version.schedule_id), 1, "succeeded")]))
    return count


def _overlaps(fleet: Fleet) -> int:
    """Pairs of runs of one schedule that ran at the same time."""
    return fleet.hands.one(
        "SELECT COUNT(*) FROM runs a JOIN runs b ON a.schedule_id = b.schedule_id AND a.fire_at < b.fire_at"
        " AND a.status = 'succeeded' AND b.status = 'succeeded'"
        " WHERE a.started_at < b.finished_at AND b.started_at < a.finished_at"
    )


def test_versions_seen_by_all_at_once_are_recorded_once(fleet: Fleet) -> None:
    for number in range(50):
        fleet.hands(
            "INSERT INTO schedules (name, cron, command) VALUES (%s, '@hourly', 'true')", f"s{number}"
        )
    ids = [row.schedule_id for row in fleet.store.look_at_schedules().rows]

    def see() -> int:
        return again(lambda: len(fleet.see(ids)))

    assert all_at_once([see] * 8) == [50] * 8
    assert fleet.hands.one("SELECT COUNT(*) FROM schedule_history") == 50
