from __future__ import annotations

import os
import pty
import re
import sys

import pytest

from leasebeat.cli.exits import Usage
from leasebeat.cli.moments import key_parts, length, moment_ago
from leasebeat.cli.output import Column, plain, print_table
from leasebeat.cli.text import visible, visible_lines
from leasebeat.model.instant import SECOND, from_text

NOON = from_text("2026-11-20T12:00:00Z")
KEY = "a-schedule-with-a-long-name/and-a-folder@2026-11-20T03:00:00.000001Z#12"


def printed_on_a_terminal(columns: list[Column], rows: list[list[object]], width: int) -> list[str]:
    """What `print_table` writes to a terminal that wide, without the colours that it adds."""
    leader, follower = pty.openpty()
    with pytest.MonkeyPatch.context() as patch, open(follower, "w") as terminal:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("TERM", "xterm")
        patch.setattr(sys, "stdout", terminal)
        print_table(columns, rows)
    text = os.read(leader, 65536).decode()
    os.close(leader)
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in text.splitlines()]


def test_control_sequences_are_shown_and_not_sent() -> None:
    assert visible("a\x1b]0;title\x07b\r\nc\x9b2J") == r"a\x1b]0;title\x07b\r\nc\x9b2J"


def test_marks_that_turn_the_reading_direction_are_shown() -> None:
    assert visible("abc\u202etxt.exe") == r"abc\u202etxt.exe"


def test_letters_of_all_scripts_stay_as_they_are() -> None:
    assert visible("Größe 大小 ✓") == "Größe 大小 ✓"


def test_lines_and_tabs_of_output_stay_and_carriage_returns_are_shown() -> None:
    assert visible_lines("a\tb\r\n50%\r100%\n") == "a\tb\n50%\\r100%\n"


def test_json_has_instants_as_text_and_json_columns_as_what_they_hold() -> None:
    record = {
        "fire_at": NOON,
        "until": None,
        "args": '{"cwd": "/srv"}',
        "enabled": 1,
        "priority": 1,
        "after": "?",
    }
    assert plain(record) == {
        "fire_at": "2026-11-20T12:00:00Z",
        "until": None,
        "args": {"cwd": "/srv"},
        "enabled": True,
        "priority": 1,
        "after": "?",
    }


def test_a_table_in_a_pipe_keeps_everything(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        [Column("KEY", "fold"), Column("REASON", "cut"), Column("N", right=True)], [[KEY, "x" * 200, 5]]
    )
    head, row = capsys.readouterr().out.splitlines()
    assert row == f"{KEY}  {'x' * 200}  5"
    assert head.split() == ["KEY", "REASON", "N"]


def test_a_table_on_a_terminal_fits_it_and_keys_stay_whole() -> None:
    lines = printed_on_a_terminal([Column("KEY", "fold"), Column("REASON", "cut")], [[KEY, "x" * 200]], 60)
    assert max(map(len, lines)) <= 60
    assert "".join(line.split("  ")[0] for line in lines[1:]) == KEY
    assert "…" in lines[1]


def test_on_a_narrow_terminal_texts_give_way_to_instants_and_statuses() -> None:
    columns = [Column("NAME", "fold"), Column("CRON", "cut"), Column("NEXT"), Column("STATUS")]
    row = ["billing/close-of-the-month", "*/5 8-17 * * mon-fri", "2026-11-20T03:00:00Z", "succeeded"]
    lines = printed_on_a_terminal(columns, [list(row)], 80)
    assert lines[1].split("  ") == [row[0], "*/5 8-17 * * mon-f…", row[2], row[3]]
    narrow = printed_on_a_terminal(columns, [list(row)], 66)
    assert narrow[1].split("  ") == ["billing/close-of-the-mo", "*/5 8-1…", row[2], row[3]]


def test_cells_of_a_table_send_no_control_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Column("NAME")], [["evil\x1b[2J\nname"]])
    assert capsys.readouterr().out == "NAME\nevil\\x1b[2J\\nname\n"
    assert printed_on_a_terminal([Column("NAME")], [["evil\x1b[2J"]], 80)[1] == r"evil\x1b[2J"


def test_markup_of_the_table_library_is_plain_text() -> None:
    assert printed_on_a_terminal([Column("NAME")], [["[red]a[/red]"]], 80)[1] == "[red]a[/red]"


@pytest.mark.parametrize(("text", "seconds"), [("20s", 20), ("1h30m", 5400), ("2d", 172800), ("1w", 604800)])
def test_lengths_of_time(text: str, seconds: int) -> None:
    assert length("--in", text) == seconds * SECOND


@pytest.mark.parametrize("text", ["", "20", "h", "1.5h", "-1h", "1 h", "٣s"])
def test_what_is_no_length_of_time_is_a_usage_error(text: str) -> None:
    with pytest.raises(Usage, match="like 90s or 1h30m"):
        length("--in", text)


def test_since_takes_a_length_of_time_or_an_instant() -> None:
    assert moment_ago("--since", "1h", NOON) == from_text("2026-11-20T11:00:00Z")
    assert moment_ago("--since", "2026-11-19T12:00:00+01:00", NOON) == from_text("2026-11-19T11:00:00Z")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-10:00", "999999999w"])
def test_what_no_store_can_hold_is_a_usage_error(text: str) -> None:
    with pytest.raises(Usage, match=r"^--since .*: expected"):
        moment_ago("--since", text, NOON)


def test_longer_ago_than_1970_is_the_beginning() -> None:
    assert moment_ago("--since", "3000w", NOON) == 0


def test_a_run_key_may_be_typed_with_an_offset_and_a_shard() -> None:
    assert key_parts("a@b@2026-11-20T04:00:00+01:00#3") == ("a@b", from_text("2026-11-20T03:00:00Z"), 3)


@pytest.mark.parametrize(
    "text",
    [
        "backup",
        "@2026-11-20T03:00:00Z",
        "backup@03:00",
        "backup@2026-11-20T03:00:00",
        "b@2026-11-20T03:00:00Z#x",
        "b@2026-11-20T03:00:00Z#99999999999999999999",
        "b@9999-12-31T23:59:59-10:00",
    ],
)
def test_what_is_no_run_key_is_a_usage_error(text: str) -> None:
    with pytest.raises(Usage) as caught:
        key_parts(text)
    assert str(caught.value) == f"run key {text!r}: expected NAME@INSTANT, like backup@2026-11-20T03:00:00Z"
