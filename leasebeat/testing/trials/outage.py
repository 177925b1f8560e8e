"""Everything stops for an hour: what becomes of a hundred minutely schedules afterwards.

The hour passes on the server's own clock (libfaketime), while no worker lives. Workers go by the
store's clock and are started as always.

    minute + 0         the schedules are read; the workers leave
    minute + 1 h       the last missed instant
    minute + 1 h 44 s  the workers are started: 60 instants of each schedule have no row
    minute + 1 h 1 min the next instant comes as ever
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from leasebeat.model.instant import SECOND, Instant, to_text
from leasebeat.model.run import parse_key
from leasebeat.testing.evidence import Evidence, Execution, executions
from leasebeat.testing.evidence import findings as general
from leasebeat.testing.fleet import Fleet, sleep_until, until, utc
from leasebeat.testing.private import PrivateMysql, value
from leasebeat.testing.servers import MariaDB

__all__ = ["Kind", "OutageResult", "most_behind", "most_within_a_second", "run", "side_by_side", "wrong_rows"]

MINUTE = 60 * SECOND
MISSED = 60
"""Instants of each schedule in the outage."""

BACK = 44 * SECOND
"""After the last of them the workers are started: they have 16 s until the next instant."""


RECORDED = SECOND
"""A run is open until so long after its task has ended."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Schedules of one kind, and which of their missed instants run: the newest so many."""

    misfire: str
    overlap: str
    grace_s: int
    run: int


KINDS = (
    Kind("once", "skip", 3600, 1),
    Kind("all", "skip", 600, 10),
    Kind("skip", "skip", 3600, 0),
    Kind("once", "allow", 10, 0),  # the latest is older than the grace, too
    Kind("all", "allow", 3600, MISSED),
    Kind("all", "wait", 300, 5),
    Kind("all", "skip", 3600, MISSED),
    Kind("all", "wait", 1800, MISSED // 2),
)

End = tuple[str, str | None]
"""(status, reason_code)."""


@dataclass(frozen=True, slots=True)
class OutageResult:
    """What became of it."""

    schedules: int
    missed: dict[str, int]  #: rows of missed instants, by `misfire: status reason_code`
    live: dict[str, int]  #: rows of the instants after the outage, by `status reason_code`
    allowed_per_s: int
    most_per_s: int  #: tasks of missed instants that began within any one second
    took_s: float  #: from the first of their beginnings to the last
    behind_s: float  #: that an older instant began after a newer one, where they may run side by side
    findings: list[str]

    def lines(self) -> list[str]:
        """For people."""
        late = f"an older one at most {self.behind_s:.2f} s after a newer one"
        return [
            f"{self.schedules} minutely schedules, an hour's outage; the rows of the missed instants:",
            *(f"  {what}: {count}" for what, count in self.missed.items()),
            f"at most {self.most_per_s} starts in any second, catch_up_per_s = {self.allowed_per_s}",
            f"the missed instants began within {self.took_s:.1f} s, {late}",
            f"the instants that came meanwhile and afterwards: {self.live}",
            *(self.findings or ["the checker found nothing"]),
        ]


def run(folder: Path, redis_url: str, schedules: int = 100, per_s: int = 50) -> OutageResult:
    """Let an hour pass without workers, then let them catch up, until the next instant after that."""
    with (
        MariaDB(folder, durable=True, faketime=True) as server,
        Fleet(folder, PrivateMysql(server.mysql), redis_url, audit_catch_up_per_s=per_s) as fleet,
    ):
        kinds = {f"job-{number}": KINDS[number % len(KINDS)] for number in range(schedules)}
        minute = _let_an_hour_pass(server, fleet, kinds)
        fleet.start("a", "b", "c")
        last_missed = minute + MISSED * MINUTE
        until(lambda: fleet.settled(last_missed + SECOND), 240, f"it catches up\n{fleet.tails()}")
        last = max(last_missed, fleet.store.now() // MINUTE * MINUTE) + MINUTE
        sleep_until(fleet.store, last)
        until(lambda: fleet.settled(last + SECOND), 60, f"everything ends\n{fleet.tails()}")
        missed = range(minute + MINUTE, last_missed + MINUTE, MINUTE)
        return _result(fleet, kinds, missed, range(last_missed + MINUTE, last + MINUTE, MINUTE), per_s)


def _let_an_hour_pass(server: MariaDB, fleet: Fleet, kinds: Mapping[str, Kind]) -> Instant:
    """The instant before the outage: the schedules are known by then, and the audit has come past it."""
    minute = (fleet.store.now() // MINUTE + 1) * MINUTE
    _set_clock(server, minute - SECOND)
    fleet.schedule(*(_row(name, kind, minute + SECOND) for name, kind in kinds.items()))
    fleet.start("a")
    audited = f"SELECT watermark > '{utc(minute + SECOND)}' FROM roles WHERE name = 'auditor'"
    versions = "SELECT COUNT(*) FROM schedule_history"
    until(
        lambda: value(fleet.store, audited) and value(fleet.store, versions) == len(kinds),
        30,
        f"the schedules are read\n{fleet.tails()}",
    )
    fleet["a"].terminate()
    _set_clock(server, minute + MISSED * MINUTE + BACK)
    assert fleet.counts() == {}, "something ran before the outage"
    return minute


def _row(name: str, kind: Kind, first: Instant) -> dict[str, object]:
    return {
        "name": name,
        "cron": "* * * * *",
        "starts_at": utc(first),
        "misfire": kind.misfire,
        "misfire_grace_s": kind.grace_s,
        "overlap": kind.overlap,
        "longest": 1,
    }


def _set_clock(server: MariaDB, instant: Instant) -> None:
    server.shift_clock(f"{(instant - time.time_ns() // 1000) // SECOND:+d}s")


def _result(
    fleet: Fleet, kinds: Mapping[str, Kind], missed: Sequence[Instant], live: Sequence[Instant], per_s: int
) -> OutageResult:
    ends = _ends(fleet)
    due = frozenset(f"{name}@{to_text(at)}" for name in kinds for at in [*missed, *live])
    evidence = fleet.collect(due)
    late = [e for e in executions(evidence.lines) if parse_key(e.key)[1] in missed]
    begun = sorted(execution.begin for execution in late)
    free = [e for e in late if kinds[parse_key(e.key)[0]].overlap == "allow"]
    return OutageResult(
        schedules=len(kinds),
        missed=_count(
            (f"{kinds[n].misfire}: ", ends[n, at]) for n in kinds for at in missed if (n, at) in ends
        ),
        live=_count(("", ends[n, at]) for n in kinds for at in live if (n, at) in ends),
        allowed_per_s=per_s,
        most_per_s=most_within_a_second(begun),
        took_s=(begun[-1] - begun[0]) / 1e9,
        behind_s=most_behind(free) / 1e9,
        findings=[
            *general(_without_clock(evidence)),
            *wrong_rows(ends, kinds, missed, _with_busy(evidence, late, live)),
            *side_by_side(kinds, late),
        ],
    )


def _with_busy(
    evidence: Evidence, late: Sequence[Execution], live: Sequence[Instant]
) -> dict[Instant, set[str]]:
    """Schedules of which a missed instant's task ended after the instant, or a moment before it."""
    ended = [(parse_key(e.key)[0], e.last // 1000 + evidence.lead + RECORDED) for e in late]
    return {at: {name for name, end in ended if end > at} for at in live}


def _without_clock(evidence: Evidence) -> Evidence:
    """The nodes of before the outage beat by another clock."""
    return replace(evidence, nodes=[node for node in evidence.nodes if node.state != "left"])


def _ends(fleet: Fleet) -> dict[tuple[str, Instant], End]:
    rows = fleet.store.rows("SELECT `key`, status, reason_code FROM run_list")
    return {parse_key(row["key"])[:2]: (row["status"], row["reason_code"]) for row in rows}


def _count(found: Iterator[tuple[str, End]]) -> dict[str, int]:
    said = Counter(f"{what}{status} {code or ''}".strip() for what, (status, code) in found)
    return dict(sorted(said.items()))


# --- what must not have happened ----------------------------------------------------------------


def wrong_rows(
    ends: Mapping[tuple[str, Instant], End],
    kinds: Mapping[str, Kind],
    missed: Sequence[Instant],
    live: Mapping[Instant, Set[str]],
) -> Iterator[str]:
    """Rows of instants that are not what docs/guarantee.md says of their schedule's misfire and grace.

    `live` are the instants after the outage, each with the schedules of which a late run was open then.
    """
    for name, kind in kinds.items():
        for index, at in enumerate(missed):
            runs = index >= len(missed) - kind.run
            wanted = ("succeeded", None) if runs else ("missed", "misfire")
            if ends.get((name, at)) != wanted:
                yield f"{name}@{to_text(at)} ({kind}) is {ends.get((name, at))}, should be {wanted}"
        for at, busy in live.items():
            allowed: list[End] = [("succeeded", None)]
            if name in busy and kind.overlap != "allow":
                allowed.append(("skipped", "overlap"))
            if ends.get((name, at)) not in allowed:
                yield f"{name}@{to_text(at)} ({kind}) is {ends.get((name, at))}, should be {allowed}"


def side_by_side(kinds: Mapping[str, Kind], late: Sequence[Execution]) -> Iterator[str]:
    """Where `overlap` is not `allow` missed instants run one after the other, oldest first."""
    before: dict[str, Execution] = {}
    for execution in late:
        name, at, _ = parse_key(execution.key)
        former = before.get(name)
        before[name] = execution
        if former is None or kinds[name].overlap == "allow":
            continue
        if former.last_order > execution.order:
            yield f"{execution.key} began while {former.key} ran"
        if parse_key(former.key)[1] > at:
            yield f"{execution.key} began after {former.key}"


def most_within_a_second(begun: Sequence[int]) -> int:
    """Of sorted nanoseconds, the most that lie within one second."""
    return max(bisect_right(begun, at + 999_999_999) - index for index, at in enumerate(begun))


def most_behind(late: Sequence[Execution]) -> int:
    """Nanoseconds that an execution began after one of a newer instant had, at worst."""
    worst = 0
    first: dict[Instant, int] = {}  #: when each instant began
    for execution in late:
        at = parse_key(execution.key)[1]
        newer = [begun for instant, begun in first.items() if instant > at]
        worst = max(worst, execution.begin - min(newer, default=execution.begin))
        first.setdefault(at, execution.begin)
    return worst
