"""A rolling upgrade between two commits: workers of both share the tables, and no fire is lost or doubled."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from leasebeat.model.instant import SECOND
from leasebeat.store.tables import SCHEMA_VERSION
from leasebeat.testing.evidence import findings, second_keys
from leasebeat.testing.fleet import ROOT, Fleet, in_window, mixed, numbered, sleep_until, until
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.private import PrivateMysql, value

OLD = "3f0e383f202a0563de4bbd3facc4553bf64c71b4"
"""The last commit whose tables are of version 1."""


@pytest.fixture
def old_code(tmp_path: Path) -> Path:
    """A folder with the code of that commit."""
    packed = subprocess.run(["git", "archive", OLD], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        told = f"commit {OLD[:7]} is not in this clone: `git fetch --unshallow` brings it"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{told} (CI=true: nothing is skipped)", pytrace=False)
        pytest.skip(told)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(tmp_path / "old", filter="data")
    return tmp_path / "old"


def init(code: Path, url: str) -> None:
    environ: Mapping[str, str] = {**os.environ, "LEASEBEAT_STORE__URL": url}
    subprocess.run(
        [sys.executable, "scheduler.py", "init"], cwd=code, env=environ, check=True, stdout=subprocess.DEVNULL
    )


@pytest.mark.fault(66)
@pytest.mark.slow
def test_old_and_new_workers_share_the_tables_and_the_old_one_can_be_drained(
    tmp_path: Path, mariadb: MySQL, redis_url: str, old_code: Path
) -> None:
    empty = mariadb.create_database()
    init(old_code, empty)
    store = PrivateMysql(mariadb, empty)
    with Fleet(tmp_path, store, redis_url) as fleet:
        fleet.add("old").code = old_code
        fleet.start("old")
        fleet.await_live("old")
        names, first = numbered("job", 6), fleet.next_second(3)
        end = first + 14 * SECOND
        fleet.schedule(*mixed(names, longest=15, **in_window(first, end)))
        sleep_until(store, first + 3 * SECOND)
        assert value(store, "SELECT version FROM schema_info") == 1
        init(ROOT, empty)
        assert value(store, "SELECT version FROM schema_info") == SCHEMA_VERSION
        fleet.start("new")
        fleet.await_live("old", "new")
        both = "SELECT COUNT(DISTINCT node_id) FROM runs WHERE fire_at > (SELECT MAX(started_at) FROM nodes)"
        until(lambda: value(store, both) == 2, 20, f"both take runs\n{fleet.tails()}")
        fleet["old"].terminate()
        sleep_until(store, end)
        until(lambda: fleet.settled(end), 30, f"everything ends\n{fleet.tails()}")
        assert findings(fleet.collect(second_keys(names, first, end))) == []
        assert fleet.counts() == {"succeeded": 6 * 14}
