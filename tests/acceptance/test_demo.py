"""The first command of the README."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from leasebeat.testing.servers import processes_in

ROOT = Path(__file__).parents[2]

WANTED = {
    ("greet", "shell", "succeeded", 1),
    ("count", "python", "succeeded", 1),
    ("ping", "http", "succeeded", 1),
    ("flaky", "shell", "succeeded", 2),
    ("slow", "shell", "skipped", 0),
}


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [ROOT / "scripts/demo", "--folder", tmp_path / "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as started:
        yield started
        started.kill()


def ended(lines: Iterator[str]) -> Iterator[tuple[str, str, str, int]]:
    for line in lines:
        found = re.match(r"(\w+)@\S+ +(\w+) +(\w+) +attempt (\d)", line)
        if found:
            yield found[1], found[2], found[3], int(found[4])


@pytest.mark.slow
def test_the_demo_shows_every_kind_and_ends_cleanly(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    assert demo.stdout is not None
    seen: set[tuple[str, str, str, int]] = set()
    for run in ended(demo.stdout):  # the test's time-out bounds it
        seen.add(run)
        if seen >= WANTED:
            break
    demo.send_signal(signal.SIGINT)
    rest = demo.stdout.read()
    assert demo.wait(30) == 0
    assert re.search(r"Runs that ended: \d+ skipped, \d+ succeeded\.", rest)
    assert [psutil.Process(one.pid).cmdline() for one in processes_in(tmp_path)] == []


@pytest.mark.slow
def test_the_demo_ends_by_itself_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [ROOT / "scripts/demo", "--seconds", "3"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
    )
    assert "Runs that ended:" in done.stdout
    assert list(tmp_path.iterdir()) == []
