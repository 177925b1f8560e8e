"""What the `command` of a `publish` schedule may be: where in Redis a message goes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

Form = Literal["stream", "list", "channel"]

_COMMAND = re.compile(r"(stream|list|channel):(\S[^\0]{0,510}|\S)")

OURS = "lb:"
"""How everything of Leasebeat's own in Redis begins."""


@dataclass(frozen=True, slots=True)
class Target:
    """A stream or list by its key, or a channel by its name."""

    form: Form
    name: str


def parse(command: str) -> Target | None:
    """The target that a command names; None for one of another form."""
    found = _COMMAND.fullmatch(command)
    return found and Target(cast("Form", found[1]), found[2])


def problem_of(command: str) -> str | None:
    """Why nothing can be published there, as the end of a sentence; None if it can."""
    target = parse(command)
    if target is None:
        return "expected stream:NAME, list:NAME or channel:NAME"
    if target.name.startswith(OURS):
        return f"names that begin with {OURS} belong to Leasebeat itself; take another one"
    return None
