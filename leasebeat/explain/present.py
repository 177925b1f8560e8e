"""What became of an instant that has a run, or several. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from leasebeat.explain.absent import not_due
from leasebeat.explain.codes import Code
from leasebeat.explain.pauses import paused_meanwhile
from leasebeat.explain.reigns import Record
from leasebeat.explain.scene import Fire, Scene, Verdict, gap_at, nodes_for, span_text
from leasebeat.explain.waiting import waiting
from leasebeat.model.instant import SECOND, Instant, from_text, to_text
from leasebeat.model.node import LEASE_BEATS
from leasebeat.model.run import ENDED, ReasonCode, Status

__all__ = ["WORST", "named_instant", "with_runs"]

WORST = (
    Status.RUNNING,
    Status.QUEUED,
    Status.LOST,
    Status.FAILED,
    Status.TIMED_OUT,
    Status.KILLED,
    Status.MISSED,
    Status.SKIPPED,
    Status.SUCCEEDED,
)
"""What a fire of several parts is called by: the first of these that one of its parts is."""

_PARTS_TOLD = 20


def named_instant(row: Record) -> Instant | None:
    """The instant of the run that a row's reason names: what was in its way, or took its place."""
    if row["reason_code"] not in (ReasonCode.OVERLAP, ReasonCode.REPLACED) and not _gave_way(row):
        return None
    found = re.search(r"the run of (\S+Z)", f"{row['reason']} {row['requested_by']}")
    return from_text(found[1]) if found else None


def _gave_way(row: Record) -> bool:
    """Whether it was killed for a later run's sake. If its node went away first, that is its reason."""
    return row["kill_requested"] == 2 and row["status"] in (Status.KILLED, Status.SKIPPED)


def with_runs(scene: Scene, fire: Fire) -> Verdict:
    """The verdict on an instant that has a row for each of its parts."""
    if len(fire.rows) == 1 and fire.rows[0]["shards"] == 1:
        return _of_run(scene, fire, fire.rows[0]).plus(*_asides(scene, fire))
    return _of_parts(scene, fire).plus(*_asides(scene, fire))


def _of_parts(scene: Scene, fire: Fire) -> Verdict:
    counts = Counter(str(row["status"]) for row in fire.rows)
    whole = max(row["shards"] for row in fire.rows)
    worst = min(fire.rows, key=lambda row: WORST.index(row["status"]))
    told = [_of_run(scene, fire, row) for row in fire.rows if row["status"] != Status.SUCCEEDED]
    code = _of_run(scene, fire, worst).code
    said = [f"{counts[status]} {status}" for status in reversed(WORST) if counts[status]]
    text = f"{len(fire.rows)} of {whole} parts: {', '.join(said)}"
    parts = [{"key": v.facts["key"], "code": v.code, "text": v.text} for v in told]
    lines = [f"{part['key']}: {part['text']}" for part in parts[:_PARTS_TOLD]]
    if len(parts) > _PARTS_TOLD:
        lines.append(f"and {len(parts) - _PARTS_TOLD} more")
    facts = {"statuses": dict(counts), "shards": whole, "parts": parts}
    return Verdict(fire.instant, code, text, tuple(lines), facts)


def _of_run(scene: Scene, fire: Fire, row: Record) -> Verdict:
    tried = _tries(fire, row)
    match row["status"]:
        case Status.QUEUED:
            verdict = waiting(scene, fire, row)
        case Status.RUNNING:
            verdict = _running(scene, row)
        case Status.SKIPPED:
            verdict = _skipped(scene, fire, row)
        case Status.MISSED:
            verdict = _missed(scene, fire, row)
        case _:
            verdict = _ended(fire, row)
    more = [_try(each) for each in tried] if len(tried) > 1 or row["status"] == Status.QUEUED else []
    hint = f"output: `leasebeat logs {row['key']}`" if row["attempt"] and row["status"] in ENDED else ""
    return verdict.plus(*more, hint, **_facts(row, tried))


# --- what is told of every run ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Try:
    """One attempt."""

    attempt: int
    node: str | None
    outcome: str
    exit_code: int | None
    reason: str | None
    began: Instant | None
    ended: Instant | None


def _tries(fire: Fire, row: Record) -> list[_Try]:
    """Every attempt, the last too: the row's own where it is running or has ended with it."""
    found = [
        _Try(
            t["attempt"],
            _node(t),
            t["outcome"],
            t["exit_code"],
            t["reason"] or t["reason_code"],
            t["started_at"],
            t["ended_at"],
        )
        for t in fire.attempts
        if t["shard"] == row["shard"]
    ]
    own = row["attempt"] and row["attempt"] not in {each.attempt for each in found}
    if own and row["status"] != Status.QUEUED:
        reason = row["reason"] or row["reason_code"]
        found.append(
            _Try(
                row["attempt"],
                _node(row),
                row["status"],
                row["exit_code"],
                reason,
                row["started_at"],
                row["finished_at"],
            )
        )
    return found


def _node(record: Record) -> str | None:
    """Its name; of a node whose row is gone, its id."""
    return record["node"] or record["node_id"]


def _try(each: _Try) -> str:
    where = f" on {each.node}" if each.node else ""
    when = f" from {to_text(each.began)}" if each.began is not None else ""
    when += f" to {to_text(each.ended)}" if each.ended is not None else ""
    code = f", exit code {each.exit_code}" if each.exit_code is not None else ""
    why = f" ({each.reason})" if each.reason else ""
    return f"attempt {each.attempt}{where}: {each.outcome}{when}{code}{why}"


def _facts(row: Record, tried: Sequence[_Try]) -> dict[str, object]:
    plain = (
        "key",
        "status",
        "reason_code",
        "reason",
        "origin",
        "attempt",
        "take_overs",
        "node",
        "exit_code",
        "version",
    )
    moments = ("ready_at", "claimed_at", "started_at", "finished_at")
    return {
        **{name: row[name] for name in plain},
        **{name: _text(row[name]) for name in moments},
        "attempts": [
            {
                "attempt": t.attempt,
                "node": t.node,
                "outcome": t.outcome,
                "exit_code": t.exit_code,
                "reason": t.reason,
                "started_at": _text(t.began),
                "ended_at": _text(t.ended),
            }
            for t in tried
        ],
    }


def _text(instant: Instant | None) -> str | None:
    return None if instant is None else to_text(instant)


_OPENED = {
    "audit": "opened by the auditor: no node had opened it at its instant",
    "after": "opened when what it follows had ended",
    "backfill": "put in by `backfill`",
}


def _asides(scene: Scene, fire: Fire) -> list[str]:
    """How it came to be, where that is not the usual way."""
    row = fire.rows[0]
    if row["origin"] == "manual":
        by = f" by {row['requested_by']}" if row["requested_by"] else ""
        owed = not_due(scene, fire.instant)
        said = ["put in by hand" + by + ("" if owed else ", at an instant that was due by itself")]
    else:
        said = (
            [_OPENED.get(row["origin"], "")] if row["status"] not in (Status.SKIPPED, Status.MISSED) else []
        )
    reign = scene.history.at(fire.instant)
    if reign is not None and reign.problem and not reign.deleted:
        said.append(f"its row could not be used then ({reign.problem}): version {reign.runs_as} ran instead")
    return said


# --- by status ----------------------------------------------------------------------------------


def _running(scene: Scene, row: Record) -> Verdict:
    since = row["started_at"] or row["claimed_at"]
    text = f"running on {_node(row)} since {to_text(since)}" if since else f"running on {_node(row)}"
    text += f", attempt {row['attempt']}" if row["attempt"] > 1 else ""
    node = next((node for node in scene.nodes if node["id"] == row["node_id"]), None)
    silent = node is not None and scene.now - node["beat_at"] > LEASE_BEATS * node["beat_s"] * SECOND
    said = f"that node has not beaten since {to_text(node['beat_at'])}" if silent and node else ""
    kill = "it was asked to end" if row["kill_requested"] else ""
    return Verdict(row["fire_at"], Code.RUNNING, text).plus(said, kill)


def _ended(fire: Fire, row: Record) -> Verdict:
    why = row["reason"] or row["reason_code"]
    text = f"{row['status']}{f' ({why})' if why else ''}"
    text += f" on {_node(row)}" if row["attempt"] and _node(row) else ""
    text += f", attempt {row['attempt']}" if row["attempt"] > 1 else ""
    return Verdict(row["fire_at"], str(row["status"]), text).plus(
        _times(row),
        _taken_over(row),
        f"it was to give way to {row['requested_by']}" if _gave_way(row) else "",
        *_rivals(fire, row),
    )


def _times(row: Record) -> str:
    said = [f"claimed at {to_text(row['claimed_at'])}"] if row["claimed_at"] else []
    if row["started_at"]:
        late = (row["started_at"] - row["fire_at"]) / SECOND
        said.append(f"began at {to_text(row['started_at'])}, {late:.3f} s after its instant")
    if row["finished_at"]:
        took = (
            f", after {(row['finished_at'] - row['started_at']) / SECOND:.3f} s" if row["started_at"] else ""
        )
        said.append(f"ended at {to_text(row['finished_at'])}{took}")
    return "; ".join(said)


def _taken_over(row: Record) -> str:
    return f"taken over {row['take_overs']} times in a row" if row["take_overs"] else ""


def _skipped(scene: Scene, fire: Fire, row: Record) -> Verdict:
    code = row["reason_code"] or Status.SKIPPED
    verdict = Verdict(row["fire_at"], str(code), f"skipped: {row['reason'] or code}")
    verdict = verdict.plus(*_rivals(fire, row))
    if code == ReasonCode.DEFINITION_CHANGED:
        return verdict.plus(_changed_by(scene, fire, row))
    return verdict


def _rivals(fire: Fire, row: Record) -> list[str]:
    """What became of the run in whose favour this one did not run, or was stopped."""
    if named_instant(row) is None:
        return []
    return [_became(other) for other in fire.others if other["shard"] == row["shard"]]


def _became(other: Record) -> str:
    ended = f" at {to_text(other['finished_at'])}" if other["finished_at"] else ""
    on = f" on {_node(other)}" if _node(other) else ""
    return f"{other['key']}: {other['status']}{ended}{on}"


def _changed_by(scene: Scene, fire: Fire, row: Record) -> str:
    """The edits between the instant and the verdict."""
    reign = scene.history.at(fire.instant)
    if reign is None:
        return ""
    told = [
        f"version {later.id} of {to_text(later.since)}" + (f": {later.change}" if later.change else "")
        for later in scene.history.after(reign)
        if row["finished_at"] is None or later.since <= row["finished_at"]
    ]
    return "; ".join(told)


def _missed(scene: Scene, fire: Fire, row: Record) -> Verdict:
    """Nobody served the queue all the while, or nobody had room, or it was found too late."""
    code, end = str(row["reason_code"] or Status.MISSED), row["finished_at"] or scene.now
    if row["until"]:
        whole = f"{row['missed_count']} instants from {to_text(row['fire_at'])} to {to_text(row['until'])}"
        return Verdict(
            row["fire_at"], Code.MISSED_SPAN, f"missed: {whole} share this row", (row["reason"] or "",)
        )
    role = "dispatch" if code == ReasonCode.MISFIRE else "execute"
    nodes = nodes_for(scene.nodes, role, row["queue"] if role == "execute" else None)
    gap = gap_at(nodes, row["fire_at"] if role == "dispatch" else row["ready_at"], scene.now)
    whole = gap is not None and (gap.until is None or gap.until >= end)
    if code == ReasonCode.NO_SLOT and whole:
        code = str(ReasonCode.NO_NODE)
    verdict = Verdict(row["fire_at"], code, f"missed: {row['reason'] or code}")
    if gap is not None:
        who = (
            f"no node served queue {row['queue']!r}"
            if role == "execute"
            else "no node that opens fires was there"
        )
        verdict = verdict.plus(f"{who} {span_text(gap)}", gap=[_text(gap.since), _text(gap.until)])
    return verdict.plus(*paused_meanwhile(scene, fire, row["queue"], row["ready_at"], end))
