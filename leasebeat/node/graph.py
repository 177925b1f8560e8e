"""Who follows whom, by the schedules as they stand together. Pure.

A schedule with `after` fires at the instants of its upstreams: those that all of them share. Names are
looked up anew whenever a schedule changes, so that followers may be written before what they follow.
What cannot follow is a problem, told with its path: an unknown name, a cycle, upstreams that never
share an instant.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations

from leasebeat.model.instant import DAY, Instant, Micros
from leasebeat.model.schedule import Schedule
from leasebeat.node.catalog import Entry
from leasebeat.triggers import Trigger, after_end_delay, trigger_for

_FIRST: Instant = 20_089 * DAY  # 2025: always the same years, whatever the day on which a node reads the rows
_YEAR: Micros = 366 * DAY
_EIGHT_YEARS = 8 * _YEAR
_STEPS = 4_000
"""Instants of two schedules that are compared, oldest first, before they are taken never to meet."""


@dataclass(frozen=True, slots=True)
class Graph:
    """By id. Only schedules that can follow are in it; `problems` says why others cannot."""

    upstreams: Mapping[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])
    followers: Mapping[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])
    problems: Mapping[int, str] = field(default_factory=dict[int, str])


def graph_of(entries: Sequence[Entry]) -> Graph:
    """The graph of all schedules that are there; a broken row stands for its last good version."""
    return graph_between(
        {
            entry.version.schedule_id: entry.schedule
            for entry in entries
            if entry.schedule is not None and not entry.version.deleted
        }
    )


def graph_between(schedules: Mapping[int, Schedule]) -> Graph:
    """The graph of these schedules, by id."""
    ids = {schedule.name: schedule_id for schedule_id, schedule in schedules.items()}
    after = {
        schedule_id: [ids[name] for name in schedule.after if name in ids]
        for schedule_id, schedule in schedules.items()
        if schedule.after
    }
    problems = dict(_problems(schedules, ids, after))
    upstreams = {follower: tuple(found) for follower, found in after.items() if follower not in problems}
    followers: dict[int, list[int]] = {}
    for follower, found in sorted(upstreams.items()):
        for upstream in found:
            followers.setdefault(upstream, []).append(follower)
    return Graph(upstreams, {upstream: tuple(found) for upstream, found in followers.items()}, problems)


def _problems(
    schedules: Mapping[int, Schedule], ids: Mapping[str, int], after: Mapping[int, Sequence[int]]
) -> Iterator[tuple[int, str]]:
    cycles = _cycles(after)
    for follower in after:
        unknown = [name for name in schedules[follower].after if name not in ids]
        if unknown:
            near = difflib.get_close_matches(unknown[0], ids, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield follower, f"after names {unknown[0]!r}, and no schedule is called that{hint}"
        elif follower in cycles:
            path = " -> ".join(schedules[each].name for each in cycles[follower])
            yield follower, f"after makes a cycle: {path}"
        elif apart := _apart(follower, schedules, after, cycles):
            first, second = (" -> ".join(schedules[each].name for each in path) for path in apart)
            yield follower, f"its upstreams never share an instant: {first} and {second}"


def _cycles(after: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
    """For each schedule on a cycle, the shortest way round from it to itself, upstream by upstream."""
    return {start: found for start in after if (found := _way_round(start, after))}


def _way_round(start: int, after: Mapping[int, Sequence[int]]) -> list[int] | None:
    seen: set[int] = set()
    paths = [[start]]
    for path in paths:
        for upstream in after.get(path[-1], ()):
            if upstream == start:
                return [*path, start]
            if upstream not in seen:
                seen.add(upstream)
                paths.append([*path, upstream])
    return None


Path = list[int]


def _apart(
    follower: int,
    schedules: Mapping[int, Schedule],
    after: Mapping[int, Sequence[int]],
    cycles: Mapping[int, object],
) -> tuple[Path, Path] | None:
    """Two ways from the follower up to schedules with instants of their own that never meet."""
    sources: dict[int, Path] = {}
    seen = {follower}
    paths: list[Path] = [[follower]]
    for path in paths:
        upstreams = () if path[-1] in cycles else after.get(path[-1], ())
        if not upstreams and len(path) > 1:
            sources[path[-1]] = path[1:]
        for upstream in upstreams:
            if upstream not in seen:
                seen.add(upstream)
                paths.append([*path, upstream])
    for one, other in combinations(sources, 2):
        if not _meet(schedules[one], schedules[other]):
            return sources[one], sources[other]
    return None


def _meet(one: Schedule, other: Schedule) -> bool:
    """Whether two schedules ever share an instant that comes by itself."""
    if any(after_end_delay(each) is not None or each.cron.strip() == "@manual" for each in (one, other)):
        return False
    begin = max(one.starts_at or 0, other.starts_at or 0)
    ends = [each.ends_at for each in (one, other) if each.ends_at is not None]
    if ends and min(ends) <= begin:
        return False
    begin = max(begin, _FIRST)
    return _share(trigger_for(one), trigger_for(other), begin, min([begin + _EIGHT_YEARS, *ends]))


@lru_cache(maxsize=4096)
def _share(one: Trigger, other: Trigger, begin: Instant, end: Instant) -> bool:
    """Whether they do in [begin, end). What is too dense to tell within a year of them, may."""
    at = begin - 1
    for _ in range(_STEPS):
        left, right = one.next(at), other.next(at)
        if left is None or right is None or max(left, right) >= end:
            return False
        if left == right:
            return True
        at = max(left, right) - 1
    return at - begin < _YEAR
