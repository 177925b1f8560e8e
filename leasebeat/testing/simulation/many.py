"""Many seeds at once, on several cores, and what they came to on one page.

scripts/simulate --seeds 10000 --jobs 2        seeds 0 to 9999
scripts/simulate --nightly                     a million seeds of this date, for so many minutes;
                                               started again on the same date it goes on
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from leasebeat.testing.simulation.seed import Plan, describe, run_seed, shrunk

NIGHTLY = 1_000_000
_SHOWN = 10
_STEP_S = 30.0
_CHUNK = 8


@dataclass(slots=True)
class Summary:
    """What the seeds came to."""

    totals: Counter[str] = field(default_factory=Counter[str])
    broken: list[str] = field(default_factory=list[str])  #: descriptions, shrunk
    seconds: float = 0.0  #: of wall time
    cpu_s: float = 0.0  #: of all processes

    def page(self) -> str:
        """One page for people."""
        fires = self.totals["fires"]
        lines = [
            f"{self.totals['seeds']:,} seeds, {len(self.broken)} with violations",
            (
                f"{fires:,} fires in {self.seconds:,.0f} s: {_rate(fires, self.seconds)}, "
                f"{_rate(fires, self.cpu_s)} of CPU"
            ),
            "",
            *(f"{count:>14,} {name}" for name, count in sorted(self.totals.items()) if name != "seeds"),
            "",
            *self.broken[:_SHOWN],
        ]
        return "\n".join(lines).rstrip()


def _rate(count: int, seconds: float) -> str:
    return f"{count / max(seconds, 1e-9):,.0f} a second"


def run_many(seeds: Iterable[int], jobs: int, until: float = float("inf")) -> Iterator[Summary]:
    """Run them; the same summary again and again, as it grows. Starts none after `until` (monotonic)."""
    summary, began = Summary(), time.monotonic()
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        chunks = _chunks(seeds, until)
        for part in pool.imap(_run, chunks) if jobs > 1 else map(_run, chunks):
            summary.totals += part.totals
            summary.broken += part.broken
            summary.cpu_s += part.cpu_s
            summary.seconds = time.monotonic() - began
            yield summary


def _chunks(seeds: Iterable[int], until: float) -> Iterator[list[int]]:
    chunk: list[int] = []
    for seed in seeds:
        if time.monotonic() >= until:
            return
        chunk.append(seed)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _run(seeds: list[int]) -> Summary:
    gc.set_threshold(50_000, 20, 100)  # a seed makes a million small objects that live until its end
    found = Summary()
    for seed in seeds:
        report = run_seed(seed)
        found.totals += report.totals + Counter(seeds=1)
        found.cpu_s += report.seconds
        if report.violations:
            found.broken.append(describe(shrunk(report, Plan())))
    return found


def simulate_many(first: int, count: int, jobs: int) -> int:
    """Run so many seeds and print the page. Exit code 1 if one of them does not hold."""
    summary, told = Summary(), time.monotonic()
    for summary in run_many(range(first, first + count), jobs):
        if time.monotonic() - told > _STEP_S:
            told = time.monotonic()
            print(f"{summary.totals['seeds']:,} of {count:,}, {len(summary.broken)} broken", flush=True)
    print(summary.page())
    return 1 if summary.broken else 0


def simulate_nightly(state: Path, minutes: float, jobs: int) -> int:
    """Run the seeds of this date from where an earlier run of the date stopped."""
    today = datetime.now(UTC).date()
    first = today.toordinal() * NIGHTLY
    done = _done(state, str(today))
    until = time.monotonic() + minutes * 60
    summary = Summary()
    parts = _batches(first + done, first + NIGHTLY, jobs, until)
    for summary in parts:
        _remember(state, str(today), done + summary.totals["seeds"])
    print(f"{today}: seeds {first + done} and on; {done + summary.totals['seeds']:,} of {NIGHTLY:,} done")
    print(summary.page())
    return 1 if summary.broken else 0


def _batches(first: int, end: int, jobs: int, until: float) -> Iterator[Summary]:
    """Batches, so that the pool does not take in a million numbers at once."""
    total, began = Summary(), time.monotonic()
    while first < end and time.monotonic() < until:
        batch = range(first, min(first + 100 * jobs, end))
        part = deque(run_many(batch, jobs, until), maxlen=1).pop()
        total.totals += part.totals
        total.broken += part.broken
        total.cpu_s += part.cpu_s
        total.seconds = time.monotonic() - began
        first += part.totals["seeds"]
        yield total


def _done(state: Path, today: str) -> int:
    if not state.exists():
        return 0
    found = json.loads(state.read_text())
    return int(found["done"]) if found["date"] == today else 0


def _remember(state: Path, today: str, done: int) -> None:
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text(json.dumps({"date": today, "done": done}))
