"""Which schedules a command means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from leasebeat.cli.exits import Usage
from leasebeat.errors import NotFound

__all__ = ["is_pattern", "matching", "named"]


def is_pattern(text: str) -> bool:
    """Whether it may stand for several names. Names of schedules never hold these characters."""
    return any(char in text for char in "*?[")


def matching(pattern: str | None, names: Iterable[str]) -> list[str]:
    """The names that a pattern like `billing/*` stands for; all of them where there is none."""
    return [name for name in names if pattern is None or fnmatchcase(name, pattern)]


def named(words: Sequence[str], every: bool, names: Sequence[str]) -> list[str]:
    """The names that a command was given, as names or patterns, or all of them.

    Raises Usage when it was told neither or both, NotFound when a word stands for nothing.
    """
    if every == bool(words):
        raise Usage("expected names of schedules (patterns like 'billing/*' too), or --all")
    found = {word: matching(word, names) for word in words}
    missing = [word for word, hits in found.items() if not hits]
    if missing:
        raise NotFound(
            f"no schedule is called {', '.join(map(repr, missing))}; `leasebeat list` shows them all"
        )
    chosen = {name for hits in found.values() for name in hits}
    return [name for name in names if every or name in chosen]
