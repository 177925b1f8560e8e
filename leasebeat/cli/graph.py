"""Who follows whom, drawn as text. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from leasebeat.store.session import Record

__all__ = ["Graph", "drawn", "graph_of", "names_in"]

_MOST = 200
"""So many lines are drawn; more nobody reads."""


class Graph:
    """The schedules that others follow or that follow others, by name, as the rows have them."""

    def __init__(self, after: Mapping[str, Sequence[str]], rules: Mapping[str, str]) -> None:
        self.upstreams = after
        self.rules = rules
        self.followers: dict[str, list[str]] = {}
        for follower, names in sorted(after.items()):
            for name in names:
                self.followers.setdefault(name, []).append(follower)

    def lines(self, name: str) -> list[str]:
        """What a schedule follows, and what follows it; nothing where neither is."""
        above = drawn(name, self.upstreams, self._upstream)
        below = drawn(name, self.followers, self._follower)
        return [*_under("follows", above), *_under("followed by", below)]

    def _upstream(self, upstream: str, follower: str) -> str:
        missing = "" if upstream in self.rules else ", and no schedule is called so"
        return f"{upstream}  ({self.rules[follower]}{missing})"

    def _follower(self, follower: str, upstream: str) -> str:
        others = [name for name in self.upstreams[follower] if name != upstream]
        return f"{follower}  ({self.rules[follower]}{', with ' + ', '.join(others) if others else ''})"


def _under(head: str, lines: Sequence[str]) -> list[str]:
    return [head, *(f"  {line}" for line in lines)] if lines else []


def names_in(text: object) -> list[str]:
    """The names in a column `after`. What is no list of names holds none: that is its row's problem."""
    try:
        names: object = json.loads(text) if isinstance(text, str) else []
    except ValueError:
        return []
    return (
        [name for name in cast("list[object]", names) if isinstance(name, str)]
        if isinstance(names, list)
        else []
    )


def graph_of(rows: Sequence[Record]) -> Graph:
    """From rows of `schedules`."""
    after = {str(row["name"]): names for row in rows if (names := names_in(row["after"]))}
    return Graph(after, {str(row["name"]): str(row["after_rule"]) for row in rows})


def drawn(root: str, edges: Mapping[str, Sequence[str]], label: Callable[[str, str], str]) -> list[str]:
    """The tree under `root`, without it. What is drawn already is named again, and not what is under it."""
    lines: list[str] = []
    for line in _branches(root, edges, label, "", {root}):
        lines.append(line)
        if len(lines) == _MOST:
            return [*lines, "..."]
    return lines


def _branches(
    name: str, edges: Mapping[str, Sequence[str]], label: Callable[[str, str], str], lead: str, seen: set[str]
) -> Iterator[str]:
    children = edges.get(name, ())
    for number, child in enumerate(children, 1):
        last = number == len(children)
        known = child in seen
        seen.add(child)
        more = "  (above)" if known and edges.get(child) else ""
        yield f"{lead}{'└─' if last else '├─'} {label(child, name)}{more}"
        if not known:
            yield from _branches(child, edges, label, lead + ("   " if last else "│  "), seen)
