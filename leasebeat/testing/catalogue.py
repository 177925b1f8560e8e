"""The page of faults: what can go wrong, what Leasebeat then does, and which tests show it.

    python -m leasebeat.testing.catalogue > docs/faults.md

Tests say by `@pytest.mark.fault(21)` which faults they show, checkers by `@invariant("I4")` what they
hold; both are read, not run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from leasebeat.testing.fault_rows import FAULTS, Fault
from leasebeat.testing.invariants import INVARIANTS

__all__ = ["Mark", "checkers", "excused", "marks", "of_source", "page", "unshown"]

ROOT = Path(__file__).parents[2]
TESTING = Path("leasebeat/testing")
SIMULATION = TESTING / "simulation"

FAULT = "pytest.mark.fault"

HEAD = """\
# Faults, and what shows that they are survived

Written by `python -m leasebeat.testing.catalogue > docs/faults.md` from the marks
`@pytest.mark.fault(NUMBER)` of the tests and the marks `@invariant(NUMBER)` of the checkers.
[guarantee.md](guarantee.md) has the promises.

Each row is a fault that other schedulers were broken by. The tests do it to real processes, servers and files
where the fault is about those.
"""

INVARIANTS_HEAD = """\
## What must hold of every history

Where faults come at random nobody can say what a single run should become. What must hold all the same
is checked afterwards: in the simulation by the journal of its store and its tasks, with real workers by
what the tasks themselves wrote and by the tables.

| | what must hold | in the simulation | with real workers |
|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """A function that is marked, and where it is."""

    names: tuple[int | str, ...]
    function: str
    path: Path

    @property
    def sentence(self) -> str:
        """A test's name as one reads it."""
        return self.function.removeprefix("test_").replace("_", " ")


# --- faults and their tests ----------------------------------------------------------------------


def marks(root: Path = ROOT) -> list[Mark]:
    """The marked tests, in the order of their files. Raises ValueError for a number that no fault has."""
    return [
        mark
        for path in sorted((root / "tests").rglob("test_*.py"))
        for mark in of_source(path.read_text(), path.relative_to(root))
    ]


def of_source(source: str, path: Path) -> list[Mark]:
    """The marked tests of one file: by themselves, in a parameter, by their class or their module.

    Raises ValueError for a number that no fault has.
    """
    tree = ast.parse(source)
    assigned = {
        name: node.value for node in tree.body if isinstance(node, ast.Assign) for name in _names(node)
    }
    whole = _numbers([assigned["pytestmark"]] if "pytestmark" in assigned else [], assigned, path)
    return list(_of_body(tree.body, whole, assigned, path))


def _of_body(
    body: list[ast.stmt], inherited: frozenset[int], assigned: dict[str, ast.expr], path: Path
) -> Iterator[Mark]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            own = inherited | _numbers(node.decorator_list, assigned, path)
            yield from _of_body(node.body, own, assigned, path)
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            numbers = inherited | _numbers(node.decorator_list, assigned, path)
            if numbers:
                yield Mark(tuple(sorted(numbers)), node.name, path)


def _names(node: ast.Assign) -> Iterator[str]:
    return (target.id for target in node.targets if isinstance(target, ast.Name))


def _numbers(found: Iterable[ast.expr], assigned: dict[str, ast.expr], path: Path) -> frozenset[int]:
    """The numbers of all marks within, also of parameters that stand in a list of the module."""
    numbers: set[int] = set()
    for node in (node for expression in found for node in ast.walk(expression)):
        if isinstance(node, ast.Name) and node.id in assigned:
            numbers |= _numbers([assigned[node.id]], {}, path)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == FAULT:
            numbers |= {ast.literal_eval(argument) for argument in node.args}
    if unknown := numbers - {fault.number for fault in FAULTS}:
        raise ValueError(f"{path}: no fault has the number {', '.join(map(str, sorted(unknown)))}")
    return frozenset(numbers)


def excused() -> list[Fault]:
    """The faults that no test shows, with the reason."""
    return [fault for fault in FAULTS if fault.untested]


def unshown(found: Iterable[Mark]) -> list[Fault]:
    """The faults that neither a test shows nor a reason excuses."""
    shown = {name for mark in found for name in mark.names}
    return [fault for fault in FAULTS if fault.number not in shown and not fault.untested]


# --- invariants and their checkers ---------------------------------------------------------------


def checkers(root: Path = ROOT) -> list[Mark]:
    """The marked checkers, in the order of their files."""
    return [
        mark
        for path in sorted((root / TESTING).rglob("*.py"))
        for mark in _checkers_of(ast.parse(path.read_text()), path.relative_to(root))
    ]


def _checkers_of(tree: ast.Module, path: Path) -> Iterator[Mark]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("invariant"):
                    yield Mark(tuple(ast.literal_eval(name) for name in call.args), node.name, path)


# --- the page ------------------------------------------------------------------------------------


def page(root: Path = ROOT) -> str:
    """The whole page."""
    tests, checks = marks(root), checkers(root)
    groups = groupby(FAULTS, key=lambda fault: fault.group)
    sections = [_section(group, list(faults), tests) for group, faults in groups]
    rows = [_invariant(name, meaning, checks) for name, meaning in INVARIANTS.items()]
    return "\n".join([HEAD, *sections, INVARIANTS_HEAD]) + "".join(rows)


def _section(group: str, faults: Iterable[Fault], tests: list[Mark]) -> str:
    head = f"## {group}\n\n| | what happens | what Leasebeat does | shown by |\n|---|---|---|---|\n"
    return head + "".join(_fault(fault, tests) for fault in faults)


def _fault(fault: Fault, tests: list[Mark]) -> str:
    shown = _shown(mark for mark in tests if fault.number in mark.names)
    instead = f"no test: {fault.untested}" if fault.untested else "no test yet"
    return f"| {fault.number} | {fault.fault} | {fault.answer} | {shown or instead} |\n"


def _shown(tests: Iterable[Mark]) -> str:
    by_file = groupby(tests, key=lambda mark: mark.path)
    return "; ".join(
        f"{', '.join(mark.sentence for mark in of_it)} ([{path.stem}](../{path}))" for path, of_it in by_file
    )


def _invariant(name: str, meaning: str, found: Iterable[Mark]) -> str:
    of_it = [mark for mark in found if name in mark.names]
    simulated = _functions(mark for mark in of_it if mark.path.is_relative_to(SIMULATION))
    real = _functions(mark for mark in of_it if not mark.path.is_relative_to(SIMULATION))
    return f"| {name} | {meaning} | {simulated or 'no checker yet'} | {real or 'no checker yet'} |\n"


def _functions(found: Iterable[Mark]) -> str:
    return ", ".join(f"[`{mark.function.strip('_')}`](../{mark.path})" for mark in found)


if __name__ == "__main__":
    print(page(), end="")
