"""From a task that fails to what follows it: result, upstream, alert and message, through a real worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from leasebeat.testing.fleet import Fleet, until
from leasebeat.testing.private import PrivateSqlite, value

pytestmark = pytest.mark.slow


@pytest.fixture
def fleet(tmp_path: Path, redis_url: str) -> Iterator[Fleet]:
    with Fleet(tmp_path, PrivateSqlite(tmp_path), redis_url=redis_url, node_beat_s=1) as made:
        yield made


def test_a_failed_task_hands_on_what_there_is_to_undo(fleet: Fleet, redis_url: str, tmp_path: Path) -> None:
    fleet.schedule(
        {
            "name": "pay-1",
            "cron": "@manual",
            "command": "echo '{\"batch\": 7}' > $LEASEBEAT_RESULT; exit 3",
            "alert": json.dumps({"command": f"cat > {tmp_path}/alert"}),
        },
        follower("ship-2", "touch $EVIDENCE", "pay-1", "success"),
        follower("undo-3", 'printf %s "$LEASEBEAT_UPSTREAM" > $EVIDENCE', "pay-1", "failure"),
        follower("tell-4", "list:told", "undo-3", "done") | {"kind": "publish", "args": "{}"},
    )
    fleet.start("a")
    fleet.await_live("a")
    until(lambda: value(fleet.store, "SELECT COUNT(*) FROM schedule_after") == 3, 20, "the graph is stored")
    fleet.store.rows("INSERT INTO runs (schedule_id) SELECT id FROM schedules WHERE name = 'pay-1'")
    with redis.Redis.from_url(redis_url) as client:
        told: Any = until(lambda: client.lindex("told", 0), 20, f"the last one tells\n{fleet.tails()}")
    (upstream,) = json.loads(fleet.evidence.read_text())
    assert {name: upstream[name] for name in ("schedule", "status", "exit_code", "result")} == {
        "schedule": "pay-1",
        "status": "failed",
        "exit_code": 3,
        "result": {"batch": 7},
    }
    assert [each["schedule"] for each in json.loads(told)["upstream"]] == ["undo-3"]
    rows = fleet.store.rows(
        "SELECT s.name, r.status, r.reason_code FROM runs r JOIN schedules s ON s.id = r.schedule_id"
        " WHERE r.shard = 0 AND s.name < 't' ORDER BY s.name"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("pay-1", "failed", "exit_code"),
        ("ship-2", "skipped", "upstream"),
    ]
    alert = tmp_path / "alert"
    until(lambda: alert.exists() and alert.read_text(), 10, "the alert")
    event = json.loads(alert.read_text())
    assert (event["schedule"], event["reason"], event["exit_code"]) == ("pay-1", "failed", 3)


def follower(name: str, command: str, upstream: str, rule: str) -> dict[str, object]:
    return {
        "name": name,
        "cron": "@manual",
        "command": command,
        "after": json.dumps([upstream]),
        "after_rule": rule,
    }
