from __future__ import annotations

import subprocess
import sys

import pytest

from leasebeat.cli import main
from leasebeat.cli.worker import overrides, parser


def settings_for(line: str) -> dict[str, str]:
    found = parser()
    return overrides(found.parse_args(line.split()), found)


def test_no_flags_override_nothing() -> None:
    assert settings_for("") == {}


def test_each_flag_is_a_setting() -> None:
    flags = "--name n1 --slots 4 --queues default,heavy:2 --roles execute --log-json --log-level DEBUG"
    assert settings_for(flags) == {
        "node.name": "n1",
        "node.slots": "4",
        "node.queues": "default,heavy:2",
        "node.roles": "execute",
        "log.json": "true",
        "log.level": "DEBUG",
    }


def test_set_reaches_every_setting_and_keeps_equal_signs() -> None:
    assert settings_for("--set node.beat_s=5 --set alerts.command=a=b") == {
        "node.beat_s": "5",
        "alerts.command": "a=b",
    }


@pytest.mark.parametrize("pair", ["node.beat_s", "=", "=5"])
def test_a_set_without_a_key_and_a_value_is_exit_code_2(
    pair: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["worker", "--set", pair]) == 2
    assert "expected SECTION.KEY=VALUE, like node.beat_s=5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pair", "advice"),
    [
        ("node.slotz=2", "did you mean node.slots?"),
        ("beat_s=5", "did you mean node.beat_s?"),
        ("x=5", "expected SECTION.KEY=VALUE, like node.beat_s=5"),
    ],
)
def test_a_set_of_an_unknown_setting_is_exit_code_78_and_names_the_nearest(
    pair: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["worker", "--set", pair]) == 78
    setting = pair.partition("=")[0]
    assert capsys.readouterr().err == f"leasebeat: --set {setting}: unknown key; {advice}\n"


def test_a_flag_that_does_not_exist_is_exit_code_2() -> None:
    assert main(["worker", "--krone"]) == 2


def test_settings_that_cannot_be_used_are_exit_code_78(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "--slots", "none"]) == 78
    assert "flag node.slots = 'none'" in capsys.readouterr().err


def test_the_workers_path_imports_none_of_the_other_commands_libraries() -> None:
    code = (
        "import sys, leasebeat.cli.worker as w; w._settings(); print({'rich', 'cyclopts'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "set()\n"
