"""history, rollback, activity and `edit` in an editor, on real stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.commands import Commands


def add(lb: Commands, name: str = "backup", *words: str) -> None:
    lb.json("add", name, "--cron", "0 3 * * *", "--command", "true", *words)


def test_history_tells_what_every_version_changed_the_newest_first(lb: Commands) -> None:
    add(lb)
    lb.let_a_node_read()
    lb.json("edit", "backup", "--set", "retries=3", "--set", "owner=ops")
    lb.let_a_node_read()
    lb.sql("UPDATE schedules SET cron = '0 4 * * *'")
    lb.let_a_node_read()
    by_hand, edited, first = lb.json("history", "backup")
    assert first["diff"] is None
    assert edited["diff"] == {"owner": ["", "ops"], "retries": [0, 3]}
    assert by_hand["diff"] == {"cron": ["0 3 * * *", "0 4 * * *"]}
    assert "cron: 0 3 * * * -> 0 4 * * *" in lb("history", "backup").out


def test_history_shows_what_no_node_has_read_yet(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    add(lb)
    assert [each["id"] for each in lb.json("history", "backup")] == [None]
    lb.let_a_node_read()
    lb.json("pause", "backup")
    unread, first = lb.json("history", "backup")
    assert (unread["id"], unread["diff"], first["enabled"]) == (None, {"enabled": [1, 0]}, True)


def test_history_finds_what_is_gone_and_what_was_renamed(lb: Commands) -> None:
    add(lb, "old")
    lb.let_a_node_read()
    lb.json("edit", "old", "--set", "name=new")
    lb.let_a_node_read()
    assert [each["schedule"] for each in lb.json("history", "old")] == ["new", "old"]
    lb.json("remove", "new")
    lb.let_a_node_read()
    assert [each["deleted"] for each in lb.json("history", "new")] == [True, False, False]
    assert lb("history", "never").code == 3


def test_a_rollback_is_a_new_edit(lb: Commands) -> None:
    add(lb)
    lb.let_a_node_read()
    lb.json(
        "edit", "backup", "--set", "retries=3", "--set", "cron=0 4 * * *", "--set", 'args={"cwd": "/srv"}'
    )
    lb.let_a_node_read()
    first = lb.json("history", "backup")[-1]["id"]
    row = lb.json("rollback", "backup", str(first))
    assert (row["retries"], row["cron"], row["args"]) == (0, "0 3 * * *", None)
    assert sorted(row["changed"]) == ["args", "cron", "retries"]
    again = lb("rollback", "backup", str(first))
    assert (again.code, again.err) == (4, f"leasebeat: 'backup' says already what version {first} said\n")
    assert lb.json("activity", "backup")[0]["what"] == "rollback"


def test_a_rollback_to_what_cannot_be_used_is_refused(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    add(lb)
    lb.sql("UPDATE schedules SET cron = 'nonsense'")
    lb.let_a_node_read()
    lb.json("edit", "backup", "--cron", "0 3 * * *")
    (broken,) = [each for each in lb.json("history", "backup") if each["problem"]]
    assert lb("rollback", "backup", str(broken["id"])).code == 4
    assert lb.json("show", "backup")["cron"] == "0 3 * * *"
    assert lb("rollback", "backup", "999").code == 3


def test_a_schedule_that_is_gone_comes_back_with_its_id(lb: Commands) -> None:
    add(lb, "backup", "--owner", "ops")
    lb.let_a_node_read()
    before = lb.json("show", "backup")
    lb.json("remove", "backup")
    lb.let_a_node_read()
    gone, first = lb.json("history", "backup")
    assert lb("rollback", "backup", str(gone["id"])).code == 4
    after = lb.json("rollback", "backup", str(first["id"]))
    assert (after["id"], after["owner"], after["cron"]) == (before["id"], "ops", before["cron"])


def test_a_schedule_does_not_come_back_over_another_of_its_name(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    add(lb, "other")
    add(lb)
    lb.let_a_node_read()
    number = lb.json("history", "backup")[0]["id"]
    lb.json("remove", "backup")
    lb.json("edit", "other", "--set", "name=backup")
    refused = lb("rollback", "backup", str(number))
    assert (refused.code, "is none of 'backup'" in refused.err) == (3, True)
    assert [row["name"] for row in lb.json("list")] == ["backup"]


def test_a_schedule_does_not_come_back_over_another_that_has_its_id(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    add(lb)
    lb.let_a_node_read()
    number = lb.json("history", "backup")[0]["id"]
    lb.json("remove", "backup")
    lb.let_a_node_read()
    lb.sql("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'schedules'")
    add(lb, "other")
    refused = lb("rollback", "backup", str(number))
    assert (refused.code, "is 'other' by now: add it anew" in refused.err) == (4, True)


# --- edit in an editor


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The script that plays the user's editor; what it was shown is kept in `shown`, one file a time."""
    script = tmp_path / "editor"
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"sh {script}")
    return script


SHOWN = 'cp "$1" shown$(ls shown* 2>/dev/null | wc -l); '


def test_edit_opens_the_row_with_what_its_columns_mean(lb_on_sqlite: Commands, editor: Path) -> None:
    lb = lb_on_sqlite
    add(lb, "backup", "--args", '{"cwd": "/srv", "env": {"A": "x\\ny"}}', "--lane", "")
    editor.write_text(SHOWN + """sed -i 's/^retries = .*/retries = 3/; s/^cwd = .*/cwd = "\\/var"/' "$1" """)
    result = lb("edit", "backup")
    assert (result.code, result.err) == (0, "")
    shown = Path("shown0").read_text()
    assert "# Further attempts after failures, -1 = no end. [0]\nretries = 0\n" in shown
    row = lb.json("show", "backup")
    assert (row["retries"], row["args"]) == (3, {"cwd": "/var", "env": {"A": "x\ny"}})


@pytest.mark.parametrize("script", ["true", ': > "$1"', """sed -i 's/^# What/# Hm: what/' "$1" """])
def test_an_edit_that_changes_nothing_does_nothing(lb_on_sqlite: Commands, editor: Path, script: str) -> None:
    lb = lb_on_sqlite
    add(lb)
    editor.write_text(script)
    before = lb.json("show", "backup")["updated_at"]
    assert "nothing changed about backup" in lb("edit", "backup").out
    assert lb.json("show", "backup")["updated_at"] == before


def test_a_mistake_is_shown_in_the_editor_again(lb_on_sqlite: Commands, editor: Path) -> None:
    lb = lb_on_sqlite
    add(lb)
    editor.write_text(
        SHOWN + 'if grep -q WRONG "$1"; then sed -i "s/0 99/0 4/" "$1"; else sed -i "s/0 3 /0 99 /" "$1"; fi'
    )
    assert lb("edit", "backup").code == 0
    assert Path("shown1").read_text().startswith("# WRONG: ")
    assert lb.json("show", "backup")["cron"] == "0 4 * * *"
    assert not list(Path.cwd().glob("shown2"))


def test_a_mistake_that_is_left_alone_is_refused(lb_on_sqlite: Commands, editor: Path) -> None:
    lb = lb_on_sqlite
    add(lb)
    editor.write_text('grep -q WRONG "$1" || sed -i "s/^cron = .*/cron = 5/" "$1"')
    result = lb("edit", "backup")
    assert (result.code, "cron = 5: expected a text" in result.err) == (4, True)


def test_an_edit_over_somebody_elses_is_refused_and_kept(lb_on_sqlite: Commands, editor: Path) -> None:
    lb = lb_on_sqlite
    add(lb)
    edit = f"c = sqlite3.connect('{lb.url.path}'); c.execute('UPDATE schedules SET priority = 1'); c.commit()"
    editor.write_text(
        f"""python3 -c "import sqlite3; {edit}"
        sed -i 's/^retries = .*/retries = 3/' "$1" """
    )
    result = lb("edit", "backup")
    assert (result.code, "changed by somebody else meanwhile" in result.err) == (4, True)
    kept = Path(result.err.split("what you wrote is in ")[1].splitlines()[0])
    assert "retries = 3" in kept.read_text()
    assert lb.json("show", "backup")["retries"] == 0
