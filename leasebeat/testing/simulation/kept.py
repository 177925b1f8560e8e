"""What is left of a seed while it is being shrunk: fewer nodes, faults, deeds and schedules.

    nodes=2 faults=0,5 deeds= schedules=3,7      as `scripts/simulate --only` takes it

A part that is not named is whole. Numbers count what the seed has drawn, from 0; schedules go by id.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

Part = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Kept:
    """Of each part those numbers are kept; None: all."""

    nodes: int | None = None
    faults: Part = None
    deeds: Part = None
    schedules: Part = None

    @classmethod
    def parse(cls, text: str) -> Kept:
        """From what `str` gives. Raises ValueError."""
        found: dict[str, Any] = {}
        for word in text.split():
            name, _, numbers = word.partition("=")
            if name not in {each.name for each in fields(cls)}:
                raise ValueError(f"{word!r}: expected nodes=N, faults=N,N, deeds=N,N or schedules=N,N")
            drawn = tuple(int(each) for each in numbers.split(",") if each)
            found[name] = drawn[0] if name == "nodes" else drawn
        return cls(**found)

    def __str__(self) -> str:
        words = [f"nodes={self.nodes}"] if self.nodes is not None else []
        for name in ("faults", "deeds", "schedules"):
            part: Part = getattr(self, name)
            if part is not None:
                words.append(f"{name}={','.join(map(str, part))}")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Drawn:
    """How much a seed has drawn of each part."""

    nodes: int = 0
    faults: int = 0
    deeds: int = 0
    schedules: tuple[int, ...] = ()  #: ids of those that may be left out


def shrink(drawn: Drawn, fails: Callable[[Kept], bool], seconds: float = 60.0) -> Kept:
    """The least that still fails, as far as that can be found in so many seconds of CPU."""
    until = time.process_time() + seconds
    kept = Kept(drawn.nodes, tuple(range(drawn.faults)), tuple(range(drawn.deeds)), drawn.schedules)
    if not fails(kept):
        return Kept()

    def still(candidate: Kept) -> bool:
        return time.process_time() < until and fails(candidate)

    for name in ("schedules", "deeds", "faults"):  # with few schedules the rest is soon tried
        kept = _fewer(kept, name, still)
    for nodes in range(1, drawn.nodes):
        if still(fewer := replace(kept, nodes=nodes)):
            return fewer
    return kept


def _fewer(kept: Kept, name: str, fails: Callable[[Kept], bool]) -> Kept:
    """Leave out halves, quarters and so on of one part, as long as it fails without them."""
    part: tuple[int, ...] = getattr(kept, name)
    size = len(part)
    while size:
        for first in range(0, len(part), size):
            rest = _without(part, first, size)
            candidate = replace(kept, **{name: rest})
            least = 1 if name == "schedules" else 0  # people edit some schedule: there must be one
            if least <= len(rest) < len(part) and fails(candidate):
                kept, part = candidate, rest
                break
        else:
            size //= 2
    return kept


def _without(part: Sequence[int], first: int, size: int) -> tuple[int, ...]:
    return (*part[:first], *part[first + size :])
