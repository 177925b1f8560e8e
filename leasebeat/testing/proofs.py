"""The page of policies: every column and value of `schedules`, what it promises, and what proves it.

    python -m leasebeat.testing.proofs > docs/policies.md

Tests say by `@proves('overlap', 'skip')` what they prove; they are read, not run, to find that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from leasebeat.testing.promises import PROMISES, Promise

__all__ = ["Marker", "markers", "page"]

ROOT = Path(__file__).parents[2]
TRIALS = Path("tests/acceptance/policies")

_BY_STATEMENT = ("lanes", "queues", "runs", "updated_at", "version")
"""What is no column of the INSERT: where it is ignored the statements of its test are not made."""

HEAD = """\
# Policies, and what proves them

Written by `python -m leasebeat.testing.proofs > docs/policies.md` from the marks
`@proves(COLUMN, VALUE)` of the tests.

The tests under **three nodes** are in `tests/acceptance/policies`. All their schedules are inserted
by plain SQL into one store, and three `worker.py` processes run them side by side, Redis beside
MariaDB. Some seconds later one worker is killed (SIGKILL) and started again, and another one stands
still (SIGSTOP) until it is purged. Then each test judges its own schedules, by what their tasks wrote
and by the tables: once on SQLite and once on MariaDB.

The same is done once more with every policy **ignored**, as the last column says: where nothing else
stands there, its column is left out of the INSERT and has its default. A test counts only if it fails
then (`test_no_proof_holds_where_its_policy_is_ignored`).

The same policies run in the simulation with crashes, pauses, lost replies and edits: the checkers are
in `leasebeat/testing/simulation`, with the rules that are taken out one by one in `mutations.py`.

| column | value | what it promises | three nodes | other tests | where it is ignored |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Marker:
    """One `@proves`. `ignored` is what stands in place of the policy, as the test has it; "": its default."""

    column: str
    value: str
    test: str
    path: Path
    ignored: str = ""
    stores: tuple[str, ...] = ("SQLite", "MariaDB")

    @property
    def on_three_nodes(self) -> bool:
        """Whether it is judged in the trials."""
        return self.path.is_relative_to(TRIALS)


def markers(root: Path = ROOT) -> list[Marker]:
    """All marks of all tests, in the order of their files."""
    return [
        marker
        for path in sorted((root / "tests").rglob("test_*.py"))
        for marker in _of(path.relative_to(root), ast.parse(path.read_text()))
    ]


def _of(path: Path, tree: ast.Module) -> Iterator[Marker]:
    for test in tree.body:
        if isinstance(test, ast.FunctionDef):
            calls = [node for node in test.decorator_list if isinstance(node, ast.Call)]
            for call in calls:
                if ast.unparse(call.func) == "proves":
                    yield _marker(path, test.name, call, _stores(calls))


def _marker(path: Path, test: str, call: ast.Call, stores: tuple[str, ...]) -> Marker:
    column, value = (ast.literal_eval(word) for word in call.args[:2])
    ignored = [ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == "ignored"]
    return Marker(column, value, test, path, "".join(ignored), stores)


def _stores(calls: Iterable[ast.Call]) -> tuple[str, ...]:
    """Of a test whose fixture `seen` has a parameter of its own, only that store."""
    for call in calls:
        if ast.unparse(call.func) == "pytest.mark.parametrize" and "mariadb" in ast.unparse(call):
            return ("MariaDB",)
    return ("SQLite", "MariaDB")


def page() -> str:
    """The whole page."""
    found = markers()
    return HEAD + "".join(f"{_row(promise, found)}\n" for promise in PROMISES)


def _row(promise: Promise, found: list[Marker]) -> str:
    of_it = [m for m in found if (m.column, m.value) == promise[:2]]
    trials = [marker for marker in of_it if marker.on_three_nodes]
    others = sorted({f"`{marker.test}`" for marker in of_it if not marker.on_three_nodes})
    cells = [
        f"`{promise.column}`",
        f"`{promise.value}`",
        promise.text,
        _three_nodes(promise, trials),
        ", ".join(others),
        ", ".join(dict.fromkeys(_ignored(marker) for marker in trials)),
    ]
    return "| " + " | ".join(cells) + " |"


def _three_nodes(promise: Promise, trials: list[Marker]) -> str:
    tests = ", ".join(f"`{marker.test}`" for marker in trials)
    if not trials:
        return f"not judged there: {promise.elsewhere}"
    stores = " and ".join(trials[0].stores)
    return f"{tests}: {stores}" + (f" ({promise.elsewhere})" if promise.elsewhere else "")


def _ignored(marker: Marker) -> str:
    if marker.column.partition(".")[0] in _BY_STATEMENT:
        return "its statements are left out"
    return f"`{marker.ignored}` in its place" if marker.ignored else "left out"


if __name__ == "__main__":
    print(page(), end="")
