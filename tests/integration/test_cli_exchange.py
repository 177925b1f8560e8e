"""export and import: everything as one TOML file, there and back."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from leasebeat.model.schedule import PEOPLES_COLUMNS
from tests.integration.commands import Commands

EVERYTHING: dict[str, str | int | float] = {
    "name": "tout/à-fait",
    "cron": "30 3 * * mon",
    "command": 'cd /srv && \\\n\tprintf "%s\\n" \'"""\' # ü\n',
    "description": "two\r\nlines",
    "owner": "ops",
    "args": '{"env":{"A":"1", "N": 2},"cwd":"/srv"}',
    "timezone": "Europe/Berlin",
    "enabled": 0,
    "starts_at": "2026-12-24 18:00:00.000001",
    "ends_at": "2030-01-01 00:00:00.000000",
    "queue": "heavy",
    "priority": -3,
    "route": "spread",
    "overlap": "allow",
    "misfire": "skip",
    "misfire_grace_s": 90.5,
    "timeout_s": 0,
    "retries": -1,
    "retry_delay_s": 0.25,
    "retry_backoff": 1.5,
    "on_node_loss": "fail",
    "run_as": "www-data",
}


def add(lb: Commands, name: str = "backup", *words: str) -> None:
    lb.json("add", name, "--cron", "0 3 * * *", "--command", "true", *words)


def put(lb: Commands, row: dict[str, str | int | float]) -> None:
    """Put a row there as SQL does, whatever a build can do with it."""
    quoted = [str(v) if not isinstance(v, str) else "x'" + v.encode().hex() + "'" for v in row.values()]
    values = [f"CAST({text} AS CHAR)" if text.startswith("x") else text for text in quoted]
    if lb.url.path is None:
        values = [f"CONVERT({text} USING utf8mb4)" if text.startswith("x") else text for text in quoted]
    lb.sql(f"INSERT INTO schedules ({', '.join(row)}) VALUES ({', '.join(values)})")


def columns(lb: Commands, name: str) -> dict[str, object]:
    shown = lb.json("show", name)
    return {column: shown[column] for column in PEOPLES_COLUMNS}


def test_every_column_comes_back_as_it_was(lb: Commands) -> None:
    put(lb, EVERYTHING)
    add(lb, "plain")
    before = [columns(lb, name) for name in ("tout/à-fait", "plain")]
    lb.json("export", "--file", "all.toml")
    assert "nothing to change, 2 as before" in lb("import", "all.toml").out
    lb.json("remove", "plain", "tout/à-fait")
    assert "2 added, 0 as before" in lb("import", "all.toml").out
    assert [columns(lb, name) for name in ("tout/à-fait", "plain")] == before
    assert "nothing to change" in lb("import", "all.toml").out


def test_what_toml_cannot_hold_is_a_text_of_json(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    add(lb)
    args = '{"kwargs": {"a": null, "b": [1, "x"], "c": 99999999999999999999}}'
    lb.json("edit", "backup", "--kind", "python", "--command", "m:f", "--args", args)
    args = lb.json("show", "backup")["args"]
    said = tomllib.loads(lb("export").out)["schedules"]["backup"]["args"]
    assert json.loads(said) == args
    lb.json("export", "--file", "all.toml")
    lb.json("remove", "backup")
    lb.json("import", "all.toml")
    assert lb.json("show", "backup")["args"] == args


def test_a_file_says_only_what_differs_from_the_defaults(lb_on_sqlite: Commands) -> None:
    add(lb_on_sqlite)
    assert lb_on_sqlite("export").out == (
        "[schedules.backup]\n"
        'cron = "0 3 * * *"\ncommand = "true"\ntimezone = "UTC"\n\n[calendars]\n\n[lanes]\n\n[queues]\n'
    )


def test_a_line_of_several_lines_stays_readable(lb_on_sqlite: Commands) -> None:
    add(lb_on_sqlite)
    lb_on_sqlite.json("edit", "backup", "--command", "set -e\nfirst\nsecond\n")
    assert 'command = """\nset -e\nfirst\nsecond\n"""\n' in lb_on_sqlite("export").out


def test_the_tables_beside_the_schedules_are_in_the_file(lb: Commands) -> None:
    add(lb, "backup", "--queue", "heavy")
    lb.sql(
        "INSERT INTO calendars (name, day, effect, note)"
        " VALUES ('berlin', '2026-12-25', 'exclude', 'Christmas')"
    )
    lb.json("lane", "api", "--size", "4")
    lb.json("pause", "--queue", "heavy")
    lb.json("export", "--file", "all.toml")
    lb.sql("DELETE FROM calendars")
    lb.json("lane", "api", "--size", "2")
    lb.json("resume", "--queue", "heavy")
    lb.json("lane", "other", "--size", "9")
    dry = lb("import", "all.toml", "--dry-run", "--prune").out
    assert dry.splitlines() == [
        "add calendar berlin: 1 days",
        "change lane api: size: 2 -> 4",
        "remove lane other",
        "change queue heavy: paused: false -> true",
        "1 added, 2 changed, 1 removed, 1 as before; nothing was written",
    ]
    lb.json("import", "all.toml", "--prune", "--yes")
    assert [(row["name"], row["size"]) for row in lb.json("lanes")] == [("api", 4)]
    assert lb.sql("SELECT effect, note FROM calendars") == [("exclude", "Christmas")]
    assert lb.json("import", "all.toml", "--prune") == {"changes": [], "unchanged": 4, "dry_run": False}


def test_what_the_file_changes_is_shown_and_only_then_done(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    add(lb)
    Path("new.toml").write_text(
        '[schedules.backup]\ncron = "0 4 * * *"\ncommand = "true"\nargs = { cwd = "/srv" }\n'
        '[schedules."a/b"]\ncron = "@daily"\ncommand = "true"\n'
    )
    told = lb.json("import", "new.toml", "--dry-run")
    assert [(each["change"], each["name"], each["diff"]) for each in told["changes"]] == [
        ("change", "backup", {"cron": ["0 3 * * *", "0 4 * * *"], "args": [None, {"cwd": "/srv"}]}),
        ("add", "a/b", {}),
    ]
    assert lb.json("show", "backup")["cron"] == "0 3 * * *"
    lb.json("import", "new.toml")
    assert [row["cron"] for row in lb.json("list")] == ["@daily", "0 4 * * *"]
    assert lb.json("activity", "a/b")[0]["what"] == "add"


def test_a_column_that_the_file_leaves_out_is_what_it_is_by_default(lb_on_sqlite: Commands) -> None:
    add(lb_on_sqlite, "backup", "--retries", "3", "--lane", "")
    Path("new.toml").write_text('[schedules.backup]\ncron = "0 3 * * *"\ncommand = "true"\n')
    assert lb_on_sqlite("import", "new.toml").out.startswith("change schedule backup: retries: 3 -> 0\n")


def test_a_file_with_mistakes_changes_nothing_and_tells_all_of_them(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    Path("bad.toml").write_text(
        '[schedules.good]\ncron = "@daily"\ncommand = "true"\n'
        '[schedules."no good"]\ncron = "@daily"\ncommand = "true"\n'
        "[schedules.b]\ncron = 5\ncomand = 'x'\n"
    )
    result = lb("import", "bad.toml")
    assert result.code == 2
    assert "name = 'no good'" in result.err
    assert "command is missing" in result.err
    Path("bad.toml").write_text(
        '[schedules.good]\ncron = "@daily"\ncommand = "true"\n'
        '[schedules.b]\ncron = "99 * * * *"\ncommand = "x"\n'
    )
    result = lb("import", "bad.toml")
    assert (result.code, "b: " in result.err) == (4, True)
    assert lb.json("list") == []


def test_what_the_table_refuses_undoes_all_of_the_import(lb: Commands) -> None:
    Path("bad.toml").write_text(
        '[schedules.good]\ncron = "@daily"\ncommand = "true"\n'
        '[schedules.wrong]\ncron = "@daily"\ncommand = "true"\nqueue = "no such queue!"\n'
    )
    assert lb("import", "bad.toml").code == 4
    assert lb.json("list") == []


def test_prune_asks_and_keeps_to_the_pattern_of_the_file(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    for name in ("billing/a", "billing/b", "other"):
        add(lb, name)
    lb.json("export", "billing/*", "--file", "billing.toml")
    add(lb, "billing/new")
    refused = lb("import", "billing.toml", "--prune")
    assert (refused.code, "would remove billing/new: say --yes too" in refused.err) == (4, True)
    lb.json("import", "billing.toml", "--prune", "--yes")
    assert [row["name"] for row in lb.json("list")] == ["billing/a", "billing/b", "other"]


def test_files_that_are_none_are_told(lb_on_sqlite: Commands) -> None:
    assert lb_on_sqlite("import", "missing.toml").code == 2
    Path("bad.toml").write_text("[schedules")
    assert "bad.toml is no TOML: " in lb_on_sqlite("import", "bad.toml").err
    Path("bad.toml").write_text("[schedule.a]")
    assert lb_on_sqlite("import", "bad.toml").code == 2
    assert lb_on_sqlite("export", "nothing/*").code == 3
