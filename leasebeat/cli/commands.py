"""All commands but `worker`, put together. Imported only when one of them is run."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

from cyclopts import App, CoercionError, CycloptsError, Parameter

from leasebeat import __version__
from leasebeat.cli.audit import audit
from leasebeat.cli.backfill import backfill
from leasebeat.cli.calendar import calendar_import, calendar_list, calendar_show
from leasebeat.cli.crontab import crontab
from leasebeat.cli.doctor import doctor
from leasebeat.cli.exchange import export, import_
from leasebeat.cli.exits import DONE, FAILED, INTERRUPTED, Usage, complain
from leasebeat.cli.explain import explain
from leasebeat.cli.forecast import forecast
from leasebeat.cli.history import activity, history, rollback
from leasebeat.cli.nodes import drain, nodes
from leasebeat.cli.preview import preview
from leasebeat.cli.queues import lane, lanes, queues
from leasebeat.cli.runs import kill, logs, retry, run_now, runs
from leasebeat.cli.schedules import add, edit, list_, pause, remove, resume
from leasebeat.cli.setup import init
from leasebeat.cli.show import show
from leasebeat.errors import LeasebeatError

__all__ = ["COMMANDS", "application", "run"]


def worker(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Run the schedules of the store on this host."""
    from leasebeat.cli import worker as program

    return program.main(words)


COMMANDS: dict[str, tuple[Callable[..., int], str]] = {
    "init": (init, "leasebeat init --timezone Europe/Berlin"),
    "add": (add, "leasebeat add backup --cron '0 3 * * *' --command /usr/local/bin/backup.sh"),
    "edit": (edit, "leasebeat edit backup --set retries=3 --set timeout_s=600"),
    "list": (list_, "leasebeat list 'billing/*'"),
    "show": (show, "leasebeat show backup"),
    "pause": (pause, "leasebeat pause backup 'billing/*'"),
    "resume": (resume, "leasebeat resume --all"),
    "remove": (remove, "leasebeat remove backup"),
    "history": (history, "leasebeat history backup"),
    "rollback": (rollback, "leasebeat rollback backup 1"),
    "activity": (activity, "leasebeat activity --since 24h"),
    "export": (export, "leasebeat export"),
    "import": (import_, "leasebeat import schedules.toml --dry-run"),
    "import crontab": (
        crontab,
        "leasebeat import crontab web1.tab --name-prefix web1/ --route node:web1",
    ),
    "run": (run_now, "leasebeat run backup --wait"),
    "kill": (kill, "leasebeat kill backup@2026-11-20T03:00:00Z"),
    "retry": (retry, "leasebeat retry backup@2026-11-20T03:00:00Z"),
    "runs": (runs, "leasebeat runs 'billing/*' --failed --since 24h"),
    "logs": (logs, "leasebeat logs backup"),
    "explain": (explain, "leasebeat explain backup yesterday 03:00"),
    "calendar list": (calendar_list, "leasebeat calendar list"),
    "calendar show": (calendar_show, "leasebeat calendar show berlin"),
    "calendar import": (calendar_import, "leasebeat calendar import holidays.ics --name berlin"),
    "queues": (queues, "leasebeat queues"),
    "lanes": (lanes, "leasebeat lanes"),
    "lane": (lane, "leasebeat lane api --size 4"),
    "nodes": (nodes, "leasebeat nodes --all"),
    "drain": (drain, "leasebeat drain web-1 --cordon"),
    "backfill": (
        backfill,
        "leasebeat backfill backup --from 48h --to 24h --parallel 2",
    ),
    "audit": (audit, "leasebeat audit --from now --reason 'restored the backup of Sunday'"),
    "preview": (preview, "leasebeat preview --cron '0 3 * * *' --timezone Europe/Berlin -n 3"),
    "forecast": (forecast, "leasebeat forecast --to 7d"),
    "doctor": (doctor, "leasebeat doctor"),
}
"""What each command is, and an example that runs as it stands."""


def application() -> App:
    """The command line, ready to parse."""
    app = _app("leasebeat", "Cron for a fleet: schedules are rows, every due instant is opened by one node.")
    groups: dict[str, App] = {}
    for name, (function, example) in COMMANDS.items():
        group, _, inner = name.partition(" ")
        epilogue = f"Example: {example}"
        if inner:
            if group not in groups:
                groups[group] = _app(group, _GROUPS[group])
                app.command(groups[group])
            groups[group].command(function, name=inner, help_epilogue=epilogue)
        elif group in _GROUPS:
            groups[group] = _app(group, epilogue=epilogue)
            groups[group].default(function)
            app.command(groups[group])
        else:
            app.command(function, name=name, help_epilogue=epilogue)
    app.command(worker, name="worker", help_flags=[])
    return app


_GROUPS = {"calendar": "Look at calendars, and import them.", "import": ""}
"""Commands that have commands of their own, and what they are for where they do nothing by themselves."""


def _app(name: str, text: str | None = None, epilogue: str | None = None) -> App:
    return App(
        name=name,
        help=text,
        help_epilogue=epilogue,
        version=__version__,
        help_format="plaintext",
        help_formatter="plain",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )


def run(words: Sequence[str]) -> int:
    """Run one command and give its exit code; what went wrong is on standard error."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's character set lacks is shown as an escape; it is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = application()(_texts(words))
        sys.stdout.flush()
        return code or DONE
    except CoercionError as problem:
        return complain(_not_read(problem))
    except CycloptsError as problem:
        return complain(Usage(f"{problem} (leasebeat --help tells more)"))
    except LeasebeatError as problem:
        return complain(problem)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone, as `| head` does. Python would complain again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _not_read(problem: CoercionError) -> Usage:
    """The same in our words where a number was expected; the parser speaks of types."""
    if problem.target_type is int and problem.token is not None:
        named = problem.token.keyword or (problem.argument.name if problem.argument else "number")
        return Usage(f"{named} {problem.token.value!r}: expected a whole number")
    return Usage(f"{problem} (leasebeat --help tells more)")


def _texts(words: Sequence[str]) -> list[str]:
    """The words, as tables and terminals can hold them. Raises Usage."""
    for word in words:
        if not word.isascii() and any("\ud800" <= char <= "\udfff" for char in word):
            raise Usage(f"{word!r} is not valid UTF-8")
    return list(words)
