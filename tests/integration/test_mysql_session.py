"""The session on a real server: what each answer means, and what each silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from pymysql.constants import FIELD_TYPE

from leasebeat.errors import (
    Busy,
    Duplicate,
    LeasebeatError,
    NoStore,
    Refused,
    StoreError,
    StoreUnfit,
    Unavailable,
    Unknown,
)
from leasebeat.model.instant import SECOND, from_datetime
from leasebeat.model.node import Vitals
from leasebeat.model.run import RunKey
from leasebeat.runtime import SystemRuntime
from leasebeat.store.base import FinishRow
from leasebeat.store.mysql import REPLY_S, MysqlSession
from leasebeat.store.schema import checks
from leasebeat.store.session import IMPOSSIBLE
from leasebeat.store.sql import SqlStore
from leasebeat.store.url import StoreUrl
from leasebeat.testing.mysql import connect
from leasebeat.testing.servers import MariaDB
from tests.integration.mysql_store import (
    FACTS,
    NODE,
    Fleet,
    Meanwhile,
    Wire,
    fleet,
    openings,
    until,
    waiting,
    wire,
)

__all__ = ["fleet", "waiting", "wire"]


def connection_id(session: MysqlSession) -> int:
    return session._connection().thread_id()


# --- what is set on every connection ------------------------------------------------------------


def test_every_connection_says_what_it_relies_on(fleet: Fleet) -> None:
    has = {row["Variable_name"]: row["Value"] for row in fleet.session.query("server_variables")}
    assert has.get("transaction_isolation", has.get("tx_isolation")) == "READ-COMMITTED"
    assert (has["time_zone"], has["autocommit"], has["innodb_lock_wait_timeout"]) == ("+00:00", "ON", "2")
    assert "STRICT_TRANS_TABLES" in has["sql_mode"]
    with fleet.session._connection().cursor() as cursor:
        cursor.execute("SELECT @@collation_connection AS a, @@lock_wait_timeout AS b, @@wait_timeout AS c")
        assert cursor.fetchone() == {"a": "utf8mb4_bin", "b": 2, "c": 20}


def test_row_counts_are_of_matched_rows(fleet: Fleet) -> None:
    fleet.join()
    assert fleet.store.set_state(NODE, FACTS.state)  # it is so already
    with fleet.session._connection().cursor() as cursor:
        counts = [cursor.execute("UPDATE nodes SET name = 'same'") for _ in range(2)]
    assert counts == [1, 1]


@pytest.mark.fault(45)
def test_any_text_comes_back_as_it_went(fleet: Fleet) -> None:
    fleet.store.join(replace(FACTS, host="Zürich 😀 \\ ' \" % %s :x \n", name="größe"))
    found = fleet.store.node_named("größe")
    assert found is not None
    assert found[1].host == "Zürich 😀 \\ ' \" % %s :x \n"


@pytest.mark.fault(43)
def test_each_thread_has_a_connection_of_its_own_and_gives_it_back(
    fleet: Fleet, eventually: Callable[..., None]
) -> None:
    ids = {connection_id(fleet.session)}
    for _ in range(3):
        ids.add(Meanwhile(lambda: connection_id(fleet.session)).result())
    assert len(ids) == 4
    fleet.session.close()
    hand = fleet.another_hand()
    eventually(lambda: not hand("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID IN %s", list(ids)))


def test_a_connection_that_was_let_go_is_replaced(fleet: Fleet) -> None:
    first = connection_id(fleet.session)
    fleet.store.forget_connection()
    fleet.store.forget_connection()
    assert connection_id(fleet.session) != first


# --- answers ------------------------------------------------------------------------------------


def test_a_key_that_is_there_is_a_duplicate_and_the_connection_stays(fleet: Fleet) -> None:
    fleet.join()
    before = connection_id(fleet.session)
    with pytest.raises(Duplicate):
        fleet.join()
    assert connection_id(fleet.session) == before


@pytest.mark.fault(33)
def test_a_lock_wait_is_busy(fleet: Fleet) -> None:
    fleet.join()
    with fleet.hands.open_transaction():
        fleet.hands("UPDATE nodes SET name = 'x'")
        with pytest.raises(Busy):
            fleet.store.beat(NODE, Vitals())
    assert fleet.store.beat(NODE, Vitals())


@pytest.mark.fault(32)
def test_a_deadlock_is_busy_and_leaves_nothing(fleet: Fleet, waiting: Callable[[str], None]) -> None:
    versions, now = fleet.schedules(2), fleet.now()
    fleet.join()
    fleet.store.claim(NODE, now, openings(versions))
    first, second = (RunKey(now, version.schedule_id) for version in versions)
    other = fleet.another_hand()
    other("BEGIN")
    other("UPDATE runs SET reason = 'x' WHERE schedule_id = %s", second.schedule_id)
    other("UPDATE schedules SET priority = 1")  # so that it is the heavier one, and not the victim

    def both() -> None:
        with fleet.session.transaction():
            fleet.store.finish(NODE, [FinishRow(first, 1, "succeeded")])
            fleet.store.finish(NODE, [FinishRow(second, 1, "succeeded")])

    ends = Meanwhile(both)
    waiting("UPDATE JSON_TABLE")
    other("UPDATE runs SET reason = 'x' WHERE schedule_id = %s", first.schedule_id)
    assert isinstance(ends.result(), Busy)
    other("ROLLBACK")
    assert len(fleet.store.mine(NODE, 0)) == 2


def test_a_killed_statement_is_busy(fleet: Fleet, waiting: Callable[[str], None]) -> None:
    fleet.join()
    ready: list[int] = []

    def beat() -> bool:
        ready.append(connection_id(fleet.session))
        return fleet.store.beat(NODE, Vitals())

    with fleet.hands.open_transaction():
        fleet.hands("UPDATE nodes SET name = 'x'")
        beating = Meanwhile(beat)
        waiting("UPDATE nodes")
        fleet.another_hand()(f"KILL QUERY {ready[0]}")
        assert type(beating.result()) is Busy


def test_what_the_table_refuses_is_refused(fleet: Fleet) -> None:
    with pytest.raises(Refused):
        fleet.store.join(replace(FACTS, name="a", beat_s=-1.0))
    with pytest.raises(Refused):
        fleet.store.join(replace(FACTS, name="a" * 200))


@pytest.mark.parametrize("damage", ["DROP VIEW schedule_digest", "ALTER TABLE nodes DROP COLUMN tzdata"])
def test_a_store_that_lacks_something_is_unfit(fleet: Fleet, damage: str) -> None:
    fleet.hands(damage)
    with pytest.raises(StoreUnfit):
        fleet.store.look_at_schedules() if "VIEW" in damage else fleet.join()


def test_a_right_that_is_missing_is_said(fleet: Fleet) -> None:
    fleet.hands(f"REVOKE UPDATE ON {fleet.url.database}.nodes FROM '{fleet.url.user}'@'%'")
    fleet.store.forget_connection()
    with pytest.raises(StoreUnfit, match="UPDATE command denied"):
        fleet.store.beat(NODE, Vitals())


@pytest.mark.parametrize("date", ["''", "'2026-00-10'", "'2026-02-30'"])
def test_a_date_that_is_none_does_not_hide_the_other_rows(fleet: Fleet, date: str) -> None:
    fleet.schedules(2)
    fleet.hands("ALTER TABLE schedules DROP CONSTRAINT schedule_ends_at")  # a table of before it was there
    fleet.hands("SET sql_mode = 'ALLOW_INVALID_DATES'")
    fleet.hands(f"UPDATE schedules SET ends_at = {date} WHERE id = 1")
    assert [row["ends_at"] for row in fleet.store.schedule_rows([1, 2])] == [IMPOSSIBLE, None]
    assert [version.ends_at for version in fleet.see([1, 2])] == [None, None]
    assert len(fleet.store.history(0, [1])) == 2


def test_a_result_that_cannot_be_read_costs_the_connection(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.schedules(2)
    before = connection_id(fleet.session)

    def broken(text: str) -> int:
        raise ValueError(text)

    decoders = fleet.session._connection().decoders
    monkeypatch.setitem(decoders, FIELD_TYPE.TIMESTAMP, broken)
    with pytest.raises(ValueError, match="20"):
        fleet.store.look_at_schedules()
    monkeypatch.undo()
    assert len(fleet.store.look_at_schedules().rows) == 2
    assert connection_id(fleet.session) != before


# --- not reached --------------------------------------------------------------------------------


def refused(url: StoreUrl) -> LeasebeatError:
    session = MysqlSession(url, SystemRuntime())
    with pytest.raises(LeasebeatError) as caught:
        session.query("installation")
    session.close()
    return caught.value


def test_a_wrong_password_is_told_without_any_password(fleet: Fleet) -> None:
    error = refused(replace(fleet.url, password="hunter2-secret"))
    assert isinstance(error, Unavailable)
    assert "Access denied" in str(error)
    assert "hunter2" not in str(error)
    assert fleet.url.password not in str(error)


def test_an_unknown_database_is_no_store(mysql_url: str) -> None:
    error = refused(replace(StoreUrl.parse(mysql_url), database="lb_test_nothing_here"))
    assert isinstance(error, NoStore)
    assert "scheduler.py init" in str(error)


def test_a_database_that_is_dropped_at_work_is_trouble_that_may_pass(fleet: Fleet) -> None:
    fleet.join()
    fleet.hands(f"DROP DATABASE {fleet.url.database}")
    for _ in range(2):
        with pytest.raises(StoreUnfit):
            fleet.store.beat(NODE, Vitals())
        fleet.store.forget_connection()
    fleet.hands(f"CREATE DATABASE {fleet.url.database}")
    with pytest.raises(StoreUnfit, match="doesn't exist"):
        fleet.store.beat(NODE, Vitals())


def test_nobody_at_the_port_is_unavailable(fleet: Fleet) -> None:
    wire = Wire(fleet.url)
    wire.close()
    assert isinstance(refused(wire.url), Unavailable)
    assert isinstance(refused(replace(fleet.url, unix_socket="/nonexistent/sock")), Unavailable)
    assert isinstance(refused(replace(fleet.url, host="nowhere.invalid")), Unavailable)


def test_an_empty_database_is_no_store(empty_mysql_url: str) -> None:
    session = MysqlSession(StoreUrl.parse(empty_mysql_url), SystemRuntime())
    with pytest.raises(NoStore):
        SqlStore(session).installation()
    session.close()


# --- silence ------------------------------------------------------------------------------------


def test_a_connection_that_was_closed_while_idle_is_replaced_in_silence(
    fleet: Fleet, eventually: Callable[..., None]
) -> None:
    fleet.join()
    killed = connection_id(fleet.session)
    fleet.hands(f"KILL CONNECTION {killed}")
    eventually(lambda: not fleet.hands("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = %s", killed))
    assert fleet.store.beat(NODE, Vitals())
    assert connection_id(fleet.session) != killed


def test_a_connection_that_the_server_found_idle_is_replaced_in_silence(
    fleet: Fleet, eventually: Callable[..., None]
) -> None:
    session, store = fleet.another(beat_s=1)
    fleet.join()
    idle = connection_id(session)
    eventually(lambda: not fleet.hands("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = %s", idle))
    assert store.beat(NODE, Vitals())


@pytest.mark.fault(36)
def test_a_connection_that_breaks_under_a_statement_leaves_its_outcome_unknown(
    fleet: Fleet, waiting: Callable[[str], None]
) -> None:
    fleet.join()
    ready: list[int] = []

    def beat() -> bool:
        ready.append(connection_id(fleet.session))
        return fleet.store.beat(NODE, Vitals())

    with fleet.hands.open_transaction():
        fleet.hands("UPDATE nodes SET name = 'x'")
        beating = Meanwhile(beat)
        waiting("UPDATE nodes")
        fleet.another_hand()(f"KILL CONNECTION {ready[0]}")
        assert isinstance(beating.result(), Unknown)
    assert fleet.store.beat(NODE, Vitals())


def test_a_reply_that_does_not_come_leaves_the_outcome_unknown(fleet: Fleet, wire: Wire) -> None:
    _, store = fleet.another(wire.url)
    store.installation()
    wire.cut()
    with pytest.raises(Unknown):
        store.join(replace(FACTS, name="a"))
    until(lambda: [found for found in [fleet.store.node_named("a")] if found])


def test_silence_inside_a_transaction_means_that_nothing_was_applied(fleet: Fleet, wire: Wire) -> None:
    session, store = fleet.another(wire.url)
    fleet.join()

    def work() -> None:
        with session.transaction():
            assert store.beat(NODE, Vitals(running=7))
            wire.cut()
            store.beat(NODE, Vitals(running=8))

    with pytest.raises(Unavailable):
        work()
    wire.close()
    until(lambda: fleet.hands("SELECT 1 FROM nodes WHERE running = 0 FOR UPDATE"))


@pytest.mark.fault(3)
def test_silence_after_commit_leaves_the_outcome_unknown(fleet: Fleet, wire: Wire) -> None:
    session, store = fleet.another(wire.url)
    fleet.join()

    def work() -> None:
        with session.transaction():
            assert store.beat(NODE, Vitals(running=7))
            wire.cut()

    with pytest.raises(Unknown):
        work()
    until(lambda: fleet.hands("SELECT 1 FROM nodes WHERE running = 7"))


@pytest.mark.fault(33)
def test_an_error_inside_a_transaction_takes_all_of_it_back(fleet: Fleet) -> None:
    fleet.join()

    def work() -> None:
        with fleet.session.transaction():
            fleet.store.beat(NODE, Vitals(running=7))
            with fleet.session.transaction():  # a part of the outer one
                fleet.join()

    with pytest.raises(Duplicate):
        work()
    assert fleet.hands.one("SELECT running FROM nodes") == 0
    assert fleet.store.beat(NODE, Vitals(running=1))


@pytest.mark.parametrize("problem", [Unavailable, Busy, StoreError, StoreUnfit, NoStore])
def test_a_lost_fence_makes_the_claim_unknown(fleet: Fleet, problem: type[LeasebeatError]) -> None:
    fleet.join()
    versions, now = fleet.schedules(1), fleet.now()

    def fault(name: str, when: str) -> None:
        if (name, when) == ("fence", "before"):
            raise problem("cut")

    _, store = fleet.another(fault=fault)
    with pytest.raises(Unknown):
        store.claim(NODE, now, openings(versions))
    assert len(fleet.store.mine(NODE, 0)) == 1


# --- a server that is killed, frozen, or takes no writes ----------------------------------------


@pytest.fixture
def own(own_mariadb: MariaDB) -> Iterator[tuple[MariaDB, SqlStore]]:
    url = own_mariadb.mysql.create_store()
    session = MysqlSession(StoreUrl.parse(own_mariadb.mysql.create_accounts(url)["worker"]), SystemRuntime())
    yield own_mariadb, SqlStore(session)
    session.close()


def test_a_server_that_was_killed_and_is_back_is_used_again(own: tuple[MariaDB, SqlStore]) -> None:
    server, store = own
    installation = store.installation()
    server.kill9()
    for _ in range(2):
        with pytest.raises(Unavailable):
            store.installation()
    server.start()
    assert store.installation() == installation


def test_a_server_that_was_restarted_while_nobody_looked_is_not_noticed(
    own: tuple[MariaDB, SqlStore],
) -> None:
    server, store = own
    store.join(FACTS)
    server.restart()
    assert store.beat(NODE, Vitals())


@pytest.mark.fault(37)
def test_a_frozen_server_costs_no_more_than_its_time(own: tuple[MariaDB, SqlStore]) -> None:
    server, store = own
    store.join(FACTS)
    runtime = SystemRuntime()
    server.freeze()
    for expected in (Unknown, Unavailable):  # a reply that does not come, then a handshake that does not
        began = runtime.monotonic()
        with pytest.raises(expected):
            store.beat(NODE, Vitals())
        assert runtime.monotonic() - began < 3 * REPLY_S
    server.thaw()
    assert store.beat(NODE, Vitals())


@pytest.mark.fault(35)
def test_a_server_that_takes_no_writes_is_unavailable(own: tuple[MariaDB, SqlStore]) -> None:
    server, store = own
    store.join(FACTS)
    server.mysql.run("SET GLOBAL read_only = ON")
    with pytest.raises(Unavailable):
        store.beat(NODE, Vitals())
    server.mysql.run("SET GLOBAL read_only = OFF")
    assert store.beat(NODE, Vitals())


@pytest.mark.fault(38)
def test_a_server_that_is_full_is_unavailable_to_newcomers_and_the_beat_goes_on(
    own: tuple[MariaDB, SqlStore],
) -> None:
    server, store = own
    store.join(FACTS)
    server.mysql.run("SET GLOBAL max_connections = 10")
    hands = [connect(server.mysql.admin) for _ in range(10)]  # the last place is root's own
    newcomer = Meanwhile(store.installation).result()
    assert isinstance(newcomer, Unavailable)
    assert "Too many connections" in str(newcomer)
    assert store.beat(NODE, Vitals())
    for hand in hands:
        hand.close()


def test_what_the_server_is_set_to_does_not_matter(own: tuple[MariaDB, SqlStore]) -> None:
    server, store = own
    server.mysql.run(
        "SET GLOBAL sql_mode = '', GLOBAL autocommit = 0, GLOBAL time_zone = '-03:00'",
        "SET GLOBAL innodb_lock_wait_timeout = 500, GLOBAL group_concat_max_len = 4, GLOBAL wait_timeout = 1",
        "SET GLOBAL TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    )
    store.join(FACTS)
    failed = [found.name for found in checks(store._session) if not found.ok and found.severity == "refuse"]
    assert failed == []
    assert abs(store.look_at_schedules().now - from_datetime(SystemRuntime().wall())) < SECOND
