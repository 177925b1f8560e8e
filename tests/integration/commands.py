"""`leasebeat ...` in this process, against a real store, and hands to put rows there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from leasebeat.app import open_session
from leasebeat.cli import main
from leasebeat.node.catalog import Catalog
from leasebeat.runtime import SystemRuntime
from leasebeat.settings import load
from leasebeat.store.sql import SqlStore
from leasebeat.store.url import StoreUrl
from leasebeat.testing.mysql import MySQL

NODE = "n" * 32


class Printed(Protocol):
    """What a test's capture of standard output and error gives."""

    @property
    def out(self) -> str: ...

    @property
    def err(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Commands:
    """The command line with the settings of one store. `url` is that of an account that may do anything."""

    url: StoreUrl
    read: Callable[[], Printed]

    def __call__(self, *words: str) -> Result:
        """Run a command, whatever its exit code."""
        self.read()
        code = main(words)
        printed = self.read()
        return Result(code, printed.out, printed.err)

    def json(self, *words: str) -> Any:
        """What a command that must be done says with `--json`."""
        result = self(*words, "--json")
        assert result.code == 0, result.err
        return result.json

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as somebody with the database's own client would."""
        if self.url.path is None:
            return list(MySQL(self.url).run(statement))
        with closing(sqlite3.connect(self.url.path)) as raw, raw:
            return raw.execute(statement).fetchall()

    def let_a_node_read(self) -> None:
        """What a node does when it looks at the schedules: new versions are recorded."""
        session = open_session(load(None, {"LEASEBEAT_STORE__URL": str(self.url)}))
        Catalog(SystemRuntime(), SqlStore(session)).refresh()
        session.close()

    def put_run(self, name: str, at: str, status: str = "queued", **columns: object) -> None:
        """A run of a schedule, `at` as 2026-11-20 03:00:00."""
        row = {
            "fire_at": f"{at}.000000",
            "ready_at": f"{at}.000000",
            "status": status,
            "origin": "trigger",
        } | columns
        values = ", ".join(map(repr, row.values()))
        insert = f"INSERT INTO runs (schedule_id, {', '.join(row)})"
        self.sql(f"{insert} SELECT id, {values} FROM schedules WHERE name = '{name}'")

    def put_output(self, name: str, at: str, attempt: int, output: bytes, size: int | None = None) -> None:
        """What an attempt of that run printed."""
        self.sql(
            "INSERT INTO outputs (fire_at, schedule_id, shard, attempt, succeeded, output, output_bytes)"
            f" SELECT '{at}.000000', id, 0, {attempt}, 1, x'{output.hex()}', {size or len(output)}"
            f" FROM schedules WHERE name = '{name}'"
        )

    def put_node(self, name: str, state: str = "live", **columns: object) -> None:
        """A node whose beat is of now."""
        row = {"id": name.ljust(32, "0"), "name": name, "state": state, "beat_s": 10, "slots": 20}
        row |= {"queues": '{"default": null}', "roles": '["dispatch", "execute"]'} | columns
        self.sql(f"INSERT INTO nodes ({', '.join(row)}) VALUES ({', '.join(map(repr, row.values()))})")
