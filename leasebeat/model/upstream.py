"""What a follower is told of the runs that it followed: `LEASEBEAT_UPSTREAM`, made to fit.

A list of objects with `key`, `schedule`, `shard`, `shards`, `status`, `exit_code` and `result`, or
`result_omitted` in place of a result that there was no room for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

__all__ = ["UPSTREAM_BYTES", "Upstream", "fit", "parse"]

UPSTREAM_BYTES = 100_000
"""The most that a task is told. Linux takes 128 KiB for one string of an environment."""

Upstream = dict[str, Any]
"""One run, or `{"more": n}` for those that there was no room for."""


def parse(text: str) -> list[Upstream]:
    """The runs that a text of this form tells of."""
    return json.loads(text)


def fit(text: str, most_bytes: int = UPSTREAM_BYTES) -> str:
    """`text` in ASCII and within `most_bytes`, also where it is itself a string of JSON.

    Results give way first, the largest before the others; then runs, from the end of the list.
    """
    if text.isascii() and _size(text) <= most_bytes:
        return text
    told = _without_large_results(parse(text), most_bytes)
    whole = _dump(told)
    return whole if _size(whole) <= most_bytes else _beginning(told, most_bytes)


def _without_large_results(told: Sequence[Upstream], most_bytes: int) -> list[Upstream]:
    sizes = [_size(_dump(run)) for run in told]
    bare = [_omitted(run) for run in told]
    gains = [size - _size(_dump(run)) for size, run in zip(sizes, bare, strict=True)]
    total = sum(sizes) + 2 * len(told)
    kept = list(told)
    for number in sorted(range(len(told)), key=lambda number: -gains[number]):
        if total <= most_bytes or gains[number] <= 0:
            break
        kept[number] = bare[number]
        total -= gains[number]
    return kept


def _omitted(run: Upstream) -> Upstream:
    if run.get("result") is None:
        return run
    return {name: value for name, value in run.items() if name != "result"} | {"result_omitted": True}


def _beginning(told: Sequence[Upstream], most_bytes: int) -> str:
    """As many of the first runs as fit, and how many more there were."""
    room = most_bytes - _size(_dump([{"more": len(told)}]))
    count = 0
    for run in told:
        room -= _size(_dump(run))
        if room < 0:
            break
        count += 1
    return _dump([*told[:count], {"more": len(told) - count}])


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _size(text: str) -> int:
    """Bytes of the text as a string of JSON: how it travels to the process that starts the task."""
    return len(json.dumps(text))
