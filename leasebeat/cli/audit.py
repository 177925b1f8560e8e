"""`audit --from`: where the audit goes on."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from leasebeat.cli.exits import DONE
from leasebeat.cli.moments import instant
from leasebeat.cli.options import COMMON, Common, desk_of
from leasebeat.cli.output import print_json, print_line
from leasebeat.errors import NotFound, Refused
from leasebeat.model.instant import DAY, Instant, to_text

__all__ = ["audit"]

_OLDEST = DAY
"""Nodes do not walk a watermark that is older than this: they ask for this command."""


def audit(
    *,
    start: Annotated[
        str, Parameter(name="--from", help="now, or an instant with its offset.", metavar="INSTANT")
    ],
    reason: Annotated[str, Parameter(help="Why; it is kept in `activity`.", metavar="TEXT")] = "",
    common: Common = COMMON,
) -> int:
    """Move the watermark forward: what was due between the old one and the new one is not looked for.

    For the time after the database was restored from a backup. `backfill` runs what was left out.
    """
    with desk_of(common) as desk:
        now, role = desk.now(), desk.role()
        if role is None:
            raise NotFound("there is no row 'auditor' in roles; the next node that starts puts it back")
        old: Instant | None = role["watermark"]
        new = now if start == "now" else instant("--from", start)
        _check(old, new, now)
        desk.move_watermark(old, new, reason)
    before = None if old is None else to_text(old)
    if common.json:
        print_json({"watermark": to_text(new), "before": before, "reason": reason})
    else:
        print_line(f"the watermark is {to_text(new)}; it was {before or 'not set'}")
    return DONE


def _check(old: Instant | None, new: Instant, now: Instant) -> None:
    if new > now:
        raise Refused(f"{to_text(new)} is in the future of the store, where it is {to_text(now)}")
    if now - new > _OLDEST:
        raise Refused(
            f"{to_text(new)} is more than 24 h ago: nodes walk no further back; use `backfill` for it"
        )
    if old is not None and new < old:
        raise Refused(
            f"the watermark is {to_text(old)}, and moves forward only: all up to it is accounted for;"
            " use `backfill` to run past instants"
        )
