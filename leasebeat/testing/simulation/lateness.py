"""When things may start: jitter, instants that follow an end, and what becomes of those that were missed."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from leasebeat.model.instant import SECOND, Instant, Micros, to_text
from leasebeat.model.run import RunKey
from leasebeat.store.base import CLAIM_REACH
from leasebeat.testing.invariants import invariant
from leasebeat.testing.simstore.base import WatermarkMove
from leasebeat.testing.simstore.tables import Run, RunChange
from leasebeat.testing.simulation.calendars import instants_of
from leasebeat.testing.simulation.evidence import Evidence, Violation, key_of
from leasebeat.testing.simulation.tasks import TaskBegin

LAG: Micros = 2 * SECOND
"""The audit looks at what is older than this."""

UNDER_WAY: Micros = 15 * SECOND
"""A row may be written so long after it was judged."""


@invariant("I14", "I15")
def catch_ups_are_judged_by_misfire(evidence: Evidence) -> Iterator[Violation]:
    """Where the watermark was long behind: once, all or skip; elsewhere every instant is opened."""
    watermark: Instant | None = None
    for entry in evidence.journal:
        if entry.__class__ is WatermarkMove:
            watermark = entry.new
        elif entry.__class__ is RunChange and entry.statement == "open_missing" and watermark is not None:
            found = _misjudged(evidence, entry, entry.now - LAG - watermark)
            if found:
                yield Violation("misfire", f"{key_of(entry.key)} is {entry.status}: {found}", entry.at)


def _misjudged(evidence: Evidence, change: RunChange, behind: Micros) -> str | None:
    schedule = evidence.schedule_of(change.key)
    if not schedule or change.reason_code in ("definition_changed", "no_node"):
        return None
    late = change.now - change.key.fire_at
    grace = round(float(schedule["misfire_grace_s"]) * SECOND)
    missed = change.status == "missed"
    if not missed and late > grace + UNDER_WAY:
        return f"{late / SECOND:g} s late"
    if missed and late > grace - UNDER_WAY:
        return None
    misfire = schedule["misfire"] if behind - UNDER_WAY > CLAIM_REACH else "all"
    if CLAIM_REACH < behind <= CLAIM_REACH + UNDER_WAY:
        return None  # either may be right
    match misfire:
        case "all":
            return "every instant is opened" if missed else None
        case "skip":
            return None if missed else "misfire is skip"
        case _:
            if missed:
                return None if _later(schedule, change, LAG) else "it is the latest that was missed"
            return "a later one was missed, too" if _later(schedule, change, LAG + UNDER_WAY) else None


def _later(schedule: Mapping[str, Any], change: RunChange, lag: Micros) -> bool:
    return bool(instants_of({**schedule, "enabled": 1}, change.key.fire_at, change.now - lag))


def catch_ups_are_spread(evidence: Evidence) -> Iterator[Violation]:
    """In no second are more runs of a catch-up taken than catch_up_per_s, or one on each node.

    A reply that is lost or late makes their tasks begin later, and then perhaps together.
    """
    born = {change.key: change for change in evidence.of(RunChange) if change.was is None}
    late = sorted(
        change.now
        for change in evidence.of(RunChange)
        if change.status == "running" and change.attempt == 1 and is_late(born.get(change.key))
    )
    may = max(evidence.catch_up_per_s, len({node.name for node in evidence.nodes.values()}))
    for index, at in enumerate(late):
        count = bisect_left(late, at + SECOND) - index
        if count > may:
            what = f"{count} runs of a catch-up were taken in a second, {may} may"
            yield Violation("catch-ups are spread", what, at)


def is_late(born: RunChange | Run | None) -> bool:
    """Whether a run is one of a catch-up: opened by the audit long after its instant."""
    return born is not None and born.origin == "audit" and born.ready_at >= born.key.fire_at + CLAIM_REACH


def jitter_is_kept(evidence: Evidence) -> Iterator[Violation]:
    """Each schedule starts the same while after its instants, less than jitter_s, and not at once."""
    known: dict[tuple[str, float], Micros] = {}
    for change in evidence.of(RunChange):
        if change.was is not None or change.origin != "trigger" or change.status == "skipped":
            continue
        schedule = evidence.schedule_of(change.key)
        jitter = float(schedule["jitter_s"])
        delay = change.ready_at - change.key.fire_at
        usual = known.setdefault((str(schedule["name"]), jitter), delay)
        fits = 0 < delay < jitter * SECOND if jitter else delay == 0
        if not fits or delay != usual:
            what = f"{key_of(change.key)} is ready after {delay / SECOND:g} s, jitter_s is {jitter:g}"
            yield Violation("jitter", what, change.at)


@invariant("I20")
def nothing_starts_before_it_is_ready(evidence: Evidence) -> Iterator[Violation]:
    """Jitter, retry delays and spread starts are waited for."""
    ready: dict[RunKey, Instant] = {}
    for entry in evidence.journal:
        if entry.__class__ is RunChange:
            ready[entry.key] = entry.ready_at
        elif entry.__class__ is TaskBegin and entry.store_high < ready.get(entry.key, 0):
            early = (ready[entry.key] - entry.store_high) / SECOND
            yield Violation(
                "nothing starts before it is ready", f"{key_of(entry.key)}: {early:g} s", entry.at
            )


def after_end_follows_its_own_end(evidence: Evidence) -> Iterator[Violation]:
    """`@after_end`: one fire is open at a time, each a delay after an end, and it goes on."""
    ends: dict[int, set[Instant]] = defaultdict(set)
    begins: dict[int, set[Instant]] = defaultdict(set)
    for version in evidence.versions.values():
        begins[version.schedule_id] |= {version.valid_from}
    open_runs: dict[int, set[RunKey]] = defaultdict(set)
    for change in evidence.of(RunChange):
        run = evidence.rows[change.key]
        of = change.key.schedule_id
        if change.status not in ("queued", "running"):
            ends[of] |= {change.now, change.key.fire_at}  # the later one: the clock may have been set back
            open_runs[of].discard(change.key)
        elif (delay := _delay(evidence.schedule(run.version))) is not None and run.origin == "after":
            open_runs[of].add(change.key)
            fires = {key.fire_at for key in open_runs[of]}
            at = change.key.fire_at
            if len(fires) > 1:
                yield Violation("@after_end", f"{key_of(change.key)} is open beside another", change.at)
            starts_at = evidence.schedule(run.version).get("starts_at")
            if change.was is None and at - delay not in ends[of] and at not in begins[of] and at != starts_at:
                yield Violation("@after_end", f"{key_of(change.key)} follows no end", change.at)
    yield from _stopped(evidence, ends, open_runs)


def _stopped(
    evidence: Evidence, ends: Mapping[int, set[Instant]], open_runs: Mapping[int, set[RunKey]]
) -> Iterator[Violation]:
    newest = {version.schedule_id: version for version in evidence.versions.values()}
    opened = {run.key.schedule_id for run in evidence.rows.values() if run.open}
    for of in evidence.enabled & newest.keys():
        schedule = evidence.schedule(newest[of].id)
        delay = _delay(schedule) if newest[of].problem is None else None
        if delay is None or of in opened or open_runs.get(of) or schedule.get("ends_at"):
            continue
        since = max(
            [*ends.get(of, ()), newest[of].valid_from, evidence.calm_since, schedule.get("starts_at") or 0]
        )
        if evidence.store_now - since - delay > evidence.lease + 60 * SECOND:
            yield Violation("@after_end", f"{of} has not gone on since {to_text(since)}")


def _delay(schedule: Mapping[str, Any]) -> Micros | None:
    text = str(schedule.get("cron", ""))
    return (
        round(float(text.removeprefix("@after_end ")[:-1]) * SECOND)
        if text.startswith("@after_end")
        else None
    )
