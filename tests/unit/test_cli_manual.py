from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from leasebeat.cli import main
from leasebeat.cli.commands import COMMANDS
from leasebeat.cli.exits import exit_code
from leasebeat.cli.manual import manual
from leasebeat.errors import LeasebeatError

PAGE = Path(__file__).parents[2] / "docs/cli.md"


def test_the_page_is_what_the_commands_say_of_themselves() -> None:
    hint = "run: python -m leasebeat.cli.manual > docs/cli.md"
    assert PAGE.read_text(encoding="utf-8") == manual(), hint


@pytest.mark.parametrize("name", [*COMMANDS, "worker"])
def test_every_command_has_help_in_which_every_option_is_explained(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert text.lower().startswith("usage: leasebeat " + name)
    assert "Example: leasebeat " + name in text
    options = [line.strip() for line in text.splitlines() if line.startswith("  --")]
    assert [line for line in options if name != "worker" and ": " not in line] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_json_and_config(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([*name.split(), "--help"])
    text = capsys.readouterr().out
    assert "--json" in text
    assert "--config PATH" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_of_its_command(name: str) -> None:
    words = ["leasebeat", *name.split()]
    assert shlex.split(COMMANDS[name][1])[: len(words)] == words


def test_every_error_has_an_exit_code_that_the_page_explains() -> None:
    found: list[type[LeasebeatError]] = [LeasebeatError]
    for kind in found:
        found.extend(kind.__subclasses__())
    codes = {exit_code(kind("x")) for kind in found}
    assert codes <= {1, 2, 3, 4, 69, 78}
    assert all(f"\n| {code} | " in PAGE.read_text(encoding="utf-8") for code in codes)
