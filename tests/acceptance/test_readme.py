"""The three steps of the README, as they stand there."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parents[2]


def steps() -> str:
    return re.split(r"(?m)^## ", (ROOT / "README.md").read_text().split("## Start\n")[1])[0]


def run(line: str, store: Path) -> str:
    words = [sys.executable, *shlex.split(line)[1:]]
    environ = {"LEASEBEAT_STORE__URL": f"sqlite:///{store}", "PATH": "/usr/bin:/bin"}
    return subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout


def test_the_steps_of_the_readme_work_as_they_stand(tmp_path: Path) -> None:
    store = tmp_path / "leasebeat.db"
    lines = re.findall(r"(?m)^ +(python scheduler\.py .*)$", steps())
    assert len(lines) == 2
    for line in lines:
        run(line, store)
    (listed,) = json.loads(run("python scheduler.py list --json", store))
    assert (listed["name"], listed["cron"]) == ("backup", "0 3 * * *")


def test_the_sql_of_the_readme_makes_the_same_schedule_as_the_command(tmp_path: Path) -> None:
    store = tmp_path / "leasebeat.db"
    run("python scheduler.py init", store)
    (insert,) = re.findall(r"(?m)^ +(INSERT INTO schedules .*)$", steps())
    with closing(sqlite3.connect(store)) as connection:
        connection.execute(insert)
        connection.commit()
    (listed,) = json.loads(run("python scheduler.py list --json", store))
    assert (listed["name"], listed["command"]) == ("backup", "/usr/local/bin/backup.sh")
