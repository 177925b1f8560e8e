"""calendar list, show and import, on real stores."""

from __future__ import annotations

from pathlib import Path

from tests.integration.commands import Commands

LINES = "2026-12-25,exclude,Christmas\n2026-12-27,add\n"


def put(text: str) -> str:
    Path("days.csv").write_text(text)
    return "days.csv"


def test_a_calendar_is_imported_once(lb: Commands) -> None:
    words = ("calendar", "import", put(LINES), "--name", "berlin")
    assert lb(*words, "--dry-run").out.startswith("add calendar berlin: 2 days\n")
    assert lb.json("calendar", "list") == []
    assert lb.json(*words)["changes"][0]["diff"]["2026-12-25"] == [None, "exclude Christmas"]
    again = lb.json(*words)
    assert (again["changes"], again["unchanged"]) == ([], 2)
    assert lb.json("calendar", "show", "berlin") == [
        {"name": "berlin", "day": "2026-12-25", "effect": "exclude", "note": "Christmas"},
        {"name": "berlin", "day": "2026-12-27", "effect": "add", "note": ""},
    ]


def test_other_days_stay_unless_they_are_replaced(lb: Commands) -> None:
    lb.json("calendar", "import", put(LINES), "--name", "berlin")
    lb.json("calendar", "import", put("2026-12-25,exclude,Xmas\n2026-12-26\n"), "--name", "berlin")
    assert [row["day"][-2:] for row in lb.json("calendar", "show", "berlin")] == ["25", "26", "27"]
    lb.json("calendar", "import", put("2026-12-26\n"), "--name", "berlin", "--replace")
    assert [row["day"][-2:] for row in lb.json("calendar", "show", "berlin")] == ["26"]


def test_a_list_tells_which_calendars_are_named_by_schedules(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    lb.json("calendar", "import", put(LINES), "--name", "berlin")
    lb.json("add", "backup", "--cron", "@daily", "--command", "true")
    lb.sql("UPDATE schedules SET calendar = 'empty'")
    berlin, empty = lb.json("calendar", "list")
    assert berlin == {
        "name": "berlin",
        "days": 2,
        "first": "2026-12-25",
        "last": "2026-12-27",
        "excluded": 1,
        "added": 1,
        "schedules": 0,
    }
    assert (empty["name"], empty["days"], empty["schedules"]) == ("empty", 0, 1)


def test_what_cannot_be_read_changes_nothing(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    assert lb("calendar", "import", put("tomorrow\n"), "--name", "berlin").code == 2
    assert lb("calendar", "import", put(""), "--name", "berlin").code == 2
    assert lb("calendar", "import", put(LINES), "--name", "berlin", "--from", "2026-02-30").code == 2
    assert lb("calendar", "show", "berlin").code == 3
