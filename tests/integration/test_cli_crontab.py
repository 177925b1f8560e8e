"""`import crontab`, on real stores."""

from __future__ import annotations

from pathlib import Path

from tests.integration.commands import Commands

TAB = """\
MAILTO=""
0 3 * * * /usr/local/bin/backup.sh
*/5 * * * * cd /srv/app && php artisan schedule:run
"""


def put(text: str, name: str = "web1.crontab") -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return name


def test_a_crontab_is_imported_paused_and_a_second_time_changes_nothing(lb: Commands) -> None:
    words = ("import", "crontab", put(TAB), "--name-prefix", "web1/", "--route", "spread")
    assert [each["change"] for each in lb.json(*words)["changes"]] == ["add", "add"]
    artisan, backup = lb.json("list")
    assert (artisan["name"].rpartition("-")[0], artisan["cron"]) == ("web1/artisan", "*/5 * * * *")
    assert (backup["enabled"], backup["timeout_s"], backup["route"]) == (False, 0, "spread")
    assert (backup["on_node_loss"], backup["problem"], backup["alert"]) == ("fail", None, {"off": True})
    lb.json("resume", "--all")
    again = lb.json(*words)
    assert (again["changes"], again["unchanged"]) == ([], 2)
    assert all(row["enabled"] for row in lb.json("list"))


def test_a_dry_run_shows_the_difference_and_writes_nothing(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    words = ("import", "crontab", put(TAB), "--name-prefix", "web1/")
    assert "2 added, 0 as before; nothing was written" in lb(*words, "--dry-run").out
    assert lb.json("list") == []
    lb.json(*words, "--run")
    put("MAILTO=ops\n" + TAB.split("\n", 1)[1])
    shown = lb(*words, "--dry-run", "--queue", "heavy").out
    assert 'alert: {"off": true} -> {"mail": "ops"}' in shown
    assert "queue: default -> heavy" in shown
    assert "2 changed, 0 as before; nothing was written" in shown


def test_a_bad_line_does_not_stop_the_others(lb_on_sqlite: Commands) -> None:
    result = lb_on_sqlite("import", "crontab", put("61 * * * * true\nnonsense\n@reboot x\n0 3 * * * true\n"))
    assert result.code == 1
    assert "not imported: web1.crontab:1: " in result.err
    assert "not imported: web1.crontab:2: 'nonsense': expected a time and a command" in result.err
    assert "web1.crontab:3: @reboot is not imported" in result.err
    assert [row["cron"] for row in lb_on_sqlite.json("list")] == ["0 3 * * *"]


def test_a_system_crontab_is_known_by_its_place(lb_on_sqlite: Commands) -> None:
    put("0 3 * * * www-data true\n", "host/etc/cron.d/app")
    put("0 3 * * * root broken\n", "host/etc/cron.d/app.dpkg-old")
    put("0 4 * * * root true\n", "host/etc/crontab")
    lb_on_sqlite.json("import", "crontab", "host/etc/cron.d", "host/etc/crontab")
    users = {row["run_as"] for row in lb_on_sqlite.json("list")}
    assert users == {"www-data", "root"}
    lb_on_sqlite.json("import", "crontab", put("0 5 * * * bob x\n"), "--system", "--name-prefix", "z/")
    assert {row["run_as"] for row in lb_on_sqlite.json("list", "z/*")} == {"bob"}


def test_lines_that_say_the_same_are_candidates_for_one_row(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    first, second = put(TAB), put(TAB, "web2.crontab")
    both = lb.json("import", "crontab", first, second, "--name-prefix", "web/", "--dry-run")
    assert len(both["changes"]) == 2
    assert any("web1.crontab:2, web2.crontab:2: the same line" in text for text in both["flagged"])
    lb.json("import", "crontab", first, "--name-prefix", "web1/")
    later = lb.json("import", "crontab", second, "--name-prefix", "web2/")
    assert any("says the same as web1/backup-" in text for text in later["flagged"])
    assert len(lb.json("list")) == 4


def test_a_line_that_is_gone_is_told(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    lb.json("import", "crontab", put(TAB), "--name-prefix", "web1/")
    later = lb.json(
        "import", "crontab", put("0 4 * * * /usr/local/bin/backup.sh\n"), "--name-prefix", "web1/"
    )
    gone = [text for text in later["flagged"] if "is in the store, not in these files" in text]
    assert (len(later["changes"]), len(gone)) == (1, 2)


def test_what_cannot_be_asked_for_is_refused(lb_on_sqlite: Commands) -> None:
    assert lb_on_sqlite("import", "crontab").code == 2
    assert lb_on_sqlite("import", "crontab", "missing").code == 2
    assert lb_on_sqlite("import", "crontab", put(TAB), "--system", "--user-crontab").code == 2
    assert lb_on_sqlite("import", "crontab", put(TAB), "--timezone", "Mars/Base").code == 4
