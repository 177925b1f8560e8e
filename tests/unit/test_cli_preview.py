from __future__ import annotations

import json

import pytest

from leasebeat.cli import main


def test_preview_of_an_expression_prints_instants_in_utc_across_the_spring_change(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = "preview --timezone Europe/Berlin --from 2026-03-28T00:00:00Z -n 5 --json --cron"
    assert main([*words.split(), "0 3 * * *"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        "2026-03-28T02:00:00Z",
        "2026-03-29T01:00:00Z",
        "2026-03-30T01:00:00Z",
        "2026-03-31T01:00:00Z",
        "2026-04-01T01:00:00Z",
    ]


def test_preview_includes_the_instant_it_begins_at(capsys: pytest.CaptureFixture[str]) -> None:
    main(["preview", "--cron", "@hourly", "--from", "2026-11-20T05:00:00+02:00", "-n", "1", "--json"])
    assert json.loads(capsys.readouterr().out) == ["2026-11-20T03:00:00Z"]


def test_preview_for_people_shows_utc_and_the_zone_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["preview", "--cron", "@daily", "--timezone", "Asia/Tokyo", "--from", "2026-11-20T00:00:00Z"]
    main([*words, "-n", "2"])
    assert capsys.readouterr().out.splitlines() == [
        "UTC                   Asia/Tokyo",
        "2026-11-20T15:00:00Z  Sat 2026-11-21 00:00:00 +0900",
        "2026-11-21T15:00:00Z  Sun 2026-11-22 00:00:00 +0900",
    ]


def test_preview_notes_what_other_crons_would_make_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["preview", "--cron", "0 9 * * 1-5", "--from", "2026-11-20T00:00:00Z", "-n", "1"]
    assert main(words) == 0
    assert capsys.readouterr().err.startswith("note: the day of week 1-5 counts from Sunday = 0 here")
    assert main([*words, "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_preview_of_what_is_past_is_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["preview", "--cron", "@at 2026-01-01T00:00:00Z", "--from", "2026-11-20T00:00:00Z", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("cron", "told"),
    [("@manual", "it fires only when run by hand"), ("@at 2026-01-01T00:00:00Z", "its instant is over")],
)
def test_preview_says_why_there_is_no_instant(
    cron: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preview", "--cron", cron, "--from", "2026-11-20T00:00:00Z"]) == 0
    assert capsys.readouterr().out == f"{told}\n"


def test_an_expression_that_cannot_be_used_is_refused_with_exit_code_4(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["preview", "--cron", "0 0 31 2 *", "--json"]) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "never fires within eight years" in printed.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "NAME or --cron"),
        (["backup", "--cron", "@daily"], "NAME or --cron"),
        (["backup", "--timezone", "UTC"], "goes with --cron"),
        (["--cron", "@daily", "-n", "0"], "expected 1 to"),
        (["--cron", "@daily", "-n", "many"], "-n 'many': expected a whole number"),
        (["--cron", "@daily", "--from", "2026-11-20T03:00:00"], "expected an instant with its offset, like"),
        (["--cron", "@daily", "--from", "noon"], "like 2026-11-20T03:00:00Z"),
        (["--cron"], "requires an argument"),
        (["--krone", "@daily"], "--krone"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_exit_code_2_and_says_why(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preview", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert told in printed.err
