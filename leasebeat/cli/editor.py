"""`edit NAME` without `--set`: the row as TOML in the user's editor, until it can be used or is given up.

What is sent are the columns whose lines were changed, so that one that is wrong in the table and was
left alone does not keep the others from being mended.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from leasebeat.cli import toml
from leasebeat.cli.columns import Columns
from leasebeat.cli.exits import Usage
from leasebeat.cli.output import note
from leasebeat.errors import DefinitionError, Refused
from leasebeat.model.schedule import PEOPLES_COLUMNS
from leasebeat.node.judge import judge
from leasebeat.store.session import Record, SqlValue

if TYPE_CHECKING:
    from leasebeat.store.desk import Desk

__all__ = ["MEANINGS", "edit_by_hand", "page"]

MEANINGS: dict[str, str] = {
    "name": "What it is called.",
    "cron": "When: '0 3 * * *', '@every 90s', '@manual', ...",
    "command": "What: a shell line, module:function or URL.",
    **{
        name: hint.__metadata__[0].help for name, hint in get_type_hints(Columns, include_extras=True).items()
    },
}
"""What each column is, on one line."""

_LAST = ("after", "shard_args", "args", "alert")  # tables end what stands at the top of a TOML document

_HEAD = """\
# The schedule {name!r}. Save and close to change it; leave it as it is, or empty, to change nothing.
# A line that is removed makes its column NULL, or what it is by default.
"""
_WRONG = "# WRONG: "


def page(row: Mapping[str, SqlValue]) -> str:
    """The row for an editor: every column, with its meaning."""
    order = [name for name in PEOPLES_COLUMNS if name not in _LAST]
    return _HEAD.format(name=row["name"]) + "".join(_entry(name, row[name]) for name in (*order, *_LAST))


def _entry(name: str, value: SqlValue) -> str:
    line = f"# {name} =\n" if value is None else toml.text({name: toml.column(name, value)})
    return f"\n# {MEANINGS[name]}\n{line}"


def edit_by_hand(desk: Desk, name: str) -> str | None:
    """Let the user edit the row until it can be used; its name then. None: nothing was changed.

    Raises Refused where it was given up with a mistake in it, or somebody else changed the row meanwhile.
    """
    row = desk.schedule(name)
    folder = Path(tempfile.mkdtemp(prefix="leasebeat-"))
    path = folder / f"{name.replace('/', '_')}.toml"
    first, timezone = page(row), desk.default_timezone()
    shown, wrong = first, ""
    while True:
        said = _edited(path, shown)
        if said in ("", shown):
            break
        try:
            values = _changes(first, said, timezone)
            judge({**row, **values})
            changed = desk.edit(name, values, row["version"])
        except (Usage, DefinitionError, Refused) as problem:
            _check_still(desk, row, path, problem)
            wrong = str(problem)
            shown = _with_problem(said, wrong)
        else:
            _remove(path)
            return str(values.get("name", name)) if changed else None
    _remove(path)
    if wrong:
        raise Refused(f"nothing was changed: {wrong}")
    return None


def _check_still(desk: Desk, row: Record, path: Path, problem: Exception) -> None:
    """Whether the row is the one that was shown; what was typed is kept where it is not."""
    if desk.schedule(row["name"])["version"] != row["version"]:
        note(f"what you wrote is in {path}")
        raise problem


def _changes(first: str, said: str, timezone: str) -> dict[str, SqlValue]:
    before, after = toml.parsed("the row", first), toml.parsed("the row", said)
    changed: dict[str, Any] = {
        name: v for name, v in after.items() if name not in before or before[name] != v
    }
    gone = [name for name in before if name not in after]
    defaults = toml.DEFAULTS | {"timezone": timezone}
    if missing := [name for name in gone if name not in defaults]:
        raise Usage(f"{', '.join(missing)}: a schedule cannot be without it")
    return {name: defaults[name] for name in gone} | toml.values_of("the row", changed)


def _with_problem(said: str, wrong: str) -> str:
    lines = [line for line in said.splitlines(keepends=True) if not line.startswith(_WRONG)]
    return "".join(f"{_WRONG}{line}\n" for line in wrong.splitlines()) + "".join(lines)


def _edited(path: Path, text: str) -> str:
    """What the editor makes of a text. Raises Usage where there is none, Refused where it failed."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    path.write_text(text, encoding="utf-8")
    try:
        code = subprocess.call([*shlex.split(editor), str(path)])
    except (OSError, ValueError) as problem:
        raise Usage(f"cannot start the editor {editor!r} ({problem}): set VISUAL or EDITOR") from problem
    if code:
        raise Refused(f"the editor {editor!r} ended with {code}: nothing was changed")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise Refused(f"cannot read what the editor left: {problem}; nothing was changed") from problem


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.rmdir()
