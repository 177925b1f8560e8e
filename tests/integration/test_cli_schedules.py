from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from leasebeat.store.desk import Desk
from tests.integration.commands import Commands


@pytest.fixture
def three(lb: Commands) -> Commands:
    """A store with backup, billing/close and billing/open."""
    for name in ("billing/open", "backup", "billing/close"):
        lb.json("add", name, "--cron", "0 3 * * *", "--command", "true")
    return lb


def test_add_writes_the_row_and_tells_when_it_fires_next(lb: Commands) -> None:
    words = [
        "add",
        "backup",
        "--cron",
        "@at 2031-05-01T03:00:00Z",
        "--command",
        "/bin/backup",
        "--retries",
        "3",
    ]
    record = lb.json(*words, "--starts-at", "2026-11-20T00:00:00+01:00", "--args", '{"cwd": "/srv"}')
    assert record["next_at"] == "2031-05-01T03:00:00Z"
    assert record["starts_at"] == "2026-11-19T23:00:00Z"
    assert (record["name"], record["retries"], record["args"]) == ("backup", 3, {"cwd": "/srv"})
    assert lb.sql("SELECT name, cron, retries, timezone FROM schedules") == [
        ("backup", "@at 2031-05-01T03:00:00Z", 3, "UTC")
    ]


def test_add_refuses_a_name_that_is_taken_unless_it_shall_replace(three: Commands) -> None:
    words = ["add", "backup", "--cron", "@daily", "--command", "new"]
    former = three.json("show", "backup")
    assert three(*words).code == 4
    assert three.json("show", "backup")["command"] == "true"
    record = three.json(*words, "--replace")
    assert (record["id"], record["command"]) == (former["id"], "new")


def test_replace_puts_columns_that_were_not_said_back_to_their_defaults(lb: Commands) -> None:
    lb.json("add", "backup", "--cron", "@daily", "--command", "x", "--retries", "9", "--owner", "ops")
    record = lb.json("add", "backup", "--cron", "@daily", "--command", "x", "--owner", "me", "--replace")
    assert (record["retries"], record["owner"]) == (0, "me")


def test_add_in_makes_a_schedule_that_fires_once_that_much_later(lb: Commands) -> None:
    record = lb.json("add", "once", "--in", "1h", "--command", "true")
    assert record["cron"] == f"@at {record['next_at']}"
    assert lb.json("preview", "once") == [record["next_at"]]


def test_a_definition_that_cannot_be_used_is_not_written_and_all_problems_are_told(lb: Commands) -> None:
    result = lb("add", "bad", "--cron", "61 * * * *", "--command", "x", "--shards", "0", "--args", '{"x": 1}')
    assert result.code == 4
    for word in ("'61 * * * *'", "shards = 0 is out of bounds", "args.x is unknown"):
        assert word in result.err
    assert lb.sql("SELECT COUNT(*) FROM schedules") == [(0,)]


def test_what_keeps_a_new_schedule_from_running_is_said_at_once(lb_on_sqlite: Commands) -> None:
    words = ["--cron", "0 3 * * *", "--command", "true"]
    assert "calendar 'works' has no days" in lb_on_sqlite("add", "a", *words, "--calendar", "works").out
    assert "refuses the row: queue: 1-64 letters" in lb_on_sqlite("add", "b", *words, "--queue", "").err


@pytest.mark.parametrize("words", [["--cron", "@daily"], ["--command", "x"], ["--in", "5", "--command", "x"]])
def test_add_without_what_a_row_needs_is_a_usage_error(words: list[str], lb_on_sqlite: Commands) -> None:
    assert lb_on_sqlite("add", "x", *words).code == 2


def test_a_name_that_no_row_may_have_is_a_usage_error(lb: Commands) -> None:
    result = lb("add", "no spaces please", "--cron", "@daily", "--command", "x")
    assert result.code == 2
    assert "letters or digits" in result.err
    assert lb.json("add", "größe/大小_1.x-y", "--cron", "@daily", "--command", "x")["enabled"]


def test_what_the_table_itself_refuses_is_exit_code_4_and_leaves_no_row(lb: Commands) -> None:
    result = lb("add", "x", "--cron", "@daily", "--command", "x", "--retries", "-2")
    assert result.code == 4
    assert "retries" in result.err
    assert lb.json("list") == []


def test_edit_changes_what_was_named_and_nothing_else(three: Commands) -> None:
    before = three.json("show", "backup")
    three.json("edit", "backup", "--set", "retries=5", "--cron", "@hourly", "--set", "description=")
    after = three.json("show", "backup")
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"retries", "cron", "version", "updated_at", "next_at", "next"}


def test_edit_to_what_is_there_already_is_done(three: Commands) -> None:
    assert three("edit", "backup", "--set", "command=true").code == 0


def test_edit_renames_and_refuses_a_name_that_is_taken(three: Commands) -> None:
    assert three.json("edit", "backup", "--set", "name=nightly")["name"] == "nightly"
    assert three("edit", "nightly", "--set", "name=billing/open").code == 4


def test_edit_to_something_unusable_is_refused(three: Commands) -> None:
    assert three("edit", "backup", "--set", "timezone=Mars/Olympus").code == 4
    assert three.json("show", "backup")["timezone"] == "UTC"


def test_a_follower_of_upstreams_that_never_meet_is_refused_with_the_paths(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    for name, hour in (("three", 3), ("four", 4)):
        lb.json("add", name, "--cron", f"0 {hour} * * *", "--command", "true")
    apart = lb("add", "never", "--cron", "@manual", "--command", "true", "--after", '["three", "four"]')
    assert (apart.code, lb.sql("SELECT name FROM schedules WHERE name = 'never'")) == (4, [])
    assert "its upstreams never share an instant: three and four" in apart.err


def test_a_follower_that_closes_a_cycle_is_refused_with_the_path(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    first = lb("add", "a", "--cron", "@manual", "--command", "true", "--after", '["b"]')
    assert first.code == 0
    assert "no schedule is called 'b' yet" in first.err
    assert "it fires at the instants of b" in first.out
    closing = lb("add", "b", "--cron", "@manual", "--command", "true", "--after", '["a"]')
    assert (closing.code, "b -> a -> b" in closing.err) == (4, True)


def test_a_follower_of_a_name_that_is_unknown_runs_only_by_hand(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    lb.json("add", "a", "--cron", "@manual", "--command", "true", "--after", '["b"]')
    lb.sql(
        "INSERT INTO schedule_problems (schedule_id, version, problem, good_id, noticed_at)"
        " SELECT id, 0, 'after names b', 0, '2026-11-20 03:00:00.000000' FROM schedules"
    )
    assert "after names b; it runs only by hand" in lb("list").out
    assert lb("run", "a").code == 0
    closing = lb("add", "b", "--cron", "@manual", "--command", "true", "--after", '["a"]')
    assert (closing.code, "b -> a -> b" in closing.err) == (4, True)


def test_edit_refuses_what_would_close_a_cycle_too(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    lb.json("add", "a", "--cron", "@manual", "--command", "true")
    lb.json("add", "b", "--cron", "@manual", "--command", "true", "--after", '["a"]')
    closing = lb("edit", "a", "--after", '["b"]')
    assert (closing.code, "a -> b -> a" in closing.err) == (4, True)
    assert lb.json("show", "a")["after"] is None


def test_list_takes_a_pattern(three: Commands) -> None:
    assert [row["name"] for row in three.json("list")] == ["backup", "billing/close", "billing/open"]
    assert [row["name"] for row in three.json("list", "billing/*")] == ["billing/close", "billing/open"]
    assert three.json("list", "nothing*") == []


def test_a_plain_name_that_no_schedule_has_is_not_found(three: Commands) -> None:
    for command in ("list", "runs", "logs"):
        result = three(command, "unknown")
        assert (result.code, result.out) == (3, "")
        assert "no schedule is called 'unknown'; `leasebeat list` shows them all" in result.err


@pytest.mark.parametrize(
    ("cron", "told"),
    [("@manual", "it fires only when run by hand"), ("@at 2020-01-01T00:00:00Z", "its instant is over")],
)
def test_add_says_why_a_schedule_does_not_fire(cron: str, told: str, lb_on_sqlite: Commands) -> None:
    result = lb_on_sqlite("add", "backup", "--cron", cron, "--command", "true")
    assert (result.code, result.out) == (0, f"added backup; {told}\n")


@pytest.mark.parametrize("words", [["runs"], ["show", "backup"]])
@pytest.mark.parametrize("count", ["0", "-1", "10001"])
def test_a_count_of_nothing_is_a_usage_error(words: list[str], count: str, lb_on_sqlite: Commands) -> None:
    result = lb_on_sqlite(*words, "-n", count)
    assert (result.code, f"-n {count}: expected 1 to 10000" in result.err) == (2, True)


def test_list_tells_the_last_status_and_the_problem_of_a_row_edited_by_hand(three: Commands) -> None:
    three.put_run("backup", "2026-11-20 03:00:00", "failed")
    three.sql("UPDATE schedules SET cron = 'whenever' WHERE name = 'billing/open'")
    backup, _, open_ = three.json("list")
    assert (backup["last_status"], backup["last_at"]) == ("failed", "2026-11-20T03:00:00Z")
    assert (open_["next_at"], "'whenever'" in open_["problem"]) == (None, True)
    head, *rows = three("list").out.splitlines()
    assert head.split() == ["NAME", "CRON", "NEXT", "LAST", "STATUS"]
    assert rows[2].split() == ["billing/open", "whenever", "problem"]
    assert rows[3].startswith("billing/open: cron 'whenever'")


def put_version(lb: Commands, version: int, good: int | None, cron: str, problem: str | None) -> None:
    """A version of `backup` as a node records it: the row as it stands."""
    definition = json.dumps({"id": 1, "name": "backup", "cron": cron, "command": "true"})
    said, runs = f"'{problem}'" if problem else "NULL", "NULL" if good is None else good
    lb.sql(
        "INSERT INTO schedule_history (id, schedule_id, former_id, version, updated_at, valid_from, enabled,"
        f" definition, problem, good_id) SELECT {version}, id, {version - 1}, version, updated_at,"
        f" '2026-11-20 00:00:00.000000', 1, '{definition}', {said}, {runs}"
        " FROM schedules WHERE name = 'backup'"
    )
    if problem:
        lb.sql(
            "INSERT INTO schedule_problems (schedule_id, version, problem, good_id, noticed_at)"
            f" SELECT id, {version}, {said}, {runs}, '2026-11-20 00:00:00.000000'"
            " FROM schedules WHERE name = 'backup'"
        )


def test_the_next_instant_is_of_the_good_version_that_keeps_running(lb: Commands) -> None:
    lb.json("add", "backup", "--cron", "@at 2031-05-01T03:00:00Z", "--command", "true")
    put_version(lb, 1, None, "@at 2031-05-01T03:00:00Z", None)
    lb.sql("UPDATE schedules SET cron = 'whenever'")
    assert lb.json("list")[0]["next_at"] == "2031-05-01T03:00:00Z"  # no node has read the edit yet
    put_version(lb, 2, 1, "whenever", "bad cron")
    shown = lb.json("show", "backup")
    assert (shown["problem"], shown["good_id"], shown["next"]) == ("bad cron", 1, [shown["next_at"]])
    assert shown["next_at"] == "2031-05-01T03:00:00Z"
    for command in (["list"], ["show", "backup"]):
        assert "bad cron; its last good version keeps running" in lb(*command).out


def test_a_row_that_never_was_usable_fires_never_and_a_mended_one_has_no_problem(lb: Commands) -> None:
    lb.json("add", "backup", "--cron", "@daily", "--command", "true")
    lb.sql("UPDATE schedules SET kind = 'publish'")
    put_version(lb, 1, 0, "@daily", "the command is no target")
    (row,) = lb.json("list")
    assert (row["next_at"], row["good_id"], lb.json("show", "backup")["next"]) == (None, 0, [])
    assert "the command is no target; it does not run" in lb("list").out
    mended = lb.json("edit", "backup", "--kind", "shell")
    assert (mended["problem"], mended["good_id"], mended["next_at"] is None) == (None, None, False)


def test_show_tells_the_definition_the_next_fires_and_the_last_runs(three: Commands) -> None:
    for day in (18, 19, 20):
        three.put_run("backup", f"2026-11-{day} 03:00:00", "succeeded")
    record = three.json("show", "backup", "-n", "2")
    assert [run["key"] for run in record["runs"]] == [
        "backup@2026-11-19T03:00:00Z",
        "backup@2026-11-20T03:00:00Z",
    ]
    assert len(record["next"]) == 2
    assert record["next"][0] == record["next_at"]
    shown = three("show", "backup").out
    assert all(text in shown for text in ("0 3 * * *", record["version"], record["next_at"], "T03:00:00Z"))


def test_pause_and_resume_take_names_and_patterns_and_twice_is_done(three: Commands) -> None:
    assert three.json("pause", "billing/*") == [
        {"name": "billing/close", "enabled": False, "changed": True},
        {"name": "billing/open", "enabled": False, "changed": True},
    ]
    assert [row["changed"] for row in three.json("pause", "billing/*", "backup")] == [True, False, False]
    assert [row["next_at"] for row in three.json("list")] == [None, None, None]
    assert [row["changed"] for row in three.json("resume", "--all")] == [True, True, True]


def test_pause_and_resume_count_what_they_changed_and_not_what_somebody_else_did_meanwhile(
    three: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert three("pause", "backup").out == "paused 1 of 1 schedules\n"
    assert three("pause", "--all").out == "paused 2 of 3 schedules\n"
    enable = Desk.enable

    def too_late(desk: Desk, names: Sequence[str], enabled: bool) -> int:
        three.sql("UPDATE schedules SET enabled = 1 WHERE name = 'backup'")
        return enable(desk, names, enabled)

    monkeypatch.setattr(Desk, "enable", too_late)
    assert three("resume", "--all").out == "resumed 2 of 3 schedules\n"


def test_pause_of_something_unknown_changes_nothing(three: Commands) -> None:
    assert three("pause", "backup", "unknown").code == 3
    assert three("pause").code == 2
    assert all(row["enabled"] for row in three.json("list"))


def test_pause_kill_asks_open_runs_of_those_schedules_to_end(three: Commands) -> None:
    for name in ("backup", "billing/open"):
        three.put_run(name, "2026-11-20 03:00:00")
    three.json("pause", "backup", "--kill")
    asked = {run["key"]: run["kill_requested"] for run in three.json("runs")}
    assert asked == {"backup@2026-11-20T03:00:00Z": True, "billing/open@2026-11-20T03:00:00Z": False}


def test_remove_takes_all_or_none(three: Commands) -> None:
    assert three("remove", "backup", "unknown").code == 3
    assert len(three.json("list")) == 3
    three.json("remove", "backup", "billing/open")
    assert [row["name"] for row in three.json("list")] == ["billing/close"]
    assert three("remove", "backup").code == 3


def test_preview_of_a_schedule_keeps_to_its_zone_and_window(lb: Commands) -> None:
    words = [
        "--timezone",
        "Asia/Tokyo",
        "--starts-at",
        "2031-01-01T00:00:00Z",
        "--ends-at",
        "2031-01-03T00:00:00Z",
    ]
    lb.json("add", "backup", "--cron", "0 3 * * *", "--command", "x", *words)
    assert lb.json("preview", "backup") == ["2031-01-01T18:00:00Z", "2031-01-02T18:00:00Z"]


def test_a_name_that_is_no_text_is_a_usage_error(lb_on_sqlite: Commands) -> None:
    assert lb_on_sqlite("show", "\udcff").code == 2


def test_numbers_too_large_for_the_table_are_a_usage_error(three: Commands) -> None:
    assert three("edit", "backup", "--set", "priority=99999999999999999999").code == 2
