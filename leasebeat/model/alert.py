"""Alerts: what people are told of, and what the column `alert` of a schedule says about it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

__all__ = ["AlertReason", "AlertRule", "problems", "rule_of"]


class AlertReason(StrEnum):
    """What went wrong."""

    FAILED = "failed"  #: a run failed and no retry is left
    TIMED_OUT = "timed_out"
    LOST = "lost"
    MISSED = "missed"
    PROBLEM = "problem"  #: a schedule's row cannot be used
    PURGED = "purged"  #: a node was declared dead
    QUEUE = "queue"  #: the oldest ready run of a queue waits for too long


OF_SCHEDULES = tuple(reason.value for reason in AlertReason)[:5]
"""The reasons that are about one schedule."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """Who is told of a schedule, and of what. Without `command` and `mail` the host's way is taken."""

    command: str = ""
    mail: str = ""
    on: frozenset[str] = frozenset(OF_SCHEDULES)
    off: bool = False

    def wants(self, reason: AlertReason) -> bool:
        """Whether anybody is to be told of that."""
        return not self.off and (reason in self.on or reason not in OF_SCHEDULES)


def rule_of(alert: Mapping[str, object] | None) -> AlertRule:
    """What a usable value of the column says; NULL says nothing."""
    given = alert or {}
    return AlertRule(
        command=str(given.get("command", "")),
        mail=str(given.get("mail", "")),
        on=frozenset(cast("list[str]", given.get("on", OF_SCHEDULES))),
        off=bool(given.get("off", False)),
    )


def problems(alert: Mapping[str, object] | None) -> Iterator[str]:
    """What makes a value of the column unusable, one sentence each."""
    for name, value in (alert or {}).items():
        if name not in _EXPECTED:
            near = difflib.get_close_matches(name, _EXPECTED, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(_EXPECTED))}"
            yield f"alert.{name} is unknown{hint}"
            continue
        good, expected = _EXPECTED[name]
        if not good(value):
            yield f"alert.{name} = {value!r}: expected {expected}"


_ADDRESS = re.compile(r"[\w.+%=/!#$&'*?^`{|}~-]+(@[\w.-]+)?", re.ASCII)


def _is_command(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _is_mail(value: object) -> bool:
    """Addresses as cron's MAILTO has them: a local name will do, and commas may stand between several."""
    if not isinstance(value, str) or not value.isprintable():
        return False
    return all(_ADDRESS.fullmatch(part.strip()) for part in value.split(","))


def _is_on(value: object) -> bool:
    words = cast("list[object]", value) if isinstance(value, list | tuple) else []
    return bool(words) and all(word in OF_SCHEDULES for word in words)


def _is_off(value: object) -> bool:
    return isinstance(value, bool)


_EXPECTED: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "command": (_is_command, "a shell command"),
    "mail": (_is_mail, "an address, like ops@example.com, or several with commas between"),
    "on": (_is_on, f"a list of some of {', '.join(OF_SCHEDULES)}"),
    "off": (_is_off, "true or false"),
}
