"""How the server finds its rows: lists first, keys after, nothing sorted or scanned that is large."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import pytest

from leasebeat.store.statements import load, parse
from tests.integration.mysql_store import NODE, Fleet, Hands, fleet, openings

__all__ = ["fleet"]

PARAMS: dict[str, object] = {
    "rows": "[[1, 2, 3, 4, 1, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]]",
    "queues": '["default"]',
    "names": '["a"]',
    "ids": "[1]",
    "limit": 10,
    "queue": "default",
    "status": "succeeded",
    "node_id": NODE,
}


def plans(hands: Hands, name: str) -> list[dict[str, Any]]:
    text = load("mysql")[name]
    now = hands.one("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))")
    values = {"fire_at": now, "reach": 60_000_000, **PARAMS}
    values |= {param: 1 for param in _params(text) if param not in values}
    with hands.connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {text}", values)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _params(text: str) -> list[str]:
    return re.findall(r"%\((\w+)\)s", text)


@pytest.fixture
def full(fleet: Fleet) -> Hands:
    """A store with some schedules and a history of some thousand runs, and the statistics of it."""
    fleet.join()
    versions = fleet.schedules(20)
    fleet.store.claim(NODE, fleet.now(), openings(versions, run=False))
    fleet.hands(
        "INSERT INTO runs (fire_at, schedule_id, shard, status, node_id, serial)"
        " SELECT r.fire_at - INTERVAL n.a * 1000 + m.a SECOND, r.schedule_id, 0, 'succeeded', 'x', NULL"
        " FROM runs r JOIN (SELECT id AS a FROM schedules WHERE id < 7) n"
        " JOIN (SELECT id AS a FROM schedules) m"
    )
    fleet.hands("ANALYZE TABLE runs, schedules, schedule_history, nodes")
    return fleet.hands


def of_file() -> list[str]:
    text = (files("leasebeat.store") / "sql" / "mysql.sql").read_text(encoding="utf-8")
    return [name for name in parse(text) if name not in ("server_variables", "server_version")]


def test_every_statement_can_be_explained_and_reads_no_run_that_it_does_not_want(full: Hands) -> None:
    runs = full.one("SELECT COUNT(*) FROM runs")
    assert runs > 2000
    for name in of_file():
        for step in plans(full, name):
            if step["table"] in (None, "j") or str(step["table"]).startswith("<"):
                continue
            whole = step["type"] == "ALL" and int(step["rows"] or 0) > runs // 2
            assert not whole, (name, step)


LISTS = [name for name in of_file() if "JSON_TABLE(" in load("mysql")[name] and not name.startswith("desk_")]


OTHERWISE = ("poll", "history_of", "clear_follow_problems")


@pytest.mark.parametrize("name", [name for name in LISTS if name not in OTHERWISE])
def test_lists_come_first_and_runs_are_found_by_their_key(full: Hands, name: str) -> None:
    steps = [step for step in plans(full, name) if step["type"] not in ("const", "system")]
    of_list = next(step["id"] for step in steps if step["table"] == "j")
    assert next(step["table"] for step in steps if step["id"] == of_list) == "j"
    for step in steps:
        if step["table"] in ("r", "q"):
            assert (step["type"], step["key"]) == ("eq_ref", "PRIMARY"), step


def test_the_head_of_a_queue_is_read_in_the_order_of_its_index(full: Hands) -> None:
    first = plans(full, "pull_look")[0]
    assert (first["table"], first["key"], first["type"]) == ("q", "pull", "ref")
    assert "filesort" not in str(first["Extra"])
    assert "temporary" not in str(first["Extra"])


def test_only_the_head_of_a_queue_is_read(full: Hands) -> None:
    full("FLUSH STATUS")
    with full.connection.cursor() as cursor:
        text = load("mysql")["pull_look"]
        values = {**dict.fromkeys(_params(text), 1), **PARAMS, "limit": 3}
        assert cursor.execute(text, values) == 3
    read = {
        row["Variable_name"]: int(row["Value"]) for row in full("SHOW SESSION STATUS LIKE 'Handler_read%'")
    }
    assert read["Handler_read_next"] <= 4
    assert read["Handler_read_rnd_next"] <= 4


def test_a_poll_uses_its_indexes_and_no_disk(full: Hands) -> None:
    before = _disk(full)
    used = {step["table"]: step["key"] for step in plans(full, "poll")}
    expected = {"m": "mine", "k": "mine", "q": "pull", "o": "mine", "n": "state", "schedules": "digest"}
    assert {table: used[table] for table in expected} == expected
    text = load("mysql")["poll"]
    with full.connection.cursor() as cursor:
        cursor.execute(text, {**dict.fromkeys(_params(text), 1), **PARAMS})
    assert _disk(full) == before


def _disk(hands: Hands) -> int:
    return int(hands("SHOW SESSION STATUS LIKE 'Created_tmp_disk_tables'")[0]["Value"])


def test_an_idle_poll_reads_a_few_rows_beside_the_digest(full: Hands) -> None:
    full("DELETE FROM runs WHERE status = 'queued'")
    schedules = full.one("SELECT COUNT(*) FROM schedules")
    text = load("mysql")["poll"]
    full("FLUSH STATUS")
    with full.connection.cursor() as cursor:
        cursor.execute(text, {**dict.fromkeys(_params(text), 1), **PARAMS})
    rows = full("SHOW SESSION STATUS LIKE 'Handler_read%'")
    assert sum(int(row["Value"]) for row in rows) < schedules + 40
