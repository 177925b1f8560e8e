"""The fence on real servers: MariaDB under two transactions at once, and Redis."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
import redis

from leasebeat import fencing
from leasebeat.store.url import StoreUrl
from leasebeat.testing.mysql import connect
from tests.integration.executing import until
from tests.unit.test_fencing import Shown


@pytest.fixture
def pair(empty_mysql_url: str) -> Iterator[list[pymysql.Connection[Any]]]:
    """Two connections with transactions, as tasks have them."""
    made = [connect(StoreUrl.parse(empty_mysql_url)) for _ in range(2)]
    made[0].cursor().execute(fencing.CREATE["mysql"])
    made[0].cursor().execute("CREATE TABLE payments (fence BIGINT)")
    for connection in made:
        connection.autocommit(False)
    yield made
    for connection in made:
        connection.close()


def pay(connection: pymysql.Connection[Any], fence: int) -> None:
    with connection.cursor() as cursor:
        fencing.check(cursor, run=Shown(fence))
        cursor.execute("INSERT INTO payments VALUES (%s)", [fence])


def payments(connection: pymysql.Connection[Any]) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT fence FROM payments")
        return [fence for (fence,) in cursor.fetchall()]


def test_on_mariadb_an_older_attempt_that_meets_a_newer_one_waits_and_is_refused(
    pair: list[pymysql.Connection[Any]],
) -> None:
    older, newer = pair
    assert payments(older) == []  # its snapshot is from before all this
    pay(newer, 9)
    refused: list[str] = []

    def late() -> None:
        try:
            pay(older, 5)
        except fencing.Fenced as problem:
            refused.append(str(problem))
        older.rollback()

    thread = threading.Thread(target=late)
    thread.start()
    asking = f"SELECT info FROM information_schema.processlist WHERE id = {older.thread_id()}"
    until(lambda: "INTO task_fences" in (scalar(newer, asking) or ""), "the wait of the older attempt")
    assert not refused
    newer.commit()
    thread.join(10)
    assert (len(refused), payments(newer)) == (1, [9])


def scalar(connection: pymysql.Connection[Any], statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
        return row and row[0]


def test_on_mariadb_runs_whose_names_differ_in_case_only_are_two(pair: list[pymysql.Connection[Any]]) -> None:
    with pair[0].cursor() as cursor:
        fencing.check(cursor, run=Shown(9, "Backup@2026-11-20T03:00:00Z"))
        fencing.check(cursor, run=Shown(5, "backup@2026-11-20T03:00:00Z"))
        with pytest.raises(fencing.Fenced):
            fencing.check(cursor, run=Shown(5, "Backup@2026-11-20T03:00:00Z"))


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as made:
        yield made


def test_on_redis_an_older_attempt_writes_nothing(client: Any) -> None:
    assert fencing.write(client, "SET", "report", "new", run=Shown(1_795_143_631_000_001)) == "OK"
    with pytest.raises(fencing.Fenced, match="its fence 1795143631000001, ours 1795143631000000"):
        fencing.write(client, "SET", "report", "old", run=Shown(1_795_143_631_000_000))
    assert client.get("report") == "new"


def test_on_redis_any_command_can_be_fenced_and_its_answer_comes_back(client: Any) -> None:
    answers = [fencing.write(client, "RPUSH", "mails", text, run=Shown(7)) for text in ("a", "b")]
    assert (answers, client.lrange("mails", 0, -1)) == ([1, 2], ["a", "b"])


def test_on_redis_fences_are_forgotten_after_a_while(client: Any) -> None:
    fencing.write(client, "SET", "report", "new", run=Shown(7))
    (key,) = client.keys("task_fence:*")
    assert fencing.KEEP_S - 60 < client.ttl(key) <= fencing.KEEP_S
