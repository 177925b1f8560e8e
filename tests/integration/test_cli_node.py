"""Commands that only make sense while a worker runs; one store is enough for what the worker does."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leasebeat.cli.commands import COMMANDS
from tests.integration.commands import Commands

WORKER = [sys.executable, str(Path(__file__).parents[2] / "worker.py")]

Eventually = Callable[[Callable[[], object], float], None]


@pytest.fixture
def node(lb_on_sqlite: Commands, tmp_path: Path) -> Iterator[Commands]:
    """A store with one schedule, `backup`, and a worker, `n1`, that runs."""
    lb_on_sqlite.json("add", "backup", "--cron", "@manual", "--command", "true")
    flags = ["--name", "n1", "--set", "node.beat_s=1", "--set", f"node.state_dir={tmp_path}/state"]
    with (
        (tmp_path / "worker.log").open("wb") as log,
        subprocess.Popen([*WORKER, *flags], stderr=log) as worker,
    ):
        yield lb_on_sqlite
        worker.terminate()
        worker.wait(30)


def test_run_wait_prints_what_the_task_printed_and_ends_as_it_ended(node: Commands) -> None:
    node.json("edit", "backup", "--command", "echo saved")
    result = node(*shlex.split(COMMANDS["run"][1])[1:])  # the example of docs/cli.md
    assert (result.code, result.out) == (0, "saved\n")
    assert ": succeeded" in result.err
    node.json("edit", "backup", "--command", "echo broken; exit 7")
    record = node("run", "backup", "--wait", "--json")
    assert (record.code, record.json["exit_code"], record.json["output"]) == (1, 7, "broken\n")


def test_a_running_task_is_killed_on_request_and_run_wait_tells(
    node: Commands, eventually: Eventually
) -> None:
    node.json("edit", "backup", "--command", "sleep 600")
    node.json("run", "backup")
    eventually(lambda: node.json("runs")[0]["status"] == "running", 20)
    node.json("pause", "--all", "--kill")
    eventually(lambda: node.json("runs")[0]["status"] == "killed", 20)


def test_a_node_is_cordoned_resumed_and_drained(node: Commands, eventually: Eventually) -> None:
    eventually(lambda: [row["state"] for row in node.json("nodes")] == ["live"], 20)
    for words, state in [(["--cordon"], "cordoned"), (["--resume"], "live")]:
        assert node.json("drain", "n1", *words) == {"node": "n1", "state": state}
        assert [row["state"] for row in node.json("nodes")] == [state]
    node.json("drain", "n1")
    eventually(lambda: node.json("nodes") == [], 20)
    assert [(row["node"], row["state"]) for row in node.json("nodes", "--all")] == [("n1", "left")]
    assert node("drain", "n1").code == 3
