"""Exit codes, and how an error becomes one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from leasebeat.cli.text import visible_lines
from leasebeat.errors import (
    Busy,
    CoordinatorUnavailable,
    DefinitionError,
    LeasebeatError,
    NoStore,
    NotFound,
    Refused,
    SettingsError,
    StoreUnfit,
    Unavailable,
    Unknown,
)

if TYPE_CHECKING:
    from leasebeat.settings import Settings

__all__ = [
    "DONE",
    "FAILED",
    "INTERRUPTED",
    "NOT_FOUND",
    "REFUSED",
    "SETTINGS",
    "UNREACHABLE",
    "USAGE",
    "Usage",
    "complain",
    "exit_code",
    "with_place",
]

DONE = 0
FAILED = 1  #: the thing itself failed: a run did not succeed, a check of `doctor` is not met
USAGE = 2
NOT_FOUND = 3
REFUSED = 4
UNREACHABLE = 69  #: EX_UNAVAILABLE of sysexits.h
SETTINGS = 78  #: EX_CONFIG of sysexits.h
INTERRUPTED = 130  #: 128 + SIGINT, as shells count


class Usage(LeasebeatError):
    """The command line cannot be understood."""


_CODES: tuple[tuple[type[LeasebeatError], int], ...] = (
    (Usage, USAGE),
    (NotFound, NOT_FOUND),
    (Refused, REFUSED),
    (DefinitionError, REFUSED),
    (Unavailable, UNREACHABLE),
    (Unknown, UNREACHABLE),
    (CoordinatorUnavailable, UNREACHABLE),
    (StoreUnfit, SETTINGS),
    (SettingsError, SETTINGS),
)


_ADVICE: tuple[tuple[type[LeasebeatError], str], ...] = (
    (Busy, "; nothing was changed, try again"),
    (Unknown, "; it may have been done all the same: look before you repeat it"),
)


def exit_code(problem: LeasebeatError) -> int:
    """The exit code that says what kind of problem it was."""
    return next((code for kind, code in _CODES if isinstance(problem, kind)), FAILED)


def with_place(problem: NoStore, settings: Settings) -> NoStore:
    """The same, naming the store and the settings: the wrong folder is the usual reason."""
    return NoStore(f"{problem} (store: {settings.store.url}; settings: {settings.source})")


def complain(problem: LeasebeatError) -> int:
    """Say it on standard error, control characters made visible, and give the exit code."""
    advice = next((advice for kind, advice in _ADVICE if isinstance(problem, kind)), "")
    print(f"leasebeat: {visible_lines(str(problem))}{advice}", file=sys.stderr)
    return exit_code(problem)
