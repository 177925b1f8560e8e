"""Finding and calling the function that a `python` schedule names, in a child process or a thread."""

from __future__ import annotations

import importlib
import inspect
import re
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

Function = Callable[..., Any]

COMMAND = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
"""`package.module:function`, also `package.module:Class.method`."""


@cache
def load(command: str) -> Function:
    """The function that `command` names. Whatever its module raises on import comes out."""
    module, _, path = command.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    if not callable(found):
        raise TypeError(f"{command} is no function but {type(found).__name__}")
    return found


def call(function: Function, kwargs: Mapping[str, object]) -> object:
    """What it returns; a coroutine is run to its end in an event loop of its own."""
    returned = function(**kwargs)
    if inspect.iscoroutine(returned):
        import asyncio

        return asyncio.run(returned)
    return returned


def exit_status(code: object) -> int:
    """The exit status that `sys.exit(code)` stands for."""
    if code is None:
        return 0
    return code if isinstance(code, int) else 1


def describe(problem: BaseException) -> str:
    """One line that says what was raised."""
    lines = traceback.format_exception_only(problem)
    return " ".join(" ".join(lines).split())[:1000]
