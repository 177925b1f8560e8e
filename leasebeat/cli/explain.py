"""`explain`: what became of an instant of a schedule, or why nothing did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from leasebeat.cli.asked import Asked, asked
from leasebeat.cli.exits import DONE, Usage
from leasebeat.cli.inquiry import MOST, Inquiry, inquiries, inquiry
from leasebeat.cli.moments import key_parts
from leasebeat.cli.options import COMMON, Common, desk_of, settings_of
from leasebeat.cli.output import Column, note, print_json, print_line, print_table
from leasebeat.errors import NotFound
from leasebeat.explain.scene import Verdict
from leasebeat.model.instant import Instant, to_datetime, to_text
from leasebeat.settings import Retention

if TYPE_CHECKING:
    from leasebeat.store.desk import Desk

__all__ = ["explain", "verdict_record"]

_ONE_BY_ONE = 40
"""More instants than these are told in groups."""

_COLUMNS = [Column("INSTANT"), Column("CODE"), Column("WHAT", "fold")]
_GROUPS = [
    Column("FROM"),
    Column("TO"),
    Column("INSTANTS", right=True),
    Column("CODE"),
    Column("THE FIRST", "fold"),
]


def explain(
    name: Annotated[str, Parameter(help="A schedule, also one that is gone, or the key of a run.")],
    /,
    *instant: Annotated[
        str,
        Parameter(
            help="2026-11-20T03:00:00Z, or by the clock of the schedule's zone: 2026-11-20 03:00, today"
            " 03:00, yesterday, 03:00 (the last one), 20 min ago (the last one before). [the last]"
        ),
    ],
    common: Common = COMMON,
) -> int:
    """Say what became of an instant of a schedule, or why nothing did."""
    retention = settings_of(common).retention
    with desk_of(common) as desk:
        inquiry, question = _question(desk, name, " ".join(instant), retention)
        verdicts = inquiry.verdicts(_instants(inquiry, question))
    if common.json:
        print_json([verdict_record(inquiry.scene.name, verdict) for verdict in verdicts])
        return DONE
    if question.note:
        note(question.note)
    _tell(inquiry, verdicts)
    return DONE


def verdict_record(name: str, verdict: Verdict) -> dict[str, object]:
    """A verdict as JSON has it."""
    return {
        "schedule": name,
        "instant": to_text(verdict.instant),
        "code": verdict.code,
        "text": verdict.text,
        "more": list(verdict.more),
        "facts": dict(verdict.facts),
    }


def _question(desk: Desk, name: str, words: str, retention: Retention) -> tuple[Inquiry, Asked]:
    if "@" in name:
        if words:
            raise Usage(
                f"explain: {name!r} is the key of a run and has its instant; expected nothing after it"
            )
        return _of_key(desk, name, retention)
    likeliest: tuple[Inquiry, Asked] | None = None
    for each in inquiries(desk, name, retention):
        question = asked(words, each.zone, each.scene.now)
        likeliest = likeliest or (each, question)
        if each.was_called(name, question.end):
            return each, question
    assert likeliest is not None
    return likeliest


def _of_key(desk: Desk, text: str, retention: Retention) -> tuple[Inquiry, Asked]:
    """Of a run that is on record, by its schedule's name then; else by the name alone."""
    name, fire_at, shard = key_parts(text)
    question = Asked(fire_at, fire_at)
    try:
        schedule_id = desk.run_named(name, fire_at, shard).schedule_id
    except NotFound:
        return next(inquiries(desk, name, retention)), question
    return inquiry(desk, schedule_id, name, retention), question


def _instants(inquiry: Inquiry, question: Asked) -> list[Instant]:
    if question.last:
        return [inquiry.last(question.end)]
    if question.begin == question.end:
        return [question.begin]
    found = inquiry.instants(question.begin, question.end)
    if len(found) >= MOST:
        raise Usage(
            f"there are {MOST} instants or more in that time; expected an instant, or a schedule with fewer"
        )
    return found or [question.begin]


# --- for people ---------------------------------------------------------------------------------


def _tell(inquiry: Inquiry, verdicts: Sequence[Verdict]) -> None:
    if len(verdicts) == 1:
        _tell_one(inquiry, verdicts[0])
        return
    counts = Counter(verdict.code for verdict in verdicts)
    print_line(f"{len(verdicts)} instants: " + ", ".join(f"{n} {code}" for code, n in counts.most_common()))
    if len(verdicts) <= _ONE_BY_ONE:
        print_table(_COLUMNS, [(to_text(v.instant), v.code, v.text) for v in verdicts])
    else:
        print_table(_GROUPS, _grouped(verdicts))


def _tell_one(inquiry: Inquiry, verdict: Verdict) -> None:
    zone = inquiry.zone
    local = to_datetime(verdict.instant).astimezone(zone)
    shown = "" if zone.key == "UTC" else f" ({local:%a %Y-%m-%d %H:%M:%S} {zone.key})"
    print_line(f"{inquiry.scene.name}@{to_text(verdict.instant)}{shown}")
    for line in (f"[{verdict.code}] {verdict.text}", *verdict.more):
        print_line(f"  {line}")


def _grouped(verdicts: Sequence[Verdict]) -> Iterable[Sequence[object]]:
    """Neighbours of one code as one line."""
    for code, group in groupby(verdicts, key=lambda verdict: verdict.code):
        same = list(group)
        yield to_text(same[0].instant), to_text(same[-1].instant), len(same), code, same[0].text
