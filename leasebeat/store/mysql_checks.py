"""What a MySQL or MariaDB server, its database and our account in it must be like."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import cast

from leasebeat.errors import StoreUnfit
from leasebeat.store.checks import Check
from leasebeat.store.mysql import LOCK_WAIT_S, MysqlSession
from leasebeat.store.session import Session
from leasebeat.store.tables import SCHEMA_VERSION, migrations, print_schema, split

__all__ = ["checks", "edits_schedules", "make"]

PACKET_BYTES = 8 * 1024 * 1024
"""The largest statement: a part of the outputs in base64, and reserve."""

_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) \((.*?)\n\) ENGINE", re.DOTALL)
_COLUMN = re.compile(r"^  ([a-z_]+) +[A-Z]+[ (]", re.MULTILINE)

_RIGHTS = {
    "schedules": "UPDATE",
    "schema_info": "",
    "calendars": "",
    "lanes": "",
    "queues": "",
    "runs": "INSERT UPDATE DELETE",
    "attempts": "INSERT UPDATE DELETE",
    "outputs": "INSERT DELETE",
    "nodes": "INSERT UPDATE DELETE",
    "roles": "INSERT UPDATE",
    "schedule_history": "INSERT",
    "schedule_problems": "INSERT UPDATE DELETE",
}
"""What a worker does to each table, beside reading it."""

_OF_COLUMN = {"schedules": "updated_at"}
"""The only column of a table that a worker may write."""


def make(session: Session, schema: str) -> None:
    """Apply `schema`. Raises StoreUnfit, before anything is made, for what could not hold it."""
    assert isinstance(session, MysqlSession)
    there = {record["name"] for record in session.query("schema_columns")}
    foreign = sorted(there & _tables(schema).keys()) if "schema_info" not in there else []
    if foreign:
        raise StoreUnfit(
            f"{session.url} has tables of our names that are not ours ({', '.join(foreign)});"
            " give Leasebeat a database of its own"
        )
    failed = [str(one) for one in _server(session) if not one.ok and one.severity == "refuse"]
    if failed:
        raise StoreUnfit("\n  - ".join(["the server cannot hold a store:", *failed]))
    session.run_alone(lambda: _steps(session, schema))


def checks(session: Session, worker: bool) -> list[Check]:
    """Everything; the rights of a worker only where `worker` is set."""
    assert isinstance(session, MysqlSession)
    return [*_server(session), _columns(session), *([_rights(session)] if worker else [])]


def edits_schedules(session: Session) -> bool:
    """Whether the account may write `schedules`: it is people's then, or the owner's, and no worker's."""
    assert isinstance(session, MysqlSession)
    return not session.denied([_probes("schedules", "name")["UPDATE"]])


def _steps(session: Session, schema: str) -> list[str]:
    """Tables that are missing, then migrations, then the views over both, and what begins the store.

    Without a row in `schema_info` whoever made the tables did not end it, and may have been of any version.
    """
    there = bool(session.query("schema_present"))
    rows = session.query("schema_info") if there else []
    above = int(rows[0]["version"]) if rows else 1 if there else SCHEMA_VERSION
    if above > SCHEMA_VERSION:
        return []
    steps = split(schema)
    tables = [text for text in steps if text.startswith("CREATE TABLE")]
    return [*tables, *migrations("mysql", above), *(text for text in steps if text not in tables)]


def _tables(schema: str) -> dict[str, frozenset[str]]:
    return {name: frozenset(_COLUMN.findall(body)) for name, body in _TABLE.findall(schema)}


# --- the server ---------------------------------------------------------------------------------


def _server(session: Session) -> list[Check]:
    (record,) = session.query("server_version")
    has = {row["Variable_name"]: row["Value"] for row in session.query("server_variables")}
    return [_version(record["version"]), _isolation(has), *_session(has), *_writing(has), *_warnings(has)]


def _version(text: str) -> Check:
    numbers = tuple(int(part) for part in re.findall(r"\d+", text)[:3])
    maria = "mariadb" in text.lower()
    return Check(
        "server version",
        numbers >= ((10, 6) if maria else (8, 0, 19)),
        "refuse",
        text,
        "MariaDB 10.6 or MySQL 8.0.19, or newer",
        "update the server",
    )


def _isolation(has: Mapping[str, str]) -> Check:
    found = has.get("transaction_isolation", has.get("tx_isolation", "nothing"))
    return Check(
        "transaction isolation",
        found == "READ-COMMITTED",
        "refuse",
        found,
        "READ-COMMITTED",
        "the session asked for it; whatever sits between (a proxy) must leave session settings alone",
    )


def _session(has: Mapping[str, str]) -> list[Check]:
    advice = "the session asked for it; whatever sits between (a proxy) must leave session settings alone"
    wait = has["innodb_lock_wait_timeout"]
    strict = "STRICT_TRANS_TABLES" in has["sql_mode"]
    return [
        Check("time zone", has["time_zone"] == "+00:00", "refuse", has["time_zone"], "+00:00", advice),
        Check("autocommit", has["autocommit"] == "ON", "refuse", has["autocommit"], "ON", advice),
        Check("sql_mode", strict, "refuse", has["sql_mode"] or "nothing", "STRICT_TRANS_TABLES", advice),
        Check("lock wait", int(wait) <= LOCK_WAIT_S, "refuse", f"{wait} s", f"{LOCK_WAIT_S} s", advice),
    ]


def _writing(has: Mapping[str, str]) -> list[Check]:
    names = ("read_only", "super_read_only", "innodb_read_only")
    # MariaDB says OFF, READ_ONLY or ON from 11.7 on, and OFF or ON before.
    closed = [name for name in names if has.get(name, "OFF") not in ("OFF", "0")]
    packet = int(has["max_allowed_packet"])
    statement = has.get("log_bin") == "ON" and has.get("binlog_format") == "STATEMENT"
    return [
        Check(
            "read_only",
            not closed,
            "refuse",
            ", ".join(closed) or "off",
            "a server that takes writes",
            "name the primary in [store] url, not a replica",
        ),
        Check(
            "binlog_format",
            not statement,
            "refuse",
            has.get("binlog_format", "none") if has.get("log_bin") == "ON" else "no binary log",
            "ROW or MIXED",
            "with STATEMENT every write under READ COMMITTED fails (error 1665): set binlog_format=ROW",
        ),
        Check(
            "max_allowed_packet",
            packet >= PACKET_BYTES,
            "refuse",
            f"{packet} bytes",
            f"{PACKET_BYTES} or more",
            "outputs travel in batches: set max_allowed_packet=16M",
        ),
    ]


def _warnings(has: Mapping[str, str]) -> list[Check]:
    galera = has.get("wsrep_on", "OFF") == "ON"
    group = bool(has.get("group_replication_group_name"))
    many = group and has.get("group_replication_single_primary_mode") == "OFF"
    durable = has["innodb_flush_log_at_trx_commit"] == "1" and (
        has.get("log_bin") != "ON" or has.get("sync_binlog") == "1"
    )
    return [
        Check(
            "several primaries",
            not (galera or many),
            "warn",
            "Galera" if galera else "group replication" if many else "one",
            "one server that takes the writes",
            "let all nodes write to the same server: the key of `runs` must decide at the claim, not later",
        ),
        Check(
            "durable commits",
            durable,
            "warn",
            "innodb_flush_log_at_trx_commit={} sync_binlog={}".format(
                has["innodb_flush_log_at_trx_commit"], has.get("sync_binlog", "-")
            ),
            "1 and 1",
            "otherwise a crash of the server's host can take back claims whose tasks have run",
        ),
    ]


# --- the database and the account ---------------------------------------------------------------


def _columns(session: Session) -> Check:
    there = {record["name"]: record for record in session.query("schema_columns")}
    wrong: list[str] = []
    for table, columns in _tables(print_schema("mysql")).items():
        record = there.get(table)
        missing = columns - set(cast("list[str]", json.loads(record["columns"]))) if record else columns
        if record is None:
            wrong.append(f"no table {table}")
        elif record["engine"] != "InnoDB":
            wrong.append(f"{table} is {record['engine']}")
        elif missing:
            wrong.append(f"{table} without {', '.join(sorted(missing))}")
    return Check(
        "tables",
        not wrong,
        "refuse",
        "; ".join(wrong) or "as in schema.sql",
        "the InnoDB tables of schema.sql, and the right to see them",
        "apply schema.sql and deploy/grants.sql; give Leasebeat a database of its own",
    )


def _rights(session: MysqlSession) -> Check:
    tables = _tables(print_schema("mysql"))
    wanted = {
        text: f"{verb} on {table}"
        for table, verbs in _RIGHTS.items()
        for verb, text in _probes(table, _OF_COLUMN.get(table, min(tables[table]))).items()
        if verb == "SELECT" or verb in verbs.split()
    }
    denied = session.denied(wanted)
    return Check(
        "rights of the account",
        not denied,
        "refuse",
        "no " + ", no ".join(wanted[text] for text in denied) if denied else "enough",
        "what deploy/grants.sql gives a worker",
        "apply deploy/grants.sql",
    )


def _probes(table: str, column: str) -> dict[str, str]:
    """Statements that need a right, by its name, and do nothing."""
    return {
        "SELECT": f"SELECT {column} FROM {table} WHERE FALSE",
        "INSERT": f"INSERT INTO {table} ({column}) SELECT {column} FROM {table} WHERE FALSE",
        "UPDATE": f"UPDATE {table} SET {column} = {column} WHERE FALSE",
        "DELETE": f"DELETE FROM {table} WHERE FALSE",
    }
