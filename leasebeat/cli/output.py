"""What commands print: JSON for programs, tables for people.

JSON stands alone on standard output; everything else that a command wants to say goes to standard
error. Tables fit the terminal; where the output is no terminal nothing is shortened or coloured.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from leasebeat.cli.text import visible
from leasebeat.model.instant import to_text

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["Column", "note", "plain", "print_facts", "print_json", "print_line", "print_table", "seconds"]

_INSTANTS = frozenset({"at", "now", "until", "valid_from", "watermark"})
_JSON = frozenset({"after", "alert", "args", "definition", "diff", "queues", "result", "roles", "shard_args"})
_FLAGS = frozenset({"deleted", "enabled", "kill_requested", "paused", "stale"})

_GAP = 2
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
    "problem": "red",
    "FAIL": "red",
    "killed": "yellow",
    "skipped": "yellow",
    "cordoned": "yellow",
    "draining": "yellow",
}


class Column(NamedTuple):
    """A column of a table, and what becomes of it where the terminal is too narrow.

    First those to `cut` are shortened, then those to `fold` are broken over several lines; the others
    stay `whole`.
    """

    head: str
    fit: Literal["whole", "fold", "cut"] = "whole"
    right: bool = False


_NARROWEST = {"cut": 8, "fold": 20}


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


def seconds(instant: object) -> str:
    """The ISO text of an instant, or None, without the fraction: for tables."""
    return re.sub(r"\.[0-9]+", "", cell(instant))


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
        print((" " * _GAP).join(padded).rstrip())


def _print_on_terminal(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for column, width in zip(columns, _widths(columns, rows, console.width), strict=True):
        table.add_column(column.head, justify="right" if column.right else "left", width=width)
    for row in rows:
        table.add_row(*(_styled(text, column) for text, column in zip(row, columns, strict=True)))
    console.print(table)


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """How wide each column may be, so that all of them fit into `room` if they can."""
    from rich.cells import cell_len

    lines = [[column.head for column in columns], *rows]
    widths = [min(room, max(map(cell_len, texts))) for texts in zip(*lines, strict=True)]
    excess = sum(widths) + _GAP * (len(widths) - 1) - room
    for fit, least in _NARROWEST.items():
        narrowed = [number for number, column in enumerate(columns) if column.fit == fit]
        while excess > 0 and (widest := max(narrowed, key=widths.__getitem__, default=None)) is not None:
            if widths[widest] <= least:
                break
            widths[widest] -= 1
            excess -= 1
    return widths


def _styled(text: str, column: Column) -> Text:
    from rich.text import Text

    if column.fit == "fold":
        return Text(text, no_wrap=False, overflow="fold")
    return Text(text, _STYLES.get(text, ""), no_wrap=True, overflow="ellipsis")
