"""What the columns `args`, `command` and `run_as` may say, checked before anything starts."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import cast

from leasebeat.errors import StartFailed
from leasebeat.executors.environment import is_reference

Check = Callable[[object], str | None]
"""Says what is wrong with a value, as the end of "args.NAME = VALUE: expected ..."; None if nothing is."""

# Anything that ends, joins, nests or expands commands. Quotes are harmless without these.
_SHELL_ACTIVE = r";&|<>$`(){}\\\n\r\0"

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def problems_of_args(args: Mapping[str, object], checks: Mapping[str, Check]) -> Iterable[str]:
    """What is wrong with `args`, one sentence each."""
    for name, value in args.items():
        if name not in checks:
            yield f"args.{name} is unknown; known are {', '.join(sorted(checks))}"
        elif (expected := checks[name](value)) is not None:
            yield f"args.{name} = {value!r}: expected {expected}"


def insist(args: Mapping[str, object], checks: Mapping[str, Check]) -> None:
    """Raise StartFailed unless `args` can be used: those of a single run were checked by nobody yet."""
    if problems := "; ".join(problems_of_args(args, checks)):
        raise StartFailed(problems)


def text(value: object) -> str | None:
    """Text, or a reference to it."""
    return None if _is_text(value) else 'text, or {"file": PATH} or {"env": NAME}'


def plain_text(value: object) -> str | None:
    """Text that stands in the table itself."""
    return None if isinstance(value, str) and "\0" not in value else "text"


def texts_by_name(value: object) -> str | None:
    """An object of texts, numbers and references."""
    named = cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {"": None}
    good = all(
        re.fullmatch(r"[^=\0]+", name) and (_is_text(part) or isinstance(part, int | float))
        for name, part in named.items()
    )
    return None if good else 'an object of texts, like {"NAME": "value"}'


def keywords(value: object) -> str | None:
    """An object whose names can be those of parameters."""
    named = cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {"": None}
    return None if all(map(str.isidentifier, named)) else 'an object of keyword arguments, like {"days": 7}'


def headers(value: object) -> str | None:
    """An object of header texts. `Host` belongs to the URL."""
    named = cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {"": None}
    good = all(
        _HEADER.fullmatch(name) and name.lower() != "host" and _is_header(part)
        for name, part in named.items()
    )
    return None if good else 'an object of headers without Host, like {"Accept": "text/plain"}'


def body(value: object) -> str | None:
    """Text, a reference, or JSON."""
    return (
        None if _is_text(value) or isinstance(value, Mapping | list | tuple) else "text, an object or a list"
    )


def anything(value: object) -> str | None:
    """JSON; references in it at any depth."""
    return "text without NUL" if isinstance(value, str) and "\0" in value else None


def count(value: object) -> str | None:
    """A whole number from 1."""
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return None if good else "a whole number from 1"


def within(lowest: int, highest: int) -> Check:
    """A whole number in these bounds."""

    def check(value: object) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest
        return None if good else f"a whole number from {lowest:,} to {highest:,}"

    return check


def codes(value: object) -> str | None:
    """A list of exit or status codes."""
    numbers = cast("list[object]", value) if isinstance(value, list | tuple) else []
    good = numbers and all(type(number) is int for number in numbers)
    return None if good else "a list of whole numbers, like [0, 3]"


def absolute_path(value: object) -> str | None:
    """A folder by its whole path."""
    good = isinstance(value, str) and value.startswith("/") and "\0" not in value
    return None if good else "an absolute path"


def one_of(*words: str) -> Check:
    """One of `words`."""
    return lambda value: None if value in words else " or ".join(words)


def problem_of_user(run_as: str | None, allowed: Iterable[str]) -> str | None:
    """Why tasks may not run as that user on this host; None if they may."""
    if run_as is None or run_as == own_user():
        return None
    if run_as not in allowed:
        return f"run_as = {run_as!r} is neither the worker's own user nor in [node] allow_users of this host"
    if os.geteuid() != 0:
        return f"run_as = {run_as!r}: only a worker that runs as root can start tasks as another user"
    return None


@cache
def own_user() -> str:
    """The name of the user that the worker runs as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def command_is_allowed(command: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern covers the whole command line.

    In a pattern `*` stands for any characters but those that mean something to the shell, so that
    `/opt/jobs/*` does not allow `/opt/jobs/x; rm -rf /`, and never for `..`. A lone `*` allows all.
    """
    return any(
        pattern in ("*", command)
        or (".." not in command and _as_expression(pattern).fullmatch(command) is not None)
        for pattern in patterns
    )


def module_is_allowed(module: str, names: Iterable[str]) -> bool:
    """Whether it is one of `names` or lies in one of those packages. A lone `*` allows all."""
    return any(name == "*" or f"{module}.".startswith(f"{name.removesuffix('.*')}.") for name in names)


@cache
def _as_expression(pattern: str) -> re.Pattern[str]:
    return re.compile(f"[^{_SHELL_ACTIVE}]*".join(map(re.escape, pattern.split("*"))))


def _is_header(value: object) -> bool:
    if isinstance(value, str):
        return value.isascii() and value.isprintable()
    return isinstance(value, int | float) or is_reference(value)


def _is_text(value: object) -> bool:
    return (isinstance(value, str) and "\0" not in value) or is_reference(value)
