"""The SQL that people are told to paste runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leasebeat.store.schema import print_schema
from leasebeat.testing.mysql import MySQL

PAGE = (Path(__file__).parents[2] / "docs/operations.md").read_text(encoding="utf-8")
BLOCKS = [block.strip().rstrip(";") for block in re.findall(r"(?ms)^```sql\n(.*?)^```", PAGE)]
SAID = [part.strip() for part in re.findall(r"`((?:INSERT|UPDATE) [^`]*?);`", PAGE)]


@pytest.fixture
def tables(empty_mysql_url: str) -> MySQL:
    server = MySQL.parse(empty_mysql_url)
    text = "\n".join(line for line in print_schema("mysql").splitlines() if not line.startswith("--"))
    server.run(*(part for part in re.split(r";\s*\n", text) if part.strip()))
    return server


def test_the_page_has_queries_and_statements_to_try() -> None:
    assert len(BLOCKS) >= 10
    assert len(SAID) >= 5


def test_every_query_of_the_page_is_understood(tables: MySQL) -> None:
    for block in BLOCKS:
        tables.run(block)


def test_every_statement_that_stands_for_a_command_is_understood(tables: MySQL) -> None:
    tables.run(*SAID)
    assert tables.run("SELECT name, enabled FROM schedules") == (("backup", 0),)
    assert tables.run("SELECT schedule_id, status FROM runs") == ((7, "queued"),)


def test_the_query_for_a_stuck_queue_counts_the_nodes_that_serve_it(tables: MySQL) -> None:
    (query,) = [block for block in BLOCKS if "JSON_CONTAINS_PATH" in block]
    tables.run(
        "INSERT INTO nodes (id, name, beat_s, slots, queues, roles) VALUES"
        " ('a', 'a', 10, 1, '{\"default\": null, \"heavy\": 2}', '[]'),"
        " ('b', 'b', 10, 1, '{\"x\": 1}', '[]')",
        "INSERT INTO runs (schedule_id, queue, fire_at) VALUES (7, 'heavy', '2026-11-20')",
    )
    ((queue, waiting, _, nodes, paused),) = tables.run(query)
    assert (queue, waiting, nodes, paused) == ("heavy", 1, 1, None)
