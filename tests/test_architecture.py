"""The shape of the code: arrows point one way, nothing grows too long, one door to time."""

from __future__ import annotations

import ast
import importlib
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULE_LINES, FUNCTION_LINES, MEDIAN_LINES = 450, 60, 8

PORTS = {"store.base", "gate.base", "coordination.base", "executors.base", "journal.base"}
GROUND = {"", "errors", "runtime", "faults", "logs", "settings", "model"}

MAY_IMPORT: dict[str, set[str]] = {
    # Nothing of ours below these.
    "": {"context"},
    "errors": set(),
    "runtime": set(),
    "values": set(),
    "store.url": set(),
    # No I/O here.
    "model": {"errors", "model"},
    "triggers": {"errors", "model", "triggers"},
    "layers": {"errors", "values"},
    "settings": {"errors", "layers", "values", "store.url"},
    "logs": {"errors", "settings"},
    "faults": {"errors"},
    "fencing": {"errors", "context"},
    "context": {"errors", "model", "executors.base"},
    # Ports, and what fills them: an adapter knows its own port and no other adapter.
    **{port: {"errors", "model"} for port in PORTS},
    "coordination.base": {"errors", "model", "runtime"},
    "store.rows": {"model"},
    "store.base": {"errors", "model", "store.rows"},
    "store": GROUND | {"store", "triggers"},
    "gate": GROUND | {"gate"},
    "coordination": GROUND | {"coordination"},
    "executors": GROUND | {"executors", "context"},
    "alerts": GROUND | {"alerts"},
    "journal.base": {"errors", "model", "store.rows"},
    "journal": GROUND | {"journal", "store.rows"},
    # The node knows ports only: that is what lets the simulation drive it.
    "node": (GROUND - {"settings"}) | PORTS | {"triggers", "node", "executors.rules"},
    # What became of an instant, from rows alone.
    "explain": {"errors", "model", "triggers", "explain"},
    # The composition root picks; commands ask it.
    "host": GROUND | {"triggers"},
    "coordinators": GROUND | {"store", "coordination"},
    "app": GROUND
    | {
        "coordinators",
        "host",
        "triggers",
        "node",
        "store",
        "gate",
        "coordination",
        "executors",
        "alerts",
        "journal",
    },
    "cli": GROUND
    | {
        "values",
        "app",
        "coordinators",
        "cli",
        "triggers",
        "explain",
        "node.graph",
        "node.judge",
        "store",
        "gate.base",
        "executors.base",
    },
    "testing": GROUND
    | PORTS
    | {"triggers", "node", "store", "gate", "coordination", "testing"}
    | {"explain", "cli.inquiry"},  # a trial asks what the command asks
}
"""Which part may import which; a part is known by the longest of these names that fits."""

ADAPTERS = {
    "store.mysql",
    "store.sqlite",
    "gate.redis",
    "executors.shell",
    "executors.python",
    "executors.http",
    "executors.publish",
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / "leasebeat").rglob("*.py")):
        words = path.relative_to(ROOT / "leasebeat").with_suffix("").parts
        yield ".".join(word for word in words if word != "__init__"), path


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def part(module: str, among: set[str]) -> str | None:
    words = module.split(".")
    prefixes = [".".join(words[:count]) for count in range(len(words), -1, -1)]
    return next((prefix for prefix in prefixes if prefix in among), None)


def imports(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, wherever in it."""
    there = {name for name, _ in modules()}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name[10:] for alias in node.names if alias.name.startswith("leasebeat."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "leasebeat":
            inside = (node.module or "")[10:]
            for alias in node.names:
                deeper = f"{inside}.{alias.name}".lstrip(".")
                yield deeper if deeper in there else inside


def functions() -> Iterator[tuple[str, int]]:
    for name, path in modules():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name}.{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def test_every_part_has_its_place() -> None:
    assert [name for name, _ in modules() if part(name, set(MAY_IMPORT)) == "" and name] == []


def test_arrows_point_one_way() -> None:
    wrong: list[str] = []
    for name, path in modules():
        allowed = MAY_IMPORT[part(name, set(MAY_IMPORT)) or ""]
        for target in imports(path):
            if target != name and not allows(allowed, target):
                wrong.append(f"{name} imports {target or 'leasebeat'}")
    assert not wrong, "\n".join(wrong)


def allows(allowed: set[str], target: str) -> bool:
    found = part(target, set(MAY_IMPORT) | allowed)
    while found:
        if found in allowed:
            return True
        found = found.rpartition(".")[0]
    return target == ""


def test_the_rule_sees_a_wrong_arrow() -> None:
    assert not allows(MAY_IMPORT["node"], "store.mysql")
    assert not allows(MAY_IMPORT["gate"], "store.base")
    assert not allows(MAY_IMPORT["model"], "runtime")
    assert allows(MAY_IMPORT["node"], "store.base")
    assert allows(MAY_IMPORT["store"], "store.sql_runs")


def test_only_the_composition_root_picks_adapters() -> None:
    pickers = {name for name, path in modules() for target in imports(path) if target in ADAPTERS}
    allowed = {"app", *ADAPTERS, "executors", "store", "testing"}
    assert {name for name in pickers if part(name, allowed) in (None, "")} == set()


def test_nothing_of_the_product_needs_the_testing_package() -> None:
    users = {name for name, path in modules() if any(part(target, {"testing"}) for target in imports(path))}
    assert {name for name in users if not name.startswith("testing")} == set()


def test_no_module_is_longer_than_can_be_read_at_once() -> None:
    sizes = {name: len(path.read_text().splitlines()) for name, path in modules()}
    long = [f"{name}: {size}" for name, size in sizes.items() if size > MODULE_LINES]
    assert not long, "\n".join(long)


def test_no_function_is_longer_than_a_screen() -> None:
    long = [f"{name}: {size}" for name, size in functions() if size > FUNCTION_LINES]
    assert not long, "\n".join(long)


def test_most_functions_are_short() -> None:
    assert statistics.median(size for _, size in functions()) <= MEDIAN_LINES


def documented_in_ports() -> set[str]:
    """Methods that a Protocol or ABC describes: whoever fills it need not say it again."""
    described: set[str] = set()
    for _, path in modules():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and {ast.unparse(base) for base in node.bases} & {
                "Protocol",
                "ABC",
            }:
                described |= {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
    return described


def undocumented_methods() -> Iterator[str]:
    described = documented_in_ports()
    for name, path in modules():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
                continue
            for item in node.body:
                if not isinstance(item, ast.FunctionDef) or item.name.startswith("_"):
                    continue
                if item.name not in described and not ast.get_docstring(item):
                    yield f"{name}.{node.name}.{item.name}"


def test_every_public_method_says_what_it_does() -> None:
    silent = list(undocumented_methods())
    assert not silent, "\n".join(silent)


def declared(path: Path) -> list[str] | None:
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return None


def test_packages_that_hand_something_on_say_what() -> None:
    silent = [
        name
        for name, path in modules()
        if path.name == "__init__.py"
        and any(isinstance(node, ast.ImportFrom) and node.module != "__future__" for node in tree(path).body)
        and declared(path) is None
    ]
    assert silent == []


@pytest.mark.parametrize("name", [name for name, path in modules() if declared(path) is not None])
def test_what_a_module_declares_public_is_there(name: str) -> None:
    module = importlib.import_module(f"leasebeat.{name}".rstrip("."))
    missing = [word for word in module.__all__ if not hasattr(module, word)]
    assert missing == []
    assert len(set(module.__all__)) == len(module.__all__)


BANNED: dict[str, str] = {
    "time.time": "import time\ntime.time()\n",
    "time.sleep": "from time import sleep\nsleep(1)\n",
    "time.monotonic": "import time\ntime.monotonic()\n",
    "datetime.datetime.now": "from datetime import UTC, datetime\ndatetime.now(UTC)\n",
    "datetime.datetime.utcnow": "from datetime import datetime\ndatetime.utcnow()\n",
    "random": "import random\nrandom.random()\n",
    "uuid.uuid4": "from uuid import uuid4\nuuid4()\n",
    "threading.Thread": "import threading\nthreading.Thread()\n",
    "threading.Event": "from threading import Event\nEvent()\n",
}


def test_the_linter_bans_every_way_around_the_runtime() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert set(rules["flake8-tidy-imports"]["banned-api"]) == set(BANNED)
    for name, code in BANNED.items():
        command = [sys.executable, "-m", "ruff", "check", "-q", "--output-format=concise"]
        command += ["--stdin-filename", str(ROOT / "leasebeat/node/sample.py"), "-"]
        said = subprocess.run(command, input=code, capture_output=True, text=True, check=False, cwd=ROOT)
        assert "TID251" in said.stdout, f"{name} is not caught"


def test_nobody_switches_the_ban_off_in_passing() -> None:
    exempt = [name for name, path in modules() if "noqa: TID251" in path.read_text()]
    assert exempt == []


def test_no_row_and_no_message_is_ever_code() -> None:
    called = {"eval", "exec", "compile", "__import__"}
    wrong = [
        f"{name}:{node.lineno}"
        for name, path in modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in called
    ]
    assert wrong == []
