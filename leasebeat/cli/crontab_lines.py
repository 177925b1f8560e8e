"""What a line of a crontab is as a schedule, what it is called, and what people should look at in it."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leasebeat.cli.crontab_file import Entry, split_command, spool_user
from leasebeat.store.session import SqlValue

__all__ = ["Found", "flags", "name_of", "named", "values_of"]

_CRONS_OWN = frozenset({"SHELL", "MAILTO", "CRON_TZ", "LOGNAME", "USER"})
_SYSTEM_PATHS = ("/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/dev/", "/proc/", "/tmp/")
_WRAPPERS = frozenset(
    [
        "!",
        "(",
        "[",
        "[[",
        "bash",
        "chronic",
        "command",
        "dash",
        "env",
        "exec",
        "flock",
        "if",
        "ionice",
        "nice",
        "nohup",
        "perl",
        "php",
        "python",
        "python3",
        "ruby",
        "setsid",
        "sh",
        "sudo",
        "test",
        "then",
        "time",
        "timeout",
        "zsh",
    ]
)
"""Words before the one that says what a command is for."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry as a schedule: its name, and the columns that the crontab decides."""

    entry: Entry
    name: str
    values: Mapping[str, SqlValue]


def values_of(entry: Entry, timezone: str) -> dict[str, SqlValue]:
    """The columns that a crontab decides, for a line of it."""
    command, stdin = split_command(entry.raw)
    shell, home = entry.variables.get("SHELL", "/bin/sh"), entry.variables.get("HOME")
    env = {name: value for name, value in entry.variables.items() if name not in _CRONS_OWN}
    if shell != "/bin/sh":
        command, env["SHELL"] = f"exec {shlex.quote(shell)} -c {shlex.quote(command)}", shell
    args: dict[str, object] = {"env": env} if env else {}
    args |= {} if home is None else {"cwd": home}
    args |= {} if stdin is None else {"stdin": stdin}
    return {
        "cron": entry.when,
        "command": command,
        "kind": "shell",
        "args": _json(args),
        "timezone": entry.variables.get("CRON_TZ", timezone),
        "timeout_s": 0.0,
        "on_node_loss": "fail",
        "run_as": entry.user or spool_user(Path(entry.file)),
        "alert": _json(_alert(entry.variables.get("MAILTO"))),
    }


def _alert(mail_to: str | None) -> dict[str, object]:
    if mail_to is None:
        return {}
    return {"mail": mail_to} if mail_to.strip() else {"off": True}


def _json(value: Mapping[str, object]) -> str | None:
    return json.dumps(value, ensure_ascii=False) if value else None


def named(lines: Sequence[Entry], prefix: str, timezone: str) -> list[Found]:
    """Each line with its name. Lines that say the same have one; their order does not matter."""
    groups: dict[str, list[tuple[Entry, dict[str, SqlValue]]]] = defaultdict(list)
    for line in lines:
        groups[name_of(line, prefix)].append((line, values_of(line, timezone)))
    found: list[Found] = []
    for name, group in groups.items():
        differ = len({_said(values) for _, values in group}) > 1  # in their variables
        found += [Found(e, name_of(e, prefix, _said(v)) if differ else name, v) for e, v in group]
    return found


def _said(values: Mapping[str, SqlValue]) -> str:
    return json.dumps(values, sort_keys=True)


def name_of(entry: Entry, prefix: str, more: str = "") -> str:
    """`web1/backup-1f3a9c07`: the prefix, what is run, and a hash of the line."""
    said = "\0".join((entry.when, entry.user or "", entry.raw, more))
    stem = re.sub(r"[^\w.-]+", "-", _program(entry.raw)).strip("-.")[:60] or "job"
    return f"{prefix}{stem}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"


def _program(raw: str) -> str:
    """What a command runs, without its folder and ending: `cd /srv && php artisan x` is artisan."""
    words = iter(re.findall(r"""[^\s"';&|()]+|&&|\|\||[;|()]""", split_command(raw)[0]))
    for word in words:
        base = word.rsplit("/", 1)[-1]
        if word == "cd":
            next(words, None)
        elif (
            base in _WRAPPERS
            or word.startswith(("-", "$", ">", "<"))
            or re.fullmatch(r"[;&|()\]]+|[\d.:+*]*[smhd]?|\w+=.*|\S*\.lock|[012]>\S*", word)
        ):
            continue
        elif base:
            return re.sub(r"\.(sh|py|php|pl|rb)$", "", base)
    return ""


def flags(entry: Entry, local: bool) -> Iterator[str]:
    """What a line means on one host under cron, and otherwise here. `local`: it stays on its host."""
    command = split_command(entry.raw)[0]
    if entry.when.lower() == "@reboot":
        yield "@reboot is not imported: a fleet has no such instant; a unit of the host's service manager has"
        return
    bare = re.sub(r"""'[^']*'|"(?:[^"\\]|\\.)*\"""", "''", command)
    words = set(re.findall(r"[\w./-]+", bare))
    if re.search(r"(?<![&<>\\])&(?![&>\d])", bare):
        yield "`&`: a run ends with its shell, and what that left behind is killed; take it away"
    for word in ("nohup", "setsid"):
        if word in words:
            yield f"`{word}`: what outlives the shell is killed; take it away, or set args.leftovers = leave"
    if any(word.rsplit("/", 1)[-1] == "flock" for word in words):
        yield "`flock` holds on one host only; overlap = skip, the default, holds on all of them"
    if "run-parts" in bare or "/etc/cron." in bare:
        yield "runs what lies in a folder of its host: say --route node:NAME, or add each part by itself"
    paths = sorted(_paths(entry, command)) if not local else []
    if paths:
        yield f"needs {', '.join(paths)} on every node of its queue, or --route node:NAME"


def _paths(entry: Entry, command: str) -> set[str]:
    found = set(re.findall(r"(?<![\w./$}~-])/[\w.+@%/-]*[\w+@%-]", command))
    found |= {value for name, value in entry.variables.items() if name == "HOME"}
    return {path for path in found if path.startswith("/") and not path.startswith(_SYSTEM_PATHS)}
