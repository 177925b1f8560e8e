r"""Crontab files as Debian's cron reads them: which lines are entries, and what their environment is.

    0 3 * * *  root  mail -s report ops%first line%second line     (system: with a user)

Measured on cron 3.0pl1: a variable needs a value or quotes, quotes keep blanks before a value and not after
it, `\%` is `%` also in quotes, and what follows the first `%` is standard input, with a line end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BadLine", "Entry", "entries", "is_system", "split_command", "spool_user"]

_VARIABLE = re.compile(r"""(?:"([^"]+)"|'([^']+)'|([^\s"'=]+))\s*=\s*(.*)""")
_FIELDS = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """A line that runs something. `command` and `stdin` are what cron makes of `%`."""

    file: str
    line: int
    when: str
    user: str | None
    raw: str
    variables: Mapping[str, str]

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cron would not take either."""

    file: str
    line: int
    problem: str


def is_system(path: Path) -> bool:
    """Whether its lines name a user, by where cron has such files: /etc/crontab and /etc/cron.d."""
    parts = path.absolute().parts
    return parts[-2:] == ("etc", "crontab") or parts[-2:-1] == ("cron.d",)


def spool_user(path: Path) -> str | None:
    """Whose crontab it is, where it lies in cron's spool: /var/spool/cron/crontabs/NAME."""
    parts = path.absolute().parts
    return path.name if parts[-2:-1] == ("crontabs",) or parts[-3:-1] == ("spool", "cron") else None


def entries(file: str, text: str, system: bool) -> Iterator[Entry | BadLine]:
    """The entries of a file in order, each with the variables that stand above it."""
    variables: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        said = line.strip(" \t\r\0")
        if not said or said.startswith("#"):
            continue
        if found := _VARIABLE.fullmatch(said):
            value = _value(found[4])
            if value is None:
                yield BadLine(file, number, f"{said!r}: expected a value, in quotes if it is empty")
            else:
                variables[found[1] or found[2] or found[3]] = value
            continue
        yield _entry(file, number, said, system, dict(variables))


def _value(said: str) -> str | None:
    """The value of a variable; None where cron would refuse the line."""
    if said[:1] in ('"', "'"):
        closed = len(said) > 1 and said.endswith(said[0]) and said[0] not in said[1:-1]
        return said[1:-1].rstrip() if closed else None
    return said or None


def _entry(file: str, number: int, said: str, system: bool, variables: Mapping[str, str]) -> Entry | BadLine:
    words = 1 if said.startswith("@") else _FIELDS
    parts = said.split(None, words + system)
    if len(parts) <= words + system:
        expected = "a time, a user and a command" if system else "a time and a command"
        return BadLine(file, number, f"{said!r}: expected {expected}")
    user = parts[words] if system else None
    return Entry(file, number, " ".join(parts[:words]), user, parts[-1], variables)


def split_command(raw: str) -> tuple[str, str | None]:
    """The command, and its standard input if it has one."""
    command, percent, rest = _cut(raw)
    if not percent:
        return command, None
    text = ""
    while percent:
        part, percent, rest = _cut(rest)
        text += part + ("\n" if percent else "")
    return command, text if not text or text.endswith("\n") else f"{text}\n"


def _cut(raw: str) -> tuple[str, bool, str]:
    """What stands before the first bare `%`, whether there is one, and what stands behind it."""
    kept, place = "", 0
    while place < len(raw):
        char, place = raw[place], place + 1
        if char == "%":
            return kept, True, raw[place:]
        if char == "\\" and place < len(raw):
            kept += raw[place] if raw[place] == "%" else char + raw[place]
            place += 1
        else:
            kept += char
    return kept, False, ""
