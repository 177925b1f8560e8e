"""`show` of schedules and of runs, `runs` of fires with many parts, and `explain` as a command."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from tests.integration.commands import Commands

AT = "2026-11-20 03:00:00"
KEY = "backup@2026-11-20T03:00:00Z"
NODE = "n" * 32


@pytest.fixture
def backup(lb: Commands) -> Commands:
    """A store with one schedule, `backup`, and a fire of four parts."""
    lb.json("add", "backup", "--cron", "0 3 * * *", "--command", "true")
    lb.put_node("web-1", id=NODE, running=2)
    for shard, status in enumerate(["succeeded", "running", "succeeded", "queued"]):
        lb.put_run("backup", AT, status, shard=shard, shards=4, attempt=int(status != "queued"), node_id=NODE)
    return lb


def test_the_parts_of_a_fire_are_one_line(backup: Commands) -> None:
    backup.put_run("backup", "2026-11-19 03:00:00", "succeeded")
    for words in (["runs"], ["show", "backup"]):
        lines = [line.split(maxsplit=2) for line in backup(*words).out.splitlines() if "backup@" in line]
        assert lines == [
            ["backup@2026-11-19T03:00:00Z", "succeeded"],
            [KEY, "running", "2/4 succeeded, 1 running, 1 queued"],
        ]


def test_parts_are_listed_where_they_are_asked_for_and_in_json(backup: Commands) -> None:
    assert len(backup("runs", "--shards").out.splitlines()) == 5
    keys = [KEY, *(f"{KEY}#{shard}" for shard in (1, 2, 3))]
    assert [run["key"] for run in backup.json("runs")] == keys


def test_so_many_fires_are_listed_as_were_asked_for(backup: Commands) -> None:
    backup.put_run("backup", "2026-11-19 03:00:00", "succeeded")
    lines = backup("runs", "-n", "2").out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["backup@2026-11-19T03:00:00Z", KEY]
    assert backup("runs", "--status", "queued").out.splitlines()[1].split()[:2] == [KEY, "running"]


def test_show_draws_the_graph_and_names_the_nodes_of_the_queue(backup: Commands) -> None:
    backup.json("add", "mail", "--cron", "@manual", "--command", "true")
    backup.sql("""UPDATE schedules SET after = '["backup"]', after_rule = 'failure' WHERE name = 'mail'""")
    shown = backup("show", "backup").out
    assert "followed by\n  └─ mail  (failure)\n" in shown
    assert "\nweb-1  live         2     20\n" in shown
    record = backup.json("show", "backup")
    assert (record["followers"], [node["node"] for node in record["nodes"]]) == (["mail"], ["web-1"])


def test_show_of_a_key_tells_its_attempts_and_its_neighbours(lb: Commands) -> None:
    for name in ("backup", "mail"):
        lb.json("add", name, "--cron", "@manual", "--command", "true")
    lb.sql("""UPDATE schedules SET after = '["backup"]' WHERE name = 'mail'""")
    lb.put_run("backup", AT, "failed", attempt=1, exit_code=3, reason="it broke", finished_at=f"{AT}.000000")
    lb.put_run("mail", AT, "skipped")
    record = lb.json("show", KEY)
    assert [(each["attempt"], each["outcome"], each["exit_code"]) for each in record["attempts"]] == [
        (1, "failed", 3)
    ]
    assert [run["key"] for run in record["followers"]] == ["mail@2026-11-20T03:00:00Z"]
    shown = lb("show", "mail@2026-11-20T03:00:00Z").out
    assert "upstreams\nKEY " in shown


def test_show_of_the_key_of_many_parts_lists_them(backup: Commands) -> None:
    assert [part["shard"] for part in backup.json("show", KEY)["parts"]] == [0, 1, 2, 3]
    assert backup.json("show", f"{KEY}#3")["parts"] == []


def test_what_one_part_has_for_itself_is_not_told_of_the_whole(backup: Commands) -> None:
    backup.sql("UPDATE runs SET exit_code = 0, result = '{}' WHERE shard = 0")
    whole = backup.json("show", KEY)
    assert (whole["exit_code"], whole["result"], whole["node_id"]) == (None, None, None)


def test_explain_answers_for_people_and_for_programs(backup: Commands) -> None:
    (told,) = backup.json("explain", "backup", "2026-11-20T03:00:00Z")
    assert (told["schedule"], told["instant"], told["code"]) == ("backup", "2026-11-20T03:00:00Z", "running")
    shown = backup("explain", KEY).out.splitlines()
    assert shown[:2] == [KEY, f"  [running] {told['text']}"]
    assert told["facts"]["statuses"] == {"succeeded": 2, "running": 1, "queued": 1}


def test_explain_of_a_day_counts_and_lists_its_instants(backup: Commands) -> None:
    lines = backup("explain", "backup", "2026-11-20").out.splitlines()
    assert lines[0] == KEY
    backup.put_run("backup", "2026-11-20 04:00:00", "succeeded", origin="manual")
    lines = backup("explain", "backup", "2026-11-20").out.splitlines()
    assert (lines[0], len(lines)) == ("2 instants: 1 running, 1 succeeded", 4)


@pytest.mark.parametrize(
    ("words", "code"), [(["nothing", "yesterday"], 3), (["backup", "whenever"], 2), ([KEY, "yesterday"], 2)]
)
def test_explain_says_what_it_cannot_answer(words: list[str], code: int, backup: Commands) -> None:
    assert backup("explain", *words).code == code


def test_a_schedule_that_is_gone_is_explained_by_its_name(lb: Commands) -> None:
    lb.json("add", "backup", "--cron", "0 3 * * *", "--command", "true")
    row = "id, schedule_id, former_id, version, updated_at, valid_from, enabled, deleted, definition"
    told = """'{"name": "backup", "id": 1, "cron": "0 3 * * *", "command": "true"}'"""
    since = "'2026-11-01 00:00:00.000000'"
    lb.sql(f"INSERT INTO schedule_history ({row}) VALUES (1, 1, 0, 'a', {since}, {since}, 0, 1, {told})")
    lb.json("remove", "backup")
    (verdict,) = lb.json("explain", "backup", "2026-11-20T03:00:00Z")
    assert verdict["code"] == "deleted"


def test_a_former_schedule_of_the_name_answers_for_its_own_time(lb: Commands) -> None:
    lb.json("add", "backup", "--cron", "0 3 * * *", "--command", "true")
    row = "id, schedule_id, former_id, version, updated_at, valid_from, enabled, deleted, definition"
    for number, (schedule, since, gone) in enumerate([(7, 12, 0), (7, 8, 1), (1, 5, 0)], 1):
        told = f"""'{{"name": "backup", "id": {schedule}, "cron": "0 3 * * *", "command": "true"}}'"""
        at = f"'{days_ago(since)} 00:00:00.000000'"
        values = f"{number}, {schedule}, {number - 1}, '{number}', {at}, {at}, {1 - gone}, {gone}, {told}"
        lb.sql(f"INSERT INTO schedule_history ({row}) VALUES ({values})")

    def code(days: int) -> str:
        return lb.json("explain", "backup", f"{days_ago(days)}T03:00:00Z")[0]["code"]

    lb.sql(f"UPDATE roles SET watermark = '{days_ago(1)} 00:00:00.000000'")
    assert [code(9), code(7), code(6)] == [code(2), "deleted", "deleted"]


def days_ago(days: int) -> date:
    """What is older than retention is explained otherwise, so the days must move along with the clock."""
    return datetime.now(UTC).date() - timedelta(days=days)
