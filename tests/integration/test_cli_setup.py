from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from leasebeat.cli import main
from leasebeat.store.url import StoreUrl
from leasebeat.testing.mysql import MySQL
from leasebeat.triggers import tzdata_version
from tests.integration.commands import Commands

ROOT = Path(__file__).parents[2]
SCHEDULER = [sys.executable, str(ROOT / "scheduler.py")]


def test_init_again_changes_nothing(lb_on_sqlite: Commands) -> None:
    lb_on_sqlite.json("add", "backup", "--cron", "@daily", "--command", "true")
    before = lb_on_sqlite.sql("SELECT installation FROM schema_info")
    assert lb_on_sqlite("init").code == 0
    assert lb_on_sqlite.sql("SELECT installation FROM schema_info") == before
    assert len(lb_on_sqlite.json("list")) == 1


def test_init_on_an_empty_database_then_add_in_the_zone_it_was_given(
    empty_mysql_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEASEBEAT_STORE__URL", empty_mysql_url)
    assert main(["list"]) == 78
    assert main(["init", "--timezone", "Europe/Berlin"]) == 0
    assert main(["init"]) == 0
    capsys.readouterr()
    assert main(["add", "backup", "--cron", "@daily", "--command", "true", "--json"]) == 0
    assert '"timezone": "Europe/Berlin"' in capsys.readouterr().out


def test_init_with_another_zone_than_the_stores_says_that_nothing_was_changed(
    empty_mysql_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEASEBEAT_STORE__URL", empty_mysql_url)
    assert main(["init", "--timezone", "Europe/Berlin"]) == 0
    assert main(["init", "--timezone", "Europe/Berlin"]) == 0
    assert "nothing was changed" not in capsys.readouterr().out
    assert main(["init", "--timezone", "Asia/Tokyo"]) == 0
    told = capsys.readouterr().out
    assert "nothing was changed" in told
    assert "get Europe/Berlin" in told
    url = StoreUrl.parse(empty_mysql_url)
    MySQL(url).run(told.rpartition("; ")[2].removesuffix(" changes it\n"))
    assert main(["add", "backup", "--cron", "@daily", "--command", "true", "--json"]) == 0
    assert '"timezone": "Asia/Tokyo"' in capsys.readouterr().out


def test_init_with_another_zone_on_sqlite_says_what_to_do(lb_on_sqlite: Commands) -> None:
    result = lb_on_sqlite("init", "--timezone", "Asia/Tokyo")
    assert (result.code, "nothing was changed" in result.out) == (0, True)
    assert "schedules that name no zone get UTC; SQLite cannot change it: say --timezone" in result.out
    assert "nothing was changed" not in lb_on_sqlite("init").out
    assert lb_on_sqlite.json("init", "--timezone", "Asia/Tokyo")["timezone"] == "UTC"


def test_init_print_is_sql_that_makes_the_store(sqlite_url: str, tmp_path: Path) -> None:
    said = subprocess.run(
        [*SCHEDULER, "init", "--print", "--timezone", "Asia/Tokyo"],
        env={"LEASEBEAT_STORE__URL": sqlite_url},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not (tmp_path / "leasebeat.db").exists()
    with sqlite3.connect(":memory:") as raw:
        raw.executescript(said.stdout)
        raw.execute("INSERT INTO schedules (name, cron, command) VALUES ('a', '@daily', 'x')")
        assert raw.execute("SELECT timezone FROM schedules").fetchall() == [("Asia/Tokyo",)]
    raw.close()


def test_init_refuses_a_zone_that_does_not_exist(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEASEBEAT_STORE__URL", sqlite_url)
    assert main(["init", "--timezone", "Mars/Olympus"]) == 4
    assert not Path(sqlite_url.removeprefix("sqlite:///")).exists()


@pytest.mark.parametrize(
    "words",
    [["list"], ["worker"], ["doctor"], ["run", "a"], ["add", "a", "--cron", "@daily", "--command", "x"]],
)
def test_without_a_store_the_message_names_it_and_the_settings_file(
    words: Sequence[str], tmp_path: Path
) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(f'[store]\nurl = "sqlite:///gone.db"\n[node]\nstate_dir = "{tmp_path}/state"\n')
    said = subprocess.run(
        [*SCHEDULER, *words, "--config", config], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout) == (78, "")
    assert f"sqlite:///{tmp_path}/gone.db" in said.stderr
    assert f"settings: {config}" in said.stderr
    assert "scheduler.py init" in said.stderr
    assert not (tmp_path / "gone.db").exists()


def test_a_server_that_cannot_be_reached_is_exit_code_69_and_its_password_is_not_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEASEBEAT_STORE__URL", "mysql://lb:hush@127.0.0.1:1/leasebeat")
    assert main(["list", "--json"]) == 69
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "127.0.0.1:1" in printed.err
    assert "hush" not in printed.err


def test_settings_that_cannot_be_used_are_exit_code_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.toml").write_text("[node]\nslot = 3\n")
    assert main(["list", "--config", str(tmp_path / "bad.toml")]) == 78
    assert "slots" in capsys.readouterr().err


def test_an_output_that_nobody_reads_to_the_end_is_no_traceback(lb_on_sqlite: Commands) -> None:
    lb_on_sqlite.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
        " INSERT INTO schedules (name, cron, command) SELECT 'job-' || i, '@daily', 'x' FROM n"
    )
    reader = ["sh", "-c", f"{' '.join(SCHEDULER)} list | head -1"]
    said = subprocess.run(reader, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["NAME", "CRON", "NEXT", "LAST", "STATUS"]
    assert said.stderr == ""


def test_doctor_finds_nothing_wrong_beside_a_live_node(lb_on_sqlite: Commands) -> None:
    lb_on_sqlite.json("add", "backup", "--cron", "@daily", "--command", "true")
    _put_healthy_node(lb_on_sqlite)
    found = lb_on_sqlite.json("doctor")
    assert [finding["name"] for finding in found if not finding["ok"]] == []
    assert set(found[0]) == {"name", "ok", "found", "advice", "notes"}


def test_doctor_looks_at_the_server_as_a_worker_does(
    lb_on_mysql: Commands, accounts: dict[str, str], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEASEBEAT_STORE__URL", accounts["worker"])
    monkeypatch.setenv("LEASEBEAT_REDIS__URL", redis_url)
    _put_healthy_node(lb_on_mysql)
    result = lb_on_mysql("doctor", "--json")
    found = {finding["name"]: finding["ok"] for finding in result.json}
    wanted = (
        "server version, binlog_format, transaction isolation, rights of the account, read_only, lock wait"
    )
    assert all(found[name] for name in wanted.split(", "))
    assert all(
        found[name] for name in ("clock offset", "schema version", "Redis role", "Redis eviction policy")
    )


def test_doctor_as_the_console_says_that_it_is_no_workers_account(lb_on_mysql: Commands) -> None:
    _put_healthy_node(lb_on_mysql)
    found = lb_on_mysql("doctor", "--json").json
    (rights,) = [one for one in found if one["name"] == "rights of the account"]
    assert (rights["ok"], "not a worker's account" in rights["found"]) == (True, True)


def test_doctor_fails_where_the_account_of_a_worker_lacks_a_right(
    lb_on_mysql: Commands, accounts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = StoreUrl.parse(accounts["worker"]).user
    lb_on_mysql.sql(f"REVOKE DELETE ON runs FROM '{user}'@'%'")
    monkeypatch.setenv("LEASEBEAT_STORE__URL", accounts["worker"])
    (rights,) = [
        one for one in lb_on_mysql("doctor", "--json").json if one["name"] == "rights of the account"
    ]
    assert (rights["ok"], rights["found"]) == (False, "no DELETE on runs")


def test_doctor_fails_on_what_is_wrong_and_says_what_to_do(lb: Commands) -> None:
    lb.json("add", "backup", "--cron", "@daily", "--command", "true", "--queue", "heavy")
    lb.sql("UPDATE schedules SET cron = 'whenever'")
    lb.put_run("backup", "2026-11-20 03:00:00")
    result = lb("doctor")
    assert result.code == 1
    advice = [line.split(":")[0] for line in result.out.splitlines() if ": " in line and "  " not in line]
    for name in ("live nodes", "queues without a node", "problem rows", "due > 60 s and not started"):
        assert name in advice


def test_doctor_tells_of_a_redis_that_does_not_answer(
    lb_on_sqlite: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEASEBEAT_REDIS__URL", "redis://127.0.0.1:1")
    result = lb_on_sqlite("doctor", "--json")
    assert result.code == 1
    assert [(one["ok"], "127.0.0.1:1" in one["found"]) for one in result.json if one["name"] == "Redis"] == [
        (False, True)
    ]


def _put_healthy_node(lb: Commands) -> None:
    lb.put_node("n1", tzdata=tzdata_version(), digest="d")
    lb.sql(
        "UPDATE roles SET holder = 'n1', term = 1, expires_at = '2099-01-01 00:00:00.000000',"
        " watermark = '2026-11-20 00:00:00.000000'"
    )
