"""`docs/cli.md`, made from the commands themselves: python -m leasebeat.cli.manual > docs/cli.md."""

from __future__ import annotations

import io
import sys

from leasebeat.cli import exits, worker
from leasebeat.cli.commands import COMMANDS, application

__all__ = ["manual"]

_WIDTH = 100

_HEAD = """\
# The command line

`python scheduler.py ...` and `leasebeat ...` are the same; `python worker.py` is `leasebeat worker`.
Every command but the worker takes `--config` (else `LEASEBEAT_CONFIG`, `./config/leasebeat.toml`,
`/etc/leasebeat/leasebeat.toml`) and `--json`. With `--json` the answer stands alone on standard output:
keys are the column names of the tables, plus `key`, `schedule`, `node` and `next_at`; instants are ISO
texts in UTC. Of a row that cannot be used, `good_id` is the version that runs meanwhile (0: none), and
`next_at` is that one's. Messages go to standard error.

A run's key is `NAME@INSTANT`, with `#SHARD` for shards above 0: `backup@2026-11-20T03:00:00Z`. Any
offset is understood: `backup@2026-11-20T04:00:00+01:00` is the same run. Tables of `runs` and `show` have
the parts of a fire as one line, `97/100 succeeded, 2 running, 1 queued`; `runs --shards` and `--json` have
an entry for each part.

| exit code | meaning |
|---|---|
"""

_CODES = {
    exits.DONE: "done",
    exits.FAILED: "the thing failed: a run did not succeed, a check of `doctor` is not met",
    exits.USAGE: "the command line cannot be understood",
    exits.NOT_FOUND: "nothing has that name or key",
    exits.REFUSED: "refused: the definition cannot be used, or the state of things forbids it",
    exits.UNREACHABLE: "the store cannot be reached",
    exits.SETTINGS: "the settings cannot be used, or there is no store where they say",
    exits.INTERRUPTED: "interrupted from the keyboard",
}


def manual() -> str:
    """The whole page. The same on every machine."""
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in _CODES.items())
    sections = [_section("worker", _worker_help(), "")]
    sections += [_section(name, _help(name), example) for name, (_, example) in COMMANDS.items()]
    note = "This page is made by `python -m leasebeat.cli.manual`; a test keeps it equal to the commands.\n"
    return f"{_HEAD}{codes}\n{note}\n" + "\n".join(sections)


def _section(name: str, text: str, example: str) -> str:
    shown = f"```sh\n{example}\n```\n\n" if example else ""
    return f"## {name}\n\n{shown}```\n{text}```\n"


def _help(name: str) -> str:
    from rich.console import Console

    text = io.StringIO()
    console = Console(file=text, width=_WIDTH, force_terminal=False, _environ={})
    application().help_print(name.split(), console=console)
    lines = [line.rstrip() for line in text.getvalue().split("Example: ")[0].strip().splitlines()]
    return "\n".join(lines) + "\n"


def _worker_help() -> str:
    return worker.parser().format_help()


if __name__ == "__main__":
    sys.stdout.write(manual())
