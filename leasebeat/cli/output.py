"""What commands print: JSON for programs, tables for people.

JSON stands alone on standard output; everything else that a command wants to say goes to standard
error. Tables fit the terminal; where the output is no terminal nothing is shortened or coloured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from leasebeat.cli.text import visible
from leasebeat.model.instant import to_text

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["Column", "note", "plain", "print_facts", "print_json", "print_line", "print_table"]

_INSTANTS = frozenset({"now", "until", "valid_from", "watermark"})
_JSON = frozenset({"after", "alert", "args", "definition", "queues", "result", "roles", "shard_args"})
_FLAGS = frozenset({"deleted", "enabled", "kill_requested", "paused", "stale"})

_STYLES = {
    "running": "cyan",
    "succeeded": "green",
    "live": "green",
    "ok": "green",
    "failed": "red",
    "timed_out": "red",
    "lost": "red",
    "missed": "red",
    "purged": "red",
    "FAIL": "red",
    "killed": "yellow",
    "skipped": "yellow",
    "cordoned": "yellow",
    "draining": "yellow",
}


class Column(NamedTuple):
    """A column of a table. What is `kept` is broken over lines where it does not fit, never shortened."""

    head: str
    kept: bool = False
    right: bool = False


def plain(record: Mapping[str, object]) -> dict[str, object]:
    """A record as JSON has it: instants as ISO text in UTC, JSON columns as what they hold."""
    return {name: _plain(name, value) for name, value in record.items()}


def _plain(name: str, value: object) -> object:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, int) and (name in _INSTANTS or name.endswith("_at")):
        return to_text(value)
    if isinstance(value, int) and name in _FLAGS:
        return bool(value)
    if isinstance(value, str) and name in _JSON:
        return _parsed(value)
    return value


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # a row that cannot be used is shown as it stands


def print_json(value: object, *, lines: bool = False) -> None:
    """`value` on standard output; with `lines` on one line, for output that goes on."""
    print(json.dumps(value, indent=None if lines else 2, ensure_ascii=False), flush=True)


def print_line(text: str) -> None:
    """One line for people."""
    print(visible(text), flush=True)


def note(text: str) -> None:
    """One line beside the output, on standard error."""
    print(visible(text), file=sys.stderr, flush=True)


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values, one pair a line, without what is empty."""
    shown = {name: value for name, value in facts.items() if value not in (None, "", {}, [])}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        print_line(f"{name:<{width}}  {cell(value)}")


def cell(value: object) -> str:
    """`value` as people read it in a table; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """The rows, aligned, under their heads: within the terminal's width, or whole into a pipe."""
    cells = [[visible(cell(value)) for value in row] for row in rows]
    if sys.stdout.isatty():
        _print_on_terminal(columns, cells)
    else:
        _print_whole(columns, cells)


def _print_whole(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    lines = [[column.head for column in columns], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (
            text.rjust(width) if column.right else text.ljust(width)
            for column, text, width in zip(columns, line, widths, strict=True)
        )
        print("  ".join(padded).rstrip())


def _print_on_terminal(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column.head,
            justify="right" if column.right else "left",
            # Rich narrows the columns that may wrap first, and only then those that may not.
            no_wrap=column.kept,
            max_width=console.width * 3 // 5 if column.kept else None,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(_shortened(text, column) for text, column in zip(row, columns, strict=True)))
    console.print(table)


def _shortened(text: str, column: Column) -> Text:
    from rich.text import Text

    if column.kept:
        return Text(text, no_wrap=False, overflow="fold")
    return Text(text, _STYLES.get(text, ""), no_wrap=True, overflow="ellipsis")
