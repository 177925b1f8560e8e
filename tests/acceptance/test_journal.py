"""What a host remembers of its own work: outcomes that nobody confirmed, and runs that the store forgot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from leasebeat.testing.fleet import Fleet, until
from leasebeat.testing.private import PrivateSqlite, value

pytestmark = pytest.mark.slow

RUN = "SELECT status, attempt, reason_code FROM runs"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path, PrivateSqlite(tmp_path), node_beat_s=5) as made:
        made.schedule({"name": "job-1", "cron": "@manual", "command": "echo begin >> $EVIDENCE"})
        yield made


def put_in(fleet: Fleet) -> None:
    fleet.store.rows("INSERT INTO runs (schedule_id) SELECT id FROM schedules")


def begins(fleet: Fleet) -> int:
    return fleet.evidence.read_text().count("begin")


@pytest.mark.fault(7, 8)
@pytest.mark.parametrize("point", ["before_update", "after_update"])
def test_a_task_that_had_ended_does_not_run_again_when_its_worker_dies_before_the_store_knows(
    fleet: Fleet, point: str
) -> None:
    fleet.add("a").start(fault=f"{point}:1")
    fleet.await_live("a")
    put_in(fleet)
    fleet["a"].dead_by_itself(30)
    fleet.start("a")
    fleet.await_live("a")
    until(
        lambda: value(fleet.store, "SELECT COUNT(*) FROM runs WHERE status = 'succeeded'"),
        20,
        f"its end\n{fleet.tails()}",
    )
    assert [tuple(row.values()) for row in fleet.store.rows(RUN)] == [("succeeded", 1, None)]
    assert begins(fleet) == 1
    assert not next(fleet.folder.glob("a.state/*.outcomes")).stat().st_size


@pytest.mark.fault(40)
def test_a_run_that_the_store_forgot_is_not_started_again_on_its_host(fleet: Fleet) -> None:
    fleet.start("a")
    fleet.await_live("a")
    put_in(fleet)
    until(
        lambda: value(fleet.store, "SELECT COUNT(*) FROM runs WHERE status = 'succeeded'"),
        20,
        f"its end\n{fleet.tails()}",
    )
    (row,) = fleet.store.rows("SELECT fire_at, schedule_id FROM runs")
    fleet["a"].kill()
    fleet.start("a")
    fleet.await_live("a")
    # As a replica has it that was promoted before the claim came there: the run is opened once more.
    fleet.store.rows(
        f"DELETE FROM runs WHERE schedule_id = {row['schedule_id']}",
        f"INSERT INTO runs (fire_at, schedule_id) VALUES ('{row['fire_at']}', {row['schedule_id']})",
    )
    until(
        lambda: value(fleet.store, "SELECT COUNT(*) FROM runs WHERE status = 'lost'"),
        20,
        f"it is refused\n{fleet.tails()}",
    )
    assert [tuple(found.values()) for found in fleet.store.rows(RUN)] == [("lost", 1, "already_started")]
    assert begins(fleet) == 1
    assert fleet["a"].said("already_started")
