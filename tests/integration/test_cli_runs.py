from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from leasebeat.cli import main
from tests.integration.commands import Commands

AT = "2026-11-20 03:00:00"
KEY = "backup@2026-11-20T03:00:00Z"
HOSTILE = b"caf\xc3\xa9 \x1b]0;owned\x07\xff\n"

SCHEDULER = [sys.executable, str(Path(__file__).parents[2] / "scheduler.py")]


@pytest.fixture
def backup(lb: Commands) -> Commands:
    """A store with one schedule, `backup`."""
    lb.json("add", "backup", "--cron", "0 3 * * *", "--command", "true")
    return lb


def test_runs_lists_the_newest_last_and_bounded(backup: Commands) -> None:
    for day in (17, 18, 19, 20):
        backup.put_run("backup", f"2026-11-{day} 03:00:00", "succeeded")
    keys = [run["key"] for run in backup.json("runs", "-n", "2")]
    assert keys == ["backup@2026-11-19T03:00:00Z", KEY]


def test_runs_are_chosen_by_pattern_status_and_age(backup: Commands) -> None:
    backup.json("add", "billing/close", "--cron", "@daily", "--command", "true")
    for name, day, status in [
        ("backup", 18, "failed"),
        ("backup", 19, "skipped"),
        ("billing/close", 20, "lost"),
    ]:
        backup.put_run(name, f"2026-11-{day} 03:00:00", status)

    def statuses(*words: str) -> list[str]:
        return [run["status"] for run in backup.json("runs", *words)]

    assert statuses() == ["failed", "skipped", "lost"]
    assert statuses("backup") == ["failed", "skipped"]
    assert statuses("b*g/*") == ["lost"]
    assert statuses("--failed") == ["failed", "lost"]
    assert statuses("--status", "skipped", "--status", "lost") == ["skipped", "lost"]
    assert statuses("--since", "2026-11-19T04:00:00+01:00") == ["skipped", "lost"]
    assert statuses("--since", "0s") == []


def test_a_run_in_json_has_its_key_schedule_node_and_columns(backup: Commands) -> None:
    backup.put_node("web-1", id="n" * 32)
    backup.put_run("backup", AT, "running", node_id="n" * 32, attempt=1, shard=3, started_at=f"{AT}.500000")
    (run,) = backup.json("runs")
    told = {name: run[name] for name in ("key", "schedule", "node", "shard", "started_at", "start_delay_s")}
    assert told == {
        "key": f"{KEY}#3",
        "schedule": "backup",
        "node": "web-1",
        "shard": 3,
        "started_at": "2026-11-20T03:00:00.500000Z",
        "start_delay_s": 0.5,
    }


def test_a_status_that_does_not_exist_is_a_usage_error_that_names_those_that_do(backup: Commands) -> None:
    result = backup("runs", "--status", "timedout")
    assert (result.code, "timed_out" in result.err) == (2, True)


def test_keys_stay_whole_where_the_output_is_no_terminal(backup: Commands) -> None:
    name = "x" * 128
    backup.json("add", name, "--cron", "@daily", "--command", "true")
    backup.put_run(name, AT, "failed", reason="r" * 200)
    row = backup("runs").out.splitlines()[1]
    assert row.split() == [f"{name}@2026-11-20T03:00:00Z", "failed", "r" * 200]


def test_a_run_of_a_schedule_that_is_gone_is_still_found(backup: Commands) -> None:
    columns = "id, schedule_id, former_id, version, updated_at, valid_from, enabled, definition"
    values = f"7, id, 0, version, '{AT}.000000', '{AT}.000000', 1, '{{\"name\": \"backup\"}}'"
    backup.sql(f"INSERT INTO schedule_history ({columns}) SELECT {values} FROM schedules")
    backup.put_run("backup", AT, "failed", version=7)
    backup.json("remove", "backup")
    assert [run["key"] for run in backup.json("runs")] == [KEY]
    assert backup("kill", KEY).code == 4


def test_kill_asks_an_open_run_to_end_and_twice_is_done(backup: Commands) -> None:
    backup.put_run("backup", AT)
    assert backup.json("kill", "backup@2026-11-20T04:00:00+01:00")["kill_requested"] is True
    assert backup("kill", KEY).code == 0
    backup.sql("UPDATE runs SET status = 'killed'")
    assert backup("kill", KEY).code == 0


@pytest.mark.parametrize(
    ("command", "status", "code"),
    [
        ("kill", "succeeded", 4),
        ("kill", "failed", 4),
        ("retry", "succeeded", 4),
        ("retry", "running", 4),
        ("retry", "queued", 4),
        ("retry", "failed", 0),
        ("retry", "missed", 0),
    ],
)
def test_what_the_state_of_a_run_forbids_is_exit_code_4(
    command: str, status: str, code: int, backup: Commands
) -> None:
    backup.put_run("backup", AT, status)
    assert backup(command, KEY).code == code


@pytest.mark.parametrize("command", ["kill", "retry", "logs"])
def test_a_run_that_is_not_there_is_exit_code_3_and_a_key_that_is_none_is_2(
    command: str, backup: Commands
) -> None:
    assert backup(command, KEY).code == 3
    assert backup(command, "backup@yesterday").code == 2


def test_retry_opens_a_failed_run_again(backup: Commands) -> None:
    backup.put_run("backup", AT, "failed", attempt=2, exit_code=3)
    run = backup.json("retry", KEY)
    assert (run["status"], run["exit_code"]) == ("queued", None)
    assert run["requested_by"]


def test_run_puts_a_run_into_the_queue_under_the_name_of_who_asked(backup: Commands) -> None:
    run = backup.json("run", "backup", "--args", '{"env": {"DAY": "5"}}')
    assert (run["status"], run["origin"], run["args"]) == ("queued", "manual", {"env": {"DAY": "5"}})
    assert [row["key"] for row in backup.json("runs")] == [run["key"]]
    assert backup("run", "unknown").code == 3


@pytest.mark.parametrize("args", ["{", "[]", "5"])
def test_run_refuses_args_that_are_no_json_object(args: str, lb_on_sqlite: Commands) -> None:
    lb_on_sqlite.json("add", "backup", "--cron", "@daily", "--command", "true")
    assert lb_on_sqlite("run", "backup", "--args", args).code == 2
    assert lb_on_sqlite.json("runs") == []


def test_run_refuses_args_that_the_kind_does_not_know(lb_on_sqlite: Commands) -> None:
    lb_on_sqlite.json("add", "backup", "--cron", "@daily", "--command", "true")
    refused = lb_on_sqlite("run", "backup", "--args", '{"foo": 1}')
    assert (refused.code, "args.foo is unknown" in refused.err) == (4, True)
    assert lb_on_sqlite.json("runs") == []


def test_logs_in_a_pipe_are_the_bytes_that_the_task_printed(backup: Commands) -> None:
    backup.put_run("backup", AT, "failed", attempt=2)
    backup.put_output("backup", AT, 1, b"first\n")
    backup.put_output("backup", AT, 2, HOSTILE)

    def printed(*words: str) -> bytes:
        return subprocess.run([*SCHEDULER, "logs", *words], capture_output=True, check=True).stdout

    assert printed(KEY) == HOSTILE
    assert printed("backup", "--attempt", "1") == b"first\n"


def test_logs_on_a_terminal_send_no_control_sequences(
    backup: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.put_run("backup", AT, "failed", attempt=1)
    backup.put_output("backup", AT, 1, HOSTILE)
    leader, follower = pty.openpty()
    with open(follower, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert main(["logs", KEY]) == 0
    assert os.read(leader, 1000).decode() == "café \\x1b]0;owned\\x07\\xff\r\n"
    os.close(leader)


def test_logs_say_when_only_the_end_was_kept(backup: Commands) -> None:
    backup.put_run("backup", AT, "failed", attempt=1)
    backup.put_output("backup", AT, 1, b"end\n", size=70000)
    result = backup("logs", KEY)
    assert (result.out, "the last 4 of 70000 bytes" in result.err) == ("end\n", True)
    told = backup.json("logs", KEY)
    assert {name: told[name] for name in ("key", "attempt", "output", "output_bytes")} == {
        "key": KEY,
        "attempt": 1,
        "output": "end\n",
        "output_bytes": 70000,
    }


def test_logs_of_what_never_began_are_not_found(backup: Commands) -> None:
    backup.put_run("backup", AT)
    assert backup("logs", "backup").code == 3
    assert backup("logs", KEY).code == 3
    backup.sql("UPDATE runs SET attempt = 2, status = 'running'")
    assert backup("logs", KEY, "--attempt", "3").code == 3


def test_logs_of_a_run_without_an_attempt_say_what_became_of_it(backup: Commands) -> None:
    backup.put_run("backup", AT, "skipped", reason_code="overlap", reason="an earlier run is open")
    result = backup("logs", KEY)
    assert result.code == 3
    assert f"{KEY} was skipped (an earlier run is open): it has no output" in result.err
    backup.sql("UPDATE runs SET status = 'queued'")
    assert f"{KEY} is queued and has not begun: it has no output yet" in backup("logs", KEY).err


def test_a_schedule_that_cannot_be_used_is_not_run(backup: Commands) -> None:
    backup.sql("UPDATE schedules SET cron = 'whenever'")
    result = backup("run", "backup")
    assert (result.code, result.out, "'whenever'" in result.err) == (4, "", True)
    assert backup.json("runs") == []


def test_logs_of_what_printed_nothing_are_empty(backup: Commands) -> None:
    backup.put_run("backup", AT, "running", attempt=2)
    result = backup("logs", KEY)
    assert (result.code, result.out, "runs still" in result.err) == (0, "", True)
    result = backup("logs", KEY, "--attempt", "1", "--json")
    assert (result.json["output"], "printed nothing" in result.err) == ("", True)


def test_logs_follow_shows_the_output_of_each_attempt_until_the_run_has_ended(
    backup: Commands,
) -> None:
    backup.put_run("backup", AT, "running", attempt=2)
    backup.put_output("backup", AT, 1, b"first\n")
    shown: list[str] = []
    follower = subprocess.Popen(
        [*SCHEDULER, "logs", "-f", KEY],
        stdout=subprocess.PIPE,
        text=True,
    )
    with follower:
        assert follower.stdout is not None
        shown.append(follower.stdout.readline())
        backup.put_output("backup", AT, 2, b"second\n")
        backup.sql("UPDATE runs SET status = 'succeeded'")
        shown.extend(follower.stdout)
    assert (shown, follower.returncode) == (["first\n", "second\n"], 0)


def test_runs_follow_shows_each_change_until_interrupted(backup: Commands) -> None:
    backup.put_run("backup", AT, "running", attempt=1)
    follower = subprocess.Popen(
        [*SCHEDULER, "runs", "-f"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with follower:
        assert follower.stdout is not None
        assert follower.stdout.readline().split() == [KEY, "running"]
        backup.sql("UPDATE runs SET status = 'succeeded'")
        assert follower.stdout.readline().split() == [KEY, "succeeded"]
        follower.send_signal(2)
        assert follower.wait(10) == 130
