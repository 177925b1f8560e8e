"""The examples of docs/cli.md, run as they stand."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from leasebeat.cli.commands import COMMANDS
from leasebeat.triggers import tzdata_version
from tests.integration.commands import Commands

AT = "2026-11-20 03:00:00"


def nothing(lb: Commands) -> None:
    del lb


def a_queued_run(lb: Commands) -> None:
    lb.put_run("backup", AT)


def a_failed_run(lb: Commands) -> None:
    lb.put_run("backup", AT, "failed", attempt=1)
    lb.put_output("backup", AT, 1, b"disk full\n")


def a_healthy_node(lb: Commands) -> None:
    lb.put_node("web-1", tzdata=tzdata_version(), digest="d")
    lb.sql("UPDATE roles SET holder = 'web-1', term = 1, expires_at = '2099-01-01 00:00:00.000000'")


def another_version(lb: Commands) -> None:
    lb.let_a_node_read()
    lb.json("edit", "backup", "--set", "retries=3")


def a_file(lb: Commands) -> None:
    lb.json("export", "--file", "schedules.toml")


def a_crontab(lb: Commands) -> None:
    del lb
    Path("web1.tab").write_text("0 3 * * * /usr/local/bin/backup.sh\n")


def some_holidays(lb: Commands) -> None:
    Path("holidays.ics").write_text("2099-12-25,exclude,Christmas\n")
    lb.json("calendar", "import", "holidays.ics", "--name", "berlin")


def an_audited_day(lb: Commands) -> None:
    lb.let_a_node_read()
    lb.json("audit", "--from", "now")


BEFORE: dict[str, Callable[[Commands], None]] = {
    "add": lambda lb: lb.json("remove", "backup"),
    "rollback": another_version,
    "calendar show": some_holidays,
    "calendar import": some_holidays,
    "backfill": an_audited_day,
    "import": a_file,
    "import crontab": a_crontab,
    "kill": a_queued_run,
    "retry": a_failed_run,
    "logs": a_failed_run,
    "drain": a_healthy_node,
    "doctor": a_healthy_node,
}
"""What must be there for the example to be done."""


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "run"])  # that one needs a worker
def test_the_example_of_each_command_is_done(name: str, lb_on_sqlite: Commands) -> None:
    for schedule in ("backup", "billing/close"):
        lb_on_sqlite.json("add", schedule, "--cron", "0 3 * * *", "--command", "true")
    BEFORE.get(name, nothing)(lb_on_sqlite)
    result = lb_on_sqlite(*shlex.split(COMMANDS[name][1])[1:])
    assert (result.code, result.err) == (0, "")
    assert result.out
