"""Making a store on a real server, the checks of a start, and the rights of the three accounts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from leasebeat.coordinators import agree
from leasebeat.errors import NoStore, Refused, StoreUnfit
from leasebeat.model.run import ENDED, Status
from leasebeat.model.schedule import PEOPLES_COLUMNS
from leasebeat.runtime import SystemRuntime
from leasebeat.store import schema
from leasebeat.store.mysql import MysqlSession
from leasebeat.store.sql import SqlStore
from leasebeat.store.url import StoreUrl
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.servers import MariaDB
from tests.integration.mysql_store import FACTS, Fleet, Hands, fleet

__all__ = ["fleet"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def empty(empty_mysql_url: str) -> Iterator[MysqlSession]:
    session = MysqlSession(StoreUrl.parse(empty_mysql_url), SystemRuntime())
    yield session
    session.close()


@pytest.fixture
def hands(fleet: Fleet) -> Hands:
    return fleet.hands


def failed(session: MysqlSession, worker: bool = True) -> dict[str, schema.Check]:
    return {one.name: one for one in schema.checks(session, worker) if not one.ok}


# --- init ---------------------------------------------------------------------------------------


def test_init_makes_a_store_that_passes_every_check(empty: MysqlSession) -> None:
    schema.init(empty)
    assert [one for one in failed(empty).values() if one.severity == "refuse"] == []
    assert len(SqlStore(empty).installation()) == 32


def test_init_of_a_store_that_is_there_changes_nothing(empty: MysqlSession) -> None:
    schema.init(empty)
    installation = SqlStore(empty).installation()
    empty.run(["INSERT INTO schedules (name, cron, command) VALUES ('a', '@hourly', 'true')"])
    schema.init(empty)
    assert SqlStore(empty).installation() == installation
    assert len(SqlStore(empty).look_at_schedules().rows) == 1


def test_two_at_once_make_one_store(empty_mysql_url: str) -> None:
    from tests.integration.mysql_store import Meanwhile

    sessions = [MysqlSession(StoreUrl.parse(empty_mysql_url), SystemRuntime()) for _ in range(2)]
    for each in [Meanwhile(lambda session=session: schema.init(session)) for session in sessions]:
        each.result(60)
    assert {SqlStore(session).installation() for session in sessions} != set()
    for session in sessions:
        assert len(session.query("schema_info")) == 1
        session.close()


def test_the_default_zone_of_new_schedules_can_be_chosen(empty: MysqlSession) -> None:
    schema.init(empty, "Europe/Berlin")
    empty.run(["INSERT INTO schedules (name, cron, command) VALUES ('a', '@hourly', 'true')"])
    (row,) = SqlStore(empty).schedule_rows([1])
    assert row["timezone"] == "Europe/Berlin"


@pytest.mark.parametrize("zone", ["'; DROP TABLE runs; --", "", "UTC'", "Europe/Berlin\n"])
def test_what_can_be_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(Refused):
        schema.print_schema("mysql", zone)


def test_tables_of_our_names_that_are_not_ours_are_refused_and_left_alone(empty: MysqlSession) -> None:
    empty.run(["CREATE TABLE runs (a INT)"])
    with pytest.raises(StoreUnfit, match="runs"):
        schema.init(empty)
    assert [row["name"] for row in empty.query("schema_columns")] == ["runs"]


def test_an_init_that_was_broken_off_can_be_finished(empty: MysqlSession) -> None:
    empty.run([schema.print_schema("mysql").split(";\n")[0]])
    with pytest.raises(NoStore):
        schema.checks(empty)
    schema.init(empty)
    assert SqlStore(empty).installation()


def test_the_schema_can_be_applied_by_the_servers_own_client(empty: MysqlSession) -> None:
    url = empty.url
    over_tcp = [f"--host={url.host}", f"--port={url.port}"]
    place = [f"--socket={url.unix_socket}"] if url.unix_socket else over_tcp
    account = [f"--user={url.user}", f"--password={url.password}"]
    command = ["mariadb", "--no-defaults", *place, *account, url.database]
    for _ in range(2):
        subprocess.run(command, input=(ROOT / "schema.sql").read_bytes(), check=True, capture_output=True)
    assert schema.check(empty, worker=True) is not None


# --- what the tables refuse ---------------------------------------------------------------------

GOOD: dict[str, object] = {"name": "a", "cron": "@hourly", "command": "true"}


def insert(hands: Hands, **columns: object) -> None:
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    hands(f"INSERT INTO schedules ({names}) VALUES ({marks})", *columns.values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"name": "a\n"},
        {"name": ""},
        {"cron": ""},
        {"command": ""},
        {"kind": "perl"},
        {"kind": "Shell"},
        {"args": "[1]"},
        {"args": "{broken"},
        {"enabled": 2},
        {"starts_at": ""},
        {"ends_at": ""},
        {"ends_at": "2026-02-30"},
        {"updated_at": ""},
        {"starts_at": "2026-01-02", "ends_at": "2026-01-01"},
        {"dst": "x"},
        {"jitter_s": -1},
        {"queue": "a:b"},
        {"priority": 1_000_001},
        {"route": "node:"},
        {"shards": 0},
        {"shard_args": "{}"},
        {"overlap": "kill"},
        {"misfire": "x"},
        {"misfire_grace_s": -1},
        {"misfire_grace_s": 315_360_001},
        {"timeout_s": -1},
        {"timeout_s": 315_360_001},
        {"retries": -2},
        {"retry_delay_s": -1},
        {"retry_delay_s": 315_360_001},
        {"retry_backoff": 0.5},
        {"retry_backoff": 101},
        {"on_node_loss": "x"},
        {"after": '"extract"'},
        {"after_rule": "x"},
        {"alert": "[]"},
    ],
    ids=str,
)
def test_wrong_values_are_refused_by_the_table_itself(hands: Hands, wrong: dict[str, object]) -> None:
    hands("SET sql_mode = ''")  # also in a session that is not strict
    with pytest.raises(pymysql.MySQLError):
        insert(hands, **{**GOOD, **wrong})


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO runs (schedule_id, fire_at) VALUES (1, '')",
        "INSERT INTO runs (schedule_id, ready_at) VALUES (1, '')",
        "UPDATE roles SET watermark = ''",
    ],
)
def test_a_date_that_is_none_is_refused_by_the_table_itself(hands: Hands, statement: str) -> None:
    hands("SET sql_mode = ''")
    with pytest.raises(pymysql.MySQLError):
        hands(statement)


@pytest.mark.parametrize("name", ["backup", "Größe", "日本/語", "a.b_c-d/e", "x" * 128, "हिन्दी"])
def test_names_of_any_script_are_taken(hands: Hands, name: str) -> None:
    insert(hands, **{**GOOD, "name": name})
    assert hands.one("SELECT name FROM schedules") == name


@pytest.mark.fault(45)
def test_names_that_differ_in_case_only_are_two_names(hands: Hands) -> None:
    insert(hands, **GOOD)
    insert(hands, **{**GOOD, "name": "A"})
    with pytest.raises(pymysql.IntegrityError):
        insert(hands, **GOOD)


def test_the_version_is_of_all_columns_that_people_write_and_no_other(hands: Hands) -> None:
    insert(hands, **GOOD)
    (row,) = hands("SHOW CREATE TABLE schedules")
    expression = str(row["Create Table"]).partition("md5(json_array(")[2].partition(")")[0]
    assert sorted(name.strip(" `") for name in expression.split(",")) == sorted(PEOPLES_COLUMNS)


def test_the_version_does_not_depend_on_the_session(hands: Hands) -> None:
    insert(hands, **GOOD, starts_at="2026-01-01 00:00:00.5", description="größe")
    first = hands.one("SELECT version FROM schedules")
    hands("SET NAMES latin1")
    hands("SET time_zone = '+09:00', sql_mode = 'ANSI'")
    hands("UPDATE schedules SET priority = 1")
    hands("UPDATE schedules SET priority = 0")
    assert hands.one("SELECT version FROM schedules") == first


def test_the_statuses_of_the_table_are_those_of_the_model(hands: Hands) -> None:
    for number, status in enumerate(Status):
        hands("INSERT INTO runs (schedule_id, shard, status) VALUES (1, %s, %s)", number, status)
    with pytest.raises(pymysql.MySQLError):
        hands("INSERT INTO runs (schedule_id, status) VALUES (2, 'done')")
    assert len(ENDED) == len(Status) - 2


def test_a_run_put_in_by_hand_needs_its_schedule_only(hands: Hands) -> None:
    hands("INSERT INTO runs (schedule_id) VALUES (7)")
    (row,) = hands("SELECT * FROM runs")
    assert (row["status"], row["origin"], row["attempt"], row["version"]) == ("queued", "manual", 0, None)
    assert row["ready_at"] == row["fire_at"]


def test_every_column_and_every_table_says_what_it_is_for(hands: Hands) -> None:
    silent = hands(
        "SELECT c.TABLE_NAME, c.COLUMN_NAME FROM information_schema.COLUMNS c"
        " JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME)"
        " WHERE c.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE = 'BASE TABLE'"
        " AND (c.COLUMN_COMMENT = '' OR t.TABLE_COMMENT = '')"
    )
    assert [row for row in silent if row["COLUMN_NAME"] not in ("name", "day")] == []


def test_the_keys_that_people_read(hands: Hands) -> None:
    hands("INSERT INTO schedules (id, name, cron, command) VALUES (7, 'backup', '@daily', 'true')")
    for at, shard in (("2026-11-20 03:00:00", 0), ("2026-11-20 03:00:00.5", 3)):
        hands("INSERT INTO runs (schedule_id, fire_at, shard) VALUES (7, %s, %s)", at, shard)
    keys = [row["key"] for row in hands("SELECT `key` FROM run_list ORDER BY fire_at")]
    assert keys == ["backup@2026-11-20T03:00:00Z", "backup@2026-11-20T03:00:00.500000Z#3"]


@pytest.mark.fault(46)
def test_ids_that_lost_claims_burn_are_of_64_bits(hands: Hands) -> None:
    counted = hands(
        "SELECT DATA_TYPE AS type FROM information_schema.COLUMNS"
        " WHERE TABLE_SCHEMA = DATABASE() AND EXTRA LIKE '%auto_increment%'"
    )
    assert {row["type"] for row in counted} == {"bigint"}


# --- checks -------------------------------------------------------------------------------------


def test_a_store_of_a_newer_leasebeat_is_refused(fleet: Fleet) -> None:
    fleet.hands("UPDATE schema_info SET version = 99, min_worker = '99.0'")
    with pytest.raises(StoreUnfit) as caught:
        schema.check(fleet.session)
    assert "99.0 or newer" in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("ALTER TABLE nodes DROP COLUMN tzdata", "nodes without tzdata"),
        ("DROP TABLE attempts", "no table attempts"),
        ("ALTER TABLE outputs ENGINE = MyISAM", "outputs is MyISAM"),
    ],
)
def test_tables_that_are_not_as_they_should_be_are_refused(fleet: Fleet, damage: str, words: str) -> None:
    fleet.hands(damage)
    assert failed(fleet.session, worker=False)["tables"].found == words


def test_the_account_of_a_worker_has_enough_rights(fleet: Fleet) -> None:
    assert "rights of the account" not in failed(fleet.session)


def test_the_account_of_the_console_is_no_worker(accounts: dict[str, str]) -> None:
    session = MysqlSession(StoreUrl.parse(accounts["console"]), SystemRuntime())
    assert schema.check(session) is not None  # it is good enough for people's commands
    with pytest.raises(StoreUnfit, match="no INSERT on nodes"):
        schema.check(session, worker=True)
    session.close()


@pytest.mark.parametrize(
    ("option", "name"),
    [
        (("--log-bin=on", "--binlog-format=STATEMENT"), "binlog_format"),
        (("--max-allowed-packet=1M",), "max_allowed_packet"),
        (("--innodb-flush-log-at-trx-commit=0",), "durable commits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_server_that_cannot_hold_a_store_is_told_apart(option: tuple[str, ...], name: str) -> None:
    with MariaDB(options=option) as server:
        url = server.mysql.create_database()
        session = MysqlSession(StoreUrl.parse(url), SystemRuntime())
        refused = name != "durable commits"
        if refused:
            with pytest.raises(StoreUnfit, match=name):
                schema.init(session)
        else:
            schema.init(session)
            assert failed(session)[name].severity == "warn"
        session.close()


@pytest.mark.fault(41)
def test_a_replica_is_refused(own_mariadb: MariaDB) -> None:
    url = own_mariadb.mysql.create_store()
    own_mariadb.mysql.run("SET GLOBAL read_only = ON")
    session = MysqlSession(StoreUrl.parse(url), SystemRuntime())
    with pytest.raises(StoreUnfit, match="name the primary"):
        schema.check(session)
    session.close()


@pytest.mark.parametrize(
    ("version", "ok"),
    [
        ("10.11.19-MariaDB-0+deb12u1", True),
        ("10.6.0-MariaDB", True),
        ("11.8.2-MariaDB", True),
        ("10.5.29-MariaDB", False),
        ("8.0.19", True),
        ("8.4.3-0ubuntu", True),
        ("9.1.0", True),
        ("8.0.18", False),
        ("5.7.44-log", False),
    ],
)
def test_versions_that_are_new_enough(version: str, ok: bool) -> None:
    from leasebeat.store.mysql_checks import _version

    assert _version(version).ok is ok


# --- rights -------------------------------------------------------------------------------------

SCHEDULE = "INSERT INTO schedules (name, cron, command) VALUES ('x', '@hourly', 'true')"

MAY: dict[str, dict[str, bool]] = {
    "worker": {
        "SELECT * FROM schedule_list": True,
        "SELECT * FROM run_list": True,
        "UPDATE roles SET term = term": True,
        "DELETE FROM runs WHERE FALSE": True,
        SCHEDULE: False,
        "UPDATE schedules SET command = 'x'": False,
        "UPDATE schedules SET updated_at = UTC_TIMESTAMP(6)": True,  # an edited calendar makes rows new
        "DELETE FROM schedules WHERE FALSE": False,
        "UPDATE schedule_history SET problem = NULL": False,
        "DELETE FROM schedule_history WHERE FALSE": False,
        "UPDATE schema_info SET version = 2": False,
        "CREATE TABLE t (a INT)": False,
        "DROP TABLE runs": False,
    },
    "console": {
        SCHEDULE: True,
        "UPDATE schedules SET command = 'x'": True,
        "INSERT INTO runs (schedule_id) VALUES (1)": True,
        "UPDATE nodes SET state = 'draining'": True,
        "UPDATE nodes SET beat_at = beat_at": False,
        "DELETE FROM runs WHERE FALSE": False,
        "UPDATE roles SET watermark = NULL": True,  # what `audit --from` does
        "UPDATE roles SET term = term": False,
        "INSERT INTO activity (what) VALUES ('edit')": True,
        "UPDATE activity SET who = ''": False,
        "DELETE FROM activity WHERE FALSE": False,
        "DROP TABLE runs": False,
    },
    "owner": {"CREATE TABLE t (a INT)": True, "DROP TABLE outputs": True, "SELECT * FROM mysql.user": False},
}


@pytest.mark.parametrize(
    ("role", "statement", "allowed"),
    [(role, statement, allowed) for role, each in MAY.items() for statement, allowed in each.items()],
)
def test_each_account_may_do_its_own_and_no_more(
    accounts: dict[str, str], role: str, statement: str, allowed: bool
) -> None:
    def run() -> Any:
        return MySQL.parse(accounts[role]).run(statement)

    if allowed:
        run()
        return
    with pytest.raises(pymysql.MySQLError, match="denied"):
        run()


def test_a_fleet_under_another_coordinator_is_refused_with_what_to_do(fleet: Fleet) -> None:
    fleet.store.join(FACTS)
    with pytest.raises(StoreUnfit, match="coordinator is 'store' and nodes live under it"):
        agree(fleet.session, "zookeeper", SystemRuntime())


def test_an_idle_fleet_is_switched_by_starting_under_the_other_coordinator(fleet: Fleet) -> None:
    agree(fleet.session, "zookeeper", SystemRuntime())
    assert fleet.store.poll("", []).coordinator == "zookeeper"


def test_a_switch_that_a_joining_node_has_overtaken_is_taken_back(fleet: Fleet) -> None:
    class Overtaken:
        def query(self, name: str, **params: Any) -> Any:
            return fleet.session.query(name, **params)

        def execute(self, name: str, **params: Any) -> int:
            done = fleet.session.execute(name, **params)
            if name == "switch_coordinator":
                fleet.store.join(FACTS)
            return done

    with pytest.raises(StoreUnfit, match="nodes live under it"):
        agree(Overtaken(), "zookeeper", SystemRuntime())  # type: ignore[arg-type]
    assert fleet.store.poll("", []).coordinator == "store"
