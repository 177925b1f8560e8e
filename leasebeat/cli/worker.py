"""`leasebeat worker` and `python worker.py`: run schedules on this host until told to stop."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path

from leasebeat import __version__
from leasebeat.cli.exits import complain, with_place
from leasebeat.errors import LeasebeatError, NoStore, SettingsError

__all__ = ["main", "overrides", "parser"]

_WIDTH = 100  # of the help, whatever the terminal's: docs/cli.md holds it too
_FLAGS = {
    "name": "node.name",
    "slots": "node.slots",
    "queues": "node.queues",
    "roles": "node.roles",
    "log_level": "log.level",
}
"""Which setting stands behind each flag."""


def parser() -> argparse.ArgumentParser:
    """What the worker understands."""
    found = argparse.ArgumentParser(
        prog="leasebeat worker",
        description="Run the schedules of the store on this host until told to stop (SIGTERM drains).",
        epilog="Example: leasebeat worker --slots 8 --queues default,heavy:2",
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=_WIDTH),
    )
    found.add_argument("--config", type=Path, metavar="PATH", help="settings file")
    found.add_argument("--name", help="name of this node, unique in the fleet [the host's name]")
    found.add_argument("--slots", metavar="N", help="how many runs at once [20]")
    found.add_argument("--queues", metavar="LIST", help="queues to serve, like default,heavy:2 [default]")
    found.add_argument("--roles", metavar="LIST", help="dispatch, execute or both [dispatch,execute]")
    found.add_argument(
        "--cordoned", action="store_true", help="join, but take no work until `drain NODE --resume`"
    )
    found.add_argument("--log-json", action="store_true", help="log one JSON object a line")
    found.add_argument("--log-level", metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR [INFO]")
    found.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="SECTION.KEY=VALUE",
        help="any other setting; may be repeated",
    )
    found.add_argument("--version", action="version", version=__version__)
    return found


def overrides(options: argparse.Namespace, found: argparse.ArgumentParser) -> dict[str, str]:
    """The settings that the flags name.

    Exits with 2 where `--set` is no SECTION.KEY=VALUE. Raises SettingsError where it names no setting.
    """
    named = {setting: getattr(options, flag) for flag, setting in _FLAGS.items()}
    result = {setting: value for setting, value in named.items() if value is not None}
    if options.log_json:
        result["log.json"] = "true"
    pairs: list[str] = options.settings
    for pair in pairs:
        setting, equals, value = pair.partition("=")
        if not equals or not setting:
            found.error(f"--set {pair!r}: expected SECTION.KEY=VALUE, like node.beat_s=5")
        if setting not in _settings():
            near = difflib.get_close_matches(setting, _settings(), n=1)
            advice = f"did you mean {near[0]}?" if near else "expected SECTION.KEY=VALUE, like node.beat_s=5"
            raise SettingsError(f"--set {setting}: unknown key; {advice}")
        result[setting] = value
    return result


def _settings() -> list[str]:
    from leasebeat.settings import known_keys

    return [f"{section}.{key}" for section, keys in known_keys().items() for key in keys]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a worker; returns its exit code when it has left."""
    found = parser()
    try:
        options = found.parse_args(argv)
        return _run(options, overrides(options, found))
    except SystemExit as end:  # argparse ends the process itself; as a function we give the code
        return int(end.code or 0)
    except LeasebeatError as problem:
        return complain(problem)


def _run(options: argparse.Namespace, named: dict[str, str]) -> int:
    from leasebeat.app import run_worker
    from leasebeat.settings import load

    settings = load(options.config, overrides=named)
    try:
        return run_worker(settings, options.cordoned)
    except NoStore as problem:
        raise with_place(problem, settings) from problem
