"""What the pages say is there, and is so."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
THIS = Path(__file__)
SCRIPTS = ("scripts/demo", "scripts/test", "scripts/check", "scripts/servers", ".ci/run")


def files() -> Iterator[Path]:
    """Every text file of the repository, whether committed yet or not."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, listed):
        path = ROOT / name
        if path.is_file() and path != THIS and b"\0" not in path.read_bytes():
            yield path


def pages() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


def code_blocks(page: Path) -> Iterator[str]:
    for block in re.findall(r"(?ms)^```[a-z]*\n(.*?)^```", page.read_text()):
        yield from block.splitlines()


@cache
def commands() -> set[str]:
    from leasebeat.cli.commands import COMMANDS

    return {*(name.split()[0] for name in COMMANDS), "worker"}


def test_the_readme_begins_with_two_commands_that_are_there() -> None:
    lines = list(code_blocks(ROOT / "README.md"))
    assert {line.split()[0] for line in lines if line.startswith("scripts/")} >= {
        "scripts/demo",
        "scripts/test",
    }


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_can_be_run_and_read_by_the_shell(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    assert subprocess.run(["bash", "-n", str(ROOT / name)], check=False).returncode == 0


def test_every_script_that_a_page_names_is_there() -> None:
    named = {
        (page.name, name)
        for page in pages()
        for name in re.findall(
            r"(?:^|[\s`(])((?:scripts|deploy|config|docs|benchmarks)/[\w./-]*\w)", page.read_text()
        )
    }
    made_later = {".db"}
    gone = [
        pair for pair in named if not (ROOT / pair[1]).exists() and Path(pair[1]).suffix not in made_later
    ]
    assert gone == []


def test_every_command_that_a_page_shows_is_there() -> None:
    shown = {
        (page.name, word)
        for page in pages()
        for word in re.findall(
            r"(?:python scheduler\.py|(?<!/)\bleasebeat) ([a-z][a-z-]*)\b(?![\w.])", page_code(page)
        )
    }
    assert sorted(pair for pair in shown if pair[1] not in commands()) == []


def page_code(page: Path) -> str:
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page.read_text())
    return "\n".join([*code_blocks(page), *spans])


def test_links_between_pages_resolve() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages()
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
        if not target.startswith(("https://", "http://")) and not (page.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)


def test_anchors_point_at_headings() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}#{anchor}"
        for page in pages()
        for target, anchor in re.findall(r"\]\(([^)#\s:]*)#([^)]+)\)", page.read_text())
        if (there := page.parent / target if target else page).exists() and anchor not in anchors(there)
    ]
    assert not broken, "\n".join(broken)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text())
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_nobody_promises_what_nobody_can() -> None:
    promised = [
        f"{path.relative_to(ROOT)}: {found.group(0)!r}"
        for path in files()
        for found in re.finditer(r"(?is)(.{0,60})\bexactly[\s-]+once\b", path.read_text())
        if not re.search(r"(?i)\b(never|not|no|nobody|cannot|nor)\b", found.group(1))
    ]
    assert not promised, "\n".join(promised)


def test_no_text_knows_the_machine_it_was_written_on() -> None:
    places = re.compile(r"/work/(?:main|shared)|/root/|/home/[a-z]+/|/tmp/brief|/opt/wheels|\bpypi\.[a-z]+\.")
    found = [
        f"{path.relative_to(ROOT)}: {match.group(0)}"
        for path in files()
        for match in places.finditer(path.read_text())
    ]
    assert not found, "\n".join(found)


def requirements(name: str) -> dict[str, str]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    pairs = [re.fullmatch(r"(\S+?)(?:==(\S+))?(?: \S+)?\s+# (.+)", line) for line in lines]
    assert all(pairs), f"{name}: a line without its reason"
    return {pair[1].lower(): pair[2] for pair in pairs if pair and pair[2]}


def test_every_requirement_is_pinned_and_has_its_reason() -> None:
    pinned = requirements("requirements.txt")
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split(r"[<>=]", want)[0].lower() for want in wanted} <= set(pinned)
    assert requirements("requirements-dev.txt")


def test_the_pins_lie_inside_the_ranges() -> None:
    from packaging.requirements import Requirement

    pinned = requirements("requirements.txt")
    for want in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        requirement = Requirement(want)
        assert requirement.specifier.contains(pinned[requirement.name.lower()]), want
