"""Why there is no run at an instant. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from leasebeat.explain.codes import Code
from leasebeat.explain.reigns import Record, Reign, previous
from leasebeat.explain.scene import Fire, Scene, Verdict, gap_at, local_day, nodes_for, span_text
from leasebeat.model.instant import Instant, Micros, to_datetime, to_text
from leasebeat.model.run import ENDED
from leasebeat.model.schedule import Schedule
from leasebeat.triggers import Trigger, after_end_delay, in_window
from leasebeat.triggers.words import ManualTrigger
from leasebeat.triggers.zones import zone

__all__ = ["not_due", "without_a_run"]


def without_a_run(scene: Scene, fire: Fire) -> Verdict:
    """The verdict on an instant that has no row of its own."""
    reign = scene.history.at(fire.instant)
    if reign is not None and reign.schedule is not None and reign.schedule.after and reign.enabled:
        own = not_due(scene, fire.instant)
        return _following(scene, fire, reign.schedule) if own and own.code in _OWN else _owed(scene, fire)
    return not_due(scene, fire.instant) or _owed(scene, fire)


_OWN = frozenset({Code.NOT_DUE, Code.MANUAL})
"""Where a schedule that follows others may still have an instant: theirs."""


def not_due(scene: Scene, instant: Instant) -> Verdict | None:
    """Why the schedule owes nothing for an instant; None: it was due."""
    reign = scene.history.at(instant)
    if reign is None:
        return _not_there(scene, instant)
    if reign.deleted:
        return Verdict(
            instant,
            Code.DELETED,
            f"the schedule was gone: deleted before {to_text(reign.since)}",
            facts={"version": reign.id, "since": to_text(reign.since)},
        )
    if reign.schedule is None:
        why = reign.problem or "its recorded definition cannot be read by this version"
        return _of_reign(instant, reign, Code.PROBLEM, f"its row could not be used: {why}")
    return _by_its_words(scene, instant, reign, reign.schedule)


def _not_there(scene: Scene, instant: Instant) -> Verdict:
    first = scene.history.reigns[0] if scene.history.reigns else None
    if first is None:
        text = "no node has read the schedule yet"
        text += f"; its row is of {to_text(scene.created_at)}" if scene.created_at else ""
        gap = gap_at(nodes_for(scene.nodes, "dispatch"), scene.now, scene.now)
        return Verdict(instant, Code.NOT_READ, text).plus("no node is there" if gap else "")
    text = f"the schedule was not there yet: it holds from {to_text(first.since)} on"
    facts = {"since": to_text(first.since), "version": first.id}
    return Verdict(instant, Code.NOT_THERE_YET, text, facts=facts)


def _of_reign(instant: Instant, reign: Reign, code: str, text: str) -> Verdict:
    since = f"so since {to_text(reign.since)} (version {reign.id}"
    since += f", which changed {reign.change})" if reign.change else ")"
    return Verdict(
        instant,
        code,
        text,
        (since,),
        {"version": reign.id, "since": to_text(reign.since), "diff": reign.diff},
    )


def _by_its_words(scene: Scene, instant: Instant, reign: Reign, schedule: Schedule) -> Verdict | None:
    trigger, bare = reign.trigger, reign.bare
    assert trigger is not None
    assert bare is not None
    if not (_fires(trigger, instant) or _fires(bare, instant)):
        return _no_instant(instant, reign, schedule, trigger)
    if not reign.enabled:
        first = scene.history.alike_since(reign)
        return _of_reign(instant, first, Code.DISABLED, "the schedule was paused (enabled = 0)")
    if not in_window(schedule, instant):
        return _outside(instant, schedule)
    return None if _fires(trigger, instant) else _excluded(scene, instant, reign, schedule, trigger)


def _fires(trigger: Trigger, instant: Instant) -> bool:
    return trigger.next(instant - 1) == instant


def _no_instant(instant: Instant, reign: Reign, schedule: Schedule, trigger: Trigger) -> Verdict:
    if isinstance(trigger, ManualTrigger):
        return Verdict(
            instant, Code.MANUAL, "cron is @manual: it runs only when it is asked for", facts=_version(reign)
        )
    delay = after_end_delay(schedule)
    if delay is not None:
        text = f"cron is {schedule.cron}: its instants follow the ends of its own runs, and this is none"
        return Verdict(instant, Code.NOT_DUE, text, facts=_version(reign))
    if change := _clock_change(instant, reign, schedule):
        return Verdict(
            instant, Code.CLOCK_CHANGE, change, facts=_around(trigger, instant, reign) | _version(reign)
        )
    facts = _around(trigger, instant, reign)
    text = f"not due: cron {schedule.cron!r} ({schedule.timezone}) does not have this instant"
    before, after = facts["previous_at"] or "none", facts["next_at"] or "none"
    return Verdict(
        instant, Code.NOT_DUE, text, (f"previous: {before}; next: {after}",), facts | _version(reign)
    )


def _version(reign: Reign) -> dict[str, object]:
    return {"version": reign.id}


def _around(trigger: Trigger, instant: Instant, reign: Reign) -> dict[str, object]:
    before, after = previous(trigger, instant), trigger.next(instant)
    before = before if before is not None and before > reign.since else None
    return {
        "previous_at": None if before is None else to_text(before),
        "next_at": None if after is None else to_text(after),
    }


def _clock_change(instant: Instant, reign: Reign, schedule: Schedule) -> str | None:
    """What a change of the clocks took away, and another choice of `dst` would have left."""
    if reign.generous is None or not _fires(reign.generous, instant):
        return None
    here = to_datetime(instant).astimezone(zone(schedule.timezone))
    when, where = f"{here:%H:%M:%S}", f"in {schedule.timezone} on {here:%Y-%m-%d}"
    if here.fold:
        return f"{when} came twice {where}: due the first time, and dst = {schedule.dst} does not repeat it"
    return f"the clocks were put forward to {when} {where}: dst = {schedule.dst} leaves out what they passed"


def _outside(instant: Instant, schedule: Schedule) -> Verdict:
    start, end = schedule.starts_at, schedule.ends_at
    early = start is not None and instant < start
    edge = start if early else end
    assert edge is not None
    text = f"before starts_at, {to_text(edge)}" if early else f"not before ends_at, {to_text(edge)}"
    facts = {"starts_at": start and to_text(start), "ends_at": end and to_text(end)}
    return Verdict(instant, Code.OUTSIDE_WINDOW, f"outside the schedule's window: {text}", facts=facts)


def _excluded(scene: Scene, instant: Instant, reign: Reign, schedule: Schedule, trigger: Trigger) -> Verdict:
    day, name = local_day(instant, schedule.timezone).isoformat(), schedule.calendar or ""
    note = scene.notes.get((name, day), "")
    text = f"calendar {name!r} leaves out {day}" + (f" ({note})" if note else "")
    facts = {"calendar": name, "day": day, "note": note} | _around(trigger, instant, reign)
    return Verdict(instant, Code.CALENDAR, text, (f"next: {facts['next_at'] or 'none'}",), facts)


# --- due, and no row ----------------------------------------------------------------------------


def _owed(scene: Scene, fire: Fire) -> Verdict:
    instant = fire.instant
    if fire.span is not None:
        return _spanned(instant, fire.span)
    if instant > scene.now:
        return Verdict(instant, Code.FUTURE, f"due in {_length(instant - scene.now)}, if nothing changes")
    if scene.watermark is None or instant > scene.watermark:
        return _unaudited(scene, instant)
    age = scene.now - instant
    if age > min(scene.kept.succeeded, scene.kept.failed):
        text = f"due, and older than runs are kept: successes {_length(scene.kept.succeeded)},"
        return Verdict(instant, Code.NOT_KEPT, f"{text} others {_length(scene.kept.failed)}")
    text = "due, and without a run although the audit is past it: removed by hand, by max_runs"
    return Verdict(instant, Code.NO_RECORD, f"{text}, or from before the first audit")


def _spanned(instant: Instant, span: Record) -> Verdict:
    first, last = to_text(span["fire_at"]), to_text(span["until"])
    text = f"missed: one of {span['missed_count']} instants from {first} to {last} that share a row"
    facts = {name: span[name] for name in ("key", "status", "reason_code", "reason", "missed_count")}
    return Verdict(
        instant, Code.MISSED_SPAN, text, (span["reason"] or "",), {**facts, "until": last, "since": first}
    )


def _unaudited(scene: Scene, instant: Instant) -> Verdict:
    reached = None if scene.watermark is None else to_text(scene.watermark)
    audit = f"the audit has come as far as {reached}" if reached else "no audit has begun yet"
    text = f"due, and not opened yet; {audit}"
    gap = gap_at(nodes_for(scene.nodes, "dispatch"), scene.now, scene.now)
    why = f"no node that opens fires is there ({span_text(gap)})" if gap else ""
    return Verdict(instant, Code.NOT_AUDITED, text, facts={"watermark": reached}).plus(why)


def _length(micros: Micros) -> str:
    return str(timedelta(seconds=round(micros / 1_000_000)))


# --- followers ----------------------------------------------------------------------------------


def _following(scene: Scene, fire: Fire, schedule: Schedule) -> Verdict:
    """A schedule with `after` has the instants that all of its upstreams have runs of."""
    names, instant = ", ".join(schedule.after), fire.instant
    if scene.cannot:
        return Verdict(instant, Code.PROBLEM, f"it follows {names}, and cannot: {scene.cannot}")
    ups = {name: fire.upstreams.get(name, ()) for name in schedule.after}
    without = [name for name, rows in ups.items() if not rows]
    if without:
        has = "has" if len(without) == 1 else "have"
        text = f"it follows {names}, and {', '.join(without)} {has} no run at this instant"
        return Verdict(instant, Code.NO_UPSTREAM, text, facts={"upstreams": without})
    open_ones = [row["key"] for rows in ups.values() for row in rows if row["status"] not in ENDED]
    if open_ones:
        text = f"it follows {names}, and {_listed(open_ones)} has not ended"
        return Verdict(instant, Code.WAITS_UPSTREAM, text, facts={"upstreams": open_ones})
    last = max(row["finished_at"] or 0 for rows in ups.values() for row in rows)
    if scene.now - last > min(scene.kept.succeeded, scene.kept.failed):
        return _owed(scene, replace(fire, upstreams={}))
    text = f"it follows {names}, which ended at {to_text(last)}; no node has opened it yet"
    gap = gap_at(nodes_for(scene.nodes, "dispatch"), scene.now, scene.now)
    return Verdict(instant, Code.WAITS_UPSTREAM, text).plus("no node is there" if gap else "")


def _listed(keys: Sequence[str], most: int = 3) -> str:
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + more
