"""The fence: what an attempt of the past writes is refused, on SQLite; the page has the same SQL."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from leasebeat import fencing
from leasebeat.errors import NotFound

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Shown:
    fence: int
    run_key: str = "payout@2026-11-20T03:00:00Z"


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        made.execute(fencing.CREATE["sqlite"])
        yield made


def test_the_same_and_a_newer_attempt_pass_and_an_older_one_does_not(db: sqlite3.Connection) -> None:
    for fence in (5, 5, 9, 9):
        fencing.check(db.cursor(), "sqlite", Shown(fence))
    with pytest.raises(fencing.Fenced, match=r"a newer attempt has written already \(its fence 9, ours 5\)"):
        fencing.check(db.cursor(), "sqlite", Shown(5))
    assert db.execute("SELECT * FROM task_fences").fetchall() == [(Shown(0).run_key, 9)]


def test_every_run_has_a_fence_of_its_own(db: sqlite3.Connection) -> None:
    fencing.check(db.cursor(), "sqlite", Shown(9))
    fencing.check(db.cursor(), "sqlite", Shown(5, "Payout@2026-11-20T03:00:00Z"))


def test_a_check_that_was_rolled_back_refuses_nobody(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    fencing.check(db.cursor(), "sqlite", Shown(9))
    db.execute("ROLLBACK")
    fencing.check(db.cursor(), "sqlite", Shown(5))


def test_outside_a_run_there_is_nothing_to_show(db: sqlite3.Connection) -> None:
    with pytest.raises(NotFound):
        fencing.check(db.cursor(), "sqlite")


def test_the_example_shows_the_late_write_of_a_paused_node_refused() -> None:
    command = [sys.executable, str(ROOT / "examples/fencing.py")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    late = "payout@2026-11-20T03:00:00Z: a newer attempt has written already (its fence 1795143631000000"
    assert said.splitlines()[0::2] == ["attempt 2: paid", "payments: 1"]
    assert said.splitlines()[1].startswith(f"attempt 1: refused: {late}, ours 1795143600000000)")


def plain(statement: str) -> str:
    """A statement without its parameters and line breaks."""
    return " ".join(re.sub(r"%s|:\w+", "?", statement).split())


@pytest.mark.parametrize("dialect", ["mysql", "postgresql"])
def test_the_page_has_the_statements_that_the_code_has(dialect: fencing.Dialect) -> None:
    blocks = re.findall(r"(?ms)^```sql\n(.*?)^```", (ROOT / "docs/fencing.md").read_text())
    page = plain(" ".join(blocks)).replace("( run_key", "(run_key").replace("NULL )", "NULL)")
    assert all(plain(statement) in page for statement in (fencing.CREATE[dialect], *fencing.SEE[dialect]))


def test_the_page_has_the_script_that_the_code_has() -> None:
    (block,) = re.findall(r"(?ms)^```lua\n(.*?)^```", (ROOT / "docs/fencing.md").read_text())
    assert block == fencing.REDIS.lstrip()
