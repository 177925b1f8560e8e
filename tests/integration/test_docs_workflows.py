"""The workflows of the page: SQL and commands make the same rows, and each of them can be used."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from leasebeat.app import open_session
from leasebeat.model.schedule import Schedule
from leasebeat.node.catalog import Catalog, Entry
from leasebeat.node.graph import graph_of
from leasebeat.runtime import SystemRuntime
from leasebeat.settings import load
from leasebeat.store.sql import SqlStore
from tests.integration.commands import Commands

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/workflows.md").read_text(encoding="utf-8")
FILES = sorted((ROOT / "examples/workflows").glob("*.sql"))
SECTIONS = {
    name: text for text in PAGE.split("\n## ") for name in re.findall(r"(?m)^-- examples/(.*)$", text)
}


def load_sql(lb: Commands, file: Path) -> None:
    for statement in file.read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            lb.sql(statement)


def read(lb: Commands) -> list[Entry]:
    """The schedules as a node reads them."""
    session = open_session(load(None, {"LEASEBEAT_STORE__URL": str(lb.url)}))
    catalog = Catalog(SystemRuntime(), SqlStore(session))
    catalog.refresh()
    session.close()
    return catalog.entries()


def definitions(entries: Sequence[Entry]) -> dict[str, Schedule | None]:
    return {entry.schedule.name: entry.schedule for entry in entries if entry.schedule}


def test_each_example_stands_on_the_page_as_it_is() -> None:
    assert {f"workflows/{file.name}" for file in FILES} == set(SECTIONS)
    for file in FILES:
        assert f"-- examples/workflows/{file.name}\n{file.read_text(encoding='utf-8')}```" in PAGE


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_row_of_an_example_can_be_used_and_follows_what_it_names(lb: Commands, file: Path) -> None:
    load_sql(lb, file)
    entries = read(lb)
    graph = graph_of(entries)
    assert [entry.version.problem for entry in entries if entry.version.problem] == []
    assert graph.problems == {}
    assert sum(bool(entry.schedule and entry.schedule.after) for entry in entries) == len(graph.upstreams)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_commands_of_the_page_make_the_rows_of_the_example(lb_on_sqlite: Commands, file: Path) -> None:
    load_sql(lb_on_sqlite, file)
    wanted = definitions(read(lb_on_sqlite))
    lb_on_sqlite.sql("DELETE FROM schedules")
    lb_on_sqlite.sql("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'schedules'")
    (said, *_) = re.findall(r"(?ms)^```sh\n(.*?)^```", SECTIONS[f"workflows/{file.name}"])
    for line in said.replace("\\\n", "").splitlines():
        lb_on_sqlite.json(*shlex.split(line)[2:])
    made = definitions(read(lb_on_sqlite))
    assert made == wanted
