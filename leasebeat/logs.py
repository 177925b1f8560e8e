r"""The log: one line per event, on standard error.

    2026-11-20T03:00:00.004127Z INFO  run started action=run_started key=backup@2026-11-20T03:00:00Z attempt=1

The sentence is for people, `action` and the fields are for `grep`; with `[log] json` each line is a
JSON object of the same words. Control characters are escaped, so that what a task or a row says
cannot forge a line; known secrets and passwords in URLs are masked. Until `configure` is called
nothing is written, so that the package can be imported quietly.
"""

from __future__ import annotations

import json
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any

from loguru import logger

from leasebeat.errors import LeasebeatError
from leasebeat.settings import Level, Log

if TYPE_CHECKING:
    from loguru import Record

__all__ = ["configure", "event"]

MASK = "***"

_NUMBERS: dict[Level, int] = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/?#@]*:)[^\s/@]+@", re.IGNORECASE)

_threshold = 100
_secrets: tuple[str, ...] = ()


MOST_LINES = 50
"""More of the same at once are told in one line: ten thousand lines cost more than ten thousand runs."""


def event(level: Level, action: str, message: str, /, **fields: object) -> None:
    """Log that something happened.

    `action` is one word that never changes, for programs; `message` a sentence for people. A field
    that is an exception is told as its type and text, with its trace unless it is a LeasebeatError,
    which is expected. Costs next to nothing below the configured level.
    """
    if _NUMBERS[level] >= _threshold:
        logger.bind(action=action, fields=fields).log(level, message)


def configure(settings: Log, secrets: Iterable[str] = (), sink: Callable[[str], None] | None = None) -> None:
    """Write every event from `settings.level` up, masking `secrets`; replaces what was set before.

    `sink` is called with each finished line; without one they go to standard error.
    """
    global _threshold, _secrets  # noqa: PLW0603  # the log is one per process, as standard error is
    _threshold = _NUMBERS[settings.level]
    _secrets = tuple(sorted((secret for secret in secrets if secret), key=len, reverse=True))
    logger.remove()
    form = _json if settings.json else _text
    logger.add(sink or _to_stderr, level=settings.level, format=form, colorize=False)


def _to_stderr(line: str) -> None:
    sys.stderr.write(line)  # looked up each time: tests and daemons replace it


def _text(record: Record) -> str:
    words = [f"{_at(record)} {record['level'].name:<7} {_clean(record['message'])}"]
    words += [f"{name}={_quoted(value)}" for name, value in _fields(record).items()]
    return _line(record, " ".join(words))


def _json(record: Record) -> str:
    line = {"at": _at(record), "level": record["level"].name, "message": _masked(record["message"])}
    return _line(record, json.dumps(line | _fields(record), default=str))


def _line(record: Record, line: str) -> str:
    # What a format function returns is a template; the finished line goes around it, braces and all.
    record["extra"]["line"] = line
    return "{extra[line]}\n"


def _at(record: Record) -> str:
    return record["time"].astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _fields(record: Record) -> dict[str, object]:
    extra: dict[str, Any] = record["extra"]
    fields: Mapping[str, object] = extra.get("fields", {})
    shown: dict[str, object] = {"action": extra.get("action", "none")}
    for name, value in fields.items():
        shown[name] = _plain(value)
        if isinstance(value, BaseException) and not isinstance(value, LeasebeatError):
            shown["trace"] = _masked("".join(traceback.format_exception(value)).strip())
    return shown


def _plain(value: object) -> object:
    """`value` as JSON has it: numbers as they are, all else as masked text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, BaseException):
        return _masked(f"{type(value).__name__}: {value}")
    return _masked(str(value))


def _quoted(value: object) -> str:
    text = _clean(str(value))
    return '"' + text.replace('"', '\\"') + '"' if not text or re.search(r'[\s"=]', text) else text


def _clean(text: str) -> str:
    text = _masked(text)
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")


def _masked(text: str) -> str:
    for secret in _secrets:
        text = text.replace(secret, MASK)
    return _URL_PASSWORD.sub(rf"\1{MASK}@", text)


logger.remove()
