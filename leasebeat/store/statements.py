"""Named statements, read from the .sql files beside this module.

A file is a row of blocks, each a name, the purpose, and the statement:

    -- name: beat
    -- Tell the others that this node lives.
    UPDATE nodes SET beat_at = UTC_TIMESTAMP(6) WHERE id = :node_id

Parameters are written `:name` in every file. That is sqlite3's own form; PyMySQL gets `%(name)s`.
A session reads the file of its dialect and `desk.sql`, the statements that are the same in both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["Statement", "load", "parse", "to_pyformat"]

_BLOCK = re.compile(r"^-- name:", re.MULTILINE)
_TOKEN = re.compile(
    r"""(?P<quoted> '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.)*" | `[^`]*` )  # left alone
      | :(?P<name> [a-z_][a-z0-9_]* )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One named statement. `params` are the names that it needs."""

    name: str
    purpose: str
    text: str
    params: frozenset[str]


def parse(source: str) -> dict[str, Statement]:
    """The statements of a file's text.

    Raises ValueError for a second one of a name, or one without a purpose.
    """
    found: dict[str, Statement] = {}
    for block in _BLOCK.split(source)[1:]:
        head, *lines = block.strip().splitlines()
        name = head.strip()
        comments = [line for line in lines if line.lstrip().startswith("--")]
        text = "\n".join(line for line in lines if not line.lstrip().startswith("--")).strip().rstrip(";")
        if not comments or not text or name in found:
            raise ValueError(f"statement {name!r} needs a purpose and a text, and a name of its own")
        purpose = " ".join(line.strip(" -") for line in comments)
        found[name] = Statement(name, purpose, text, frozenset(_names(text)))
    return found


def _names(text: str) -> list[str]:
    return [match["name"] for match in _TOKEN.finditer(text) if match["name"]]


def to_pyformat(text: str) -> str:
    """The text with `:name` as `%(name)s`, and every other percent sign doubled."""
    return _TOKEN.sub(
        lambda match: f"%({match['name']})s" if match["name"] else match[0], text.replace("%", "%%")
    )


@cache
def load(dialect: str) -> dict[str, str]:
    """The texts of a dialect's statements, "mysql" or "sqlite", by name, as its driver wants them."""
    folder = files("leasebeat.store") / "sql"
    source = "\n".join((folder / name).read_text(encoding="utf-8") for name in (f"{dialect}.sql", "desk.sql"))
    translate = to_pyformat if dialect == "mysql" else str
    return {name: translate(statement.text) for name, statement in parse(source).items()}
