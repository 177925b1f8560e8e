"""What was paused while a run waited. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from leasebeat.explain.reigns import Record
from leasebeat.explain.scene import Fire, Gap, Scene, span_text
from leasebeat.model.instant import Instant

__all__ = ["paused_meanwhile"]


def paused_meanwhile(scene: Scene, fire: Fire, queue: str, begin: Instant, end: Instant) -> Iterator[str]:
    """Sentences on pauses of its queue (by commands: hand edits leave no trace) and of its schedule."""
    for since, until, who in _of_queue(fire.pauses):
        if since <= end and (until is None or begin <= until):
            yield f"queue {queue!r} was paused {span_text(Gap(since, until))}" + (f" by {who}" if who else "")
    for reign in scene.history.reigns:
        over = reign.until is not None and reign.until < begin
        if not reign.enabled and not reign.deleted and reign.since <= end and not over:
            yield f"its schedule was paused {span_text(Gap(reign.since, reign.until))}"


def _of_queue(activity: Sequence[Record]) -> Iterator[tuple[Instant, Instant | None, str]]:
    """(since, until, who paused it), the oldest first."""
    since: Instant | None = None
    who = ""
    for row in reversed(activity):
        if row["what"] == "pause" and since is None:
            since, who = row["at"], row["who"]
        elif row["what"] == "resume" and since is not None:
            yield since, row["at"], who
            since = None
    if since is not None:
        yield since, None, who
