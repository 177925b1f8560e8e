"""The log: one line per event, whatever its parts hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from leasebeat import logs
from leasebeat.errors import Refused
from leasebeat.logs import event
from leasebeat.settings import Log

ROOT = Path(__file__).parents[2]


def logged(*, as_json: bool = False, secrets: tuple[str, ...] = (), **fields: object) -> str:
    lines: list[str] = []
    logs.configure(Log(json=as_json), secrets, lines.append)
    event("INFO", "run_started", "run started", **fields)
    assert len(lines) == 1
    return lines[0].rstrip("\n")


def test_an_event_is_a_line_with_its_time_level_sentence_and_fields() -> None:
    time, rest = logged(key="backup@2026-11-20T03:00:00Z", attempt=1).split(" ", 1)
    assert time.endswith("Z")
    assert len(time) == len("2026-11-20T03:00:00.000000Z")
    assert rest == "INFO    run started action=run_started key=backup@2026-11-20T03:00:00Z attempt=1"


def test_values_with_spaces_are_quoted() -> None:
    assert logged(reason='said "no" twice', empty="").endswith(r'reason="said \"no\" twice" empty=""')


@pytest.mark.parametrize("bad", ["a\nb", "a\x1b[31mb", "a\x00b", "a\u2028b", "a\u202eb", "a\x9bb", "a\rb"])
def test_nothing_can_forge_a_line_or_drive_a_terminal(bad: str) -> None:
    for line in (logged(name=bad), logged(name=bad, as_json=True)):
        assert line.isprintable()
        assert "\\" in line


def test_braces_and_angle_brackets_stay_as_they_are() -> None:
    assert logged(command="{0} <red> {name}").endswith('command="{0} <red> {name}"')


def test_known_secrets_are_masked_the_longest_first() -> None:
    assert logged(secrets=("s3", "s3cret"), a="xs3crety").endswith("a=x***y")


def test_passwords_in_urls_are_masked_even_unknown_ones() -> None:
    line = logged(url="mysql://lb:pw@db/x", other="redis://:pw@h:1/0", plain="http://h/a:b@c")
    assert line.endswith("url=mysql://lb:***@db/x other=redis://:***@h:1/0 plain=http://h/a:b@c")


def test_json_lines_have_the_same_words() -> None:
    line = json.loads(logged(as_json=True, attempt=2, gone=None, secrets=("pw",), text="pw\n"))
    del line["at"]
    assert line == {
        "level": "INFO",
        "message": "run started",
        "action": "run_started",
        "attempt": 2,
        "gone": None,
        "text": "***\n",
    }


def test_an_expected_error_is_told_without_its_trace() -> None:
    assert logged(error=Refused("not now")).endswith('error="Refused: not now"')


def test_an_unexpected_error_brings_its_trace_on_the_same_line() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 // 0
    line = logged(error=caught.value)
    assert 'error="ZeroDivisionError: ' in line
    assert r"\n" in line
    assert "test_logs.py" in line


def test_what_is_below_the_level_is_not_written() -> None:
    lines: list[str] = []
    logs.configure(Log(level="WARNING"), sink=lines.append)
    event("INFO", "beat", "beat")
    event("WARNING", "gate_lost", "the gate is lost")
    assert [line.split()[1] for line in lines] == ["WARNING"]


def test_without_a_sink_events_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log())
    event("INFO", "beat", "beat")
    assert capsys.readouterr().err.endswith("beat action=beat\n")


def test_nothing_is_written_before_the_log_is_configured() -> None:
    code = "from leasebeat.logs import event; event('ERROR', 'lost', 'lost')"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)
    assert (ran.stdout, ran.stderr) == (b"", b"")
