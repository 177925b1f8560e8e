"""Says what speaks against an answer of `explain`, from what the tasks wrote and from what was done.

It knows the log of faults and edits, the tasks' own evidence (begin, end, attempt, fence, node), and
which seconds a step divides. It reads no table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from leasebeat.explain.scene import Verdict
from leasebeat.model.instant import SECOND, Instant, Micros, from_text, to_text
from leasebeat.testing.evidence import Execution

__all__ = ["KINDS", "Definition", "Judge", "Kind", "Outage", "followed"]

GRACE_S = 3
"""Of the schedules that would rather be missed than late."""
SLACK: Micros = 3 * SECOND
"""Within this a fault or an edit is felt by everybody; what is nearer to one may be either way."""

_EVERYBODY = frozenset("abc")
"""The names of the nodes."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Schedules of one sort: how many, what their rows say, and what their tasks do."""

    count: int
    step: int = 1  #: fires at the seconds that this divides; 0: never by itself
    cron: str = ""
    fails: bool = False
    never: str = ""  #: nothing of it runs: the code that says why
    shards: int = 1
    after: str = ""  #: what it follows
    columns: dict[str, object] = field(default_factory=dict[str, object])


KINDS = {
    "steady": Kind(4, columns={"longest": 5}),
    "spread": Kind(2, 2, columns={"longest": 8, "route": "spread"}),
    "long": Kind(3, 2, columns={"longest": 40, "overlap": "skip"}),
    "edited": Kind(4, columns={"longest": 4}),
    "prompt": Kind(3, columns={"longest": 3, "misfire_grace_s": GRACE_S}),
    "lonely": Kind(2, columns={"longest": 3, "queue": "lonely", "route": "any", "misfire_grace_s": GRACE_S}),
    "waits": Kind(1, columns={"longest": 25, "overlap": "wait"}),
    "gives": Kind(1, 3, columns={"longest": 80, "overlap": "replace"}),
    "parts": Kind(1, 5, shards=3, columns={"longest": 10, "shards": 3}),
    "follows": Kind(1, 0, "@manual", after="steady-1", columns={"longest": 3, "after": '["steady-1"]'}),
    "calm": Kind(1, never="calendar", columns={"calendar": "always"}),
    "fails": Kind(2, 3, fails=True, columns={"longest": 3, "retries": 1, "retry_delay_s": 0.5}),
    "broken": Kind(1, columns={"longest": 3}),
    "doomed": Kind(1, columns={"longest": 3}),
    "manual": Kind(1, 0, "@manual", never="manual"),
    "garbage": Kind(1, 1, "61 * * * * *", never="problem"),
}


@dataclass(frozen=True, slots=True)
class Definition:
    """What a schedule says from an edit on, which was committed between `before` and `after`."""

    enabled: bool = True
    step: int = 1
    there: bool = True
    before: Instant = 0
    after: Instant = 0

    def has(self, instant: Instant) -> bool:
        """Whether its expression has the instant."""
        second, rest = divmod(instant, SECOND)
        return rest == 0 and self.step > 0 and second % 60 % self.step == 0


@dataclass(frozen=True, slots=True)
class Outage:
    """From a fault to the moment at which it was over for certain. `who`: names of nodes."""

    who: frozenset[str]
    begin: Instant
    end: Instant


@dataclass(frozen=True, slots=True)
class Judge:
    """Says what speaks against a verdict."""

    definitions: Mapping[str, Sequence[Definition]]
    outages: Sequence[Outage]
    first: Instant  #: nothing fires before it
    end: Instant  #: nor from here on
    ran: Sequence[Execution]
    nodes: Mapping[str, str]  #: names by id
    lead: Micros  #: how far the store's clock is ahead of the tasks'

    def wrong(self, name: str, verdict: Verdict) -> str:
        """A sentence; empty where nothing speaks against it."""
        instant = verdict.instant
        ran = self._tasks(name, to_text(instant))
        kind = KINDS[name.partition("-")[0]]
        if ran and kind.shards > 1:
            return self._of_parts(name, verdict, kind)
        if ran:
            return self._of_what_ran(name, verdict, ran, kind)
        if kind.never:
            fits = {kind.never, *self._before(name, instant)}
            if kind.never == "calendar" and not self.definitions[name][0].has(instant):
                fits = {"not_due", "not_there_yet"}
            return "" if verdict.code in fits else f"nothing of it ever runs: {sorted(fits)}"
        if verdict.code in ("succeeded", "failed", "running", "timed_out", "killed", "lost", "missed_span"):
            return "no task of it ever began"
        fits = set(self._without_a_task(name, instant, kind))
        if verdict.code not in fits:
            return f"expected one of {sorted(fits)}"
        return self._in_the_way(name, verdict) if verdict.code == "overlap" else ""

    def _of_parts(self, name: str, verdict: Verdict, kind: Kind) -> str:
        at = to_text(verdict.instant)
        parts = [self._tasks(name, at), *(self._tasks(name, f"{at}#{k}") for k in range(1, kind.shards))]
        ended = sum(any(execution.ended for execution in part) for part in parts)
        told = verdict.facts["statuses"]
        return "" if told == {"succeeded": kind.shards} and ended == kind.shards else f"{ended} parts ended"

    def _tasks(self, name: str, instant: str) -> list[Execution]:
        return [execution for execution in self.ran if execution.key == f"{name}@{instant}"]

    def _of_what_ran(self, name: str, verdict: Verdict, ran: Sequence[Execution], kind: Kind) -> str:
        last, facts = max(ran, key=lambda execution: execution.attempt), verdict.facts
        if kind.columns.get("overlap") == "replace" and not last.ended:
            return self._of_what_gave_way(name, verdict, last)
        status = "failed" if kind.fails else "succeeded"
        if verdict.code != status or not last.ended:
            return f"attempt {last.attempt} {'ended' if last.ended else 'never ended'}, expected {status}"
        if (facts["attempt"], facts["node"]) != (last.attempt, self.nodes[last.node_id]):
            return f"it was attempt {last.attempt} on {self.nodes[last.node_id]}"
        if facts["claimed_at"] != to_text(last.fence):
            return f"its fence was {to_text(last.fence)}"
        told = {each["attempt"]: each["node"] for each in facts["attempts"]}  # pyright: ignore
        real = {execution.attempt: self.nodes[execution.node_id] for execution in ran}
        return "" if real.items() <= told.items() else f"its attempts were {real}"

    def _of_what_gave_way(self, name: str, verdict: Verdict, last: Execution) -> str:
        """It was stopped soon after a later instant, and did not go on for long."""
        if verdict.code != "killed":
            return "its task was stopped before its end"
        named = re.search(r"the run of (\S+Z)", " ".join([verdict.text, *verdict.more]))
        if named is None or from_text(named[1]) <= verdict.instant:
            return "it names no later run"
        lived = last.last // 1000 + self.lead - from_text(named[1])
        return f"it lived {lived / SECOND:.1f} s longer than that" if lived > SLACK else ""

    def _before(self, name: str, instant: Instant) -> Iterator[str]:
        """What may be said of an instant near the birth of the schedule, or before it fires."""
        birth = self.definitions[name][0]
        if instant <= birth.after:
            yield "not_there_yet"
        if instant >= birth.before and not self.first <= instant < self.end:
            yield "outside_window"

    def _without_a_task(self, name: str, instant: Instant, kind: Kind) -> Iterator[str]:
        """The codes that are true of an instant of which no task began."""
        definitions = self.definitions[name]
        birth, inside = definitions[0], self.first <= instant < self.end
        if instant <= birth.after:
            yield "not_there_yet"
        if kind.after:
            yield from self._of_a_follower(instant, kind.after)
            return
        possible = [d for d, until in followed(definitions) if d.before <= instant <= until.after]
        later = [d for d in definitions if d.before > instant - SECOND]
        for definition in possible:
            yield from self._by_definition(definition, instant, inside)
        if not (inside and any(d.there and d.enabled and d.has(instant) for d in possible)):
            return
        if any(not (d.there and d.enabled and d.has(instant)) for d in later):
            yield "definition_changed"
        if any(not d.there for d in later):
            yield "deleted"
        if kind.columns.get("overlap") in ("skip", "wait"):
            yield "overlap"
        if kind.columns.get("overlap") == "replace":
            yield "replaced"
        yield from self._missed(instant, kind)

    def _of_a_follower(self, instant: Instant, upstream: str) -> Iterator[str]:
        if not self._tasks(upstream, to_text(instant)):
            yield from ("no_upstream", "upstream")

    def _by_definition(self, definition: Definition, instant: Instant, inside: bool) -> Iterator[str]:
        if not definition.there:
            yield "deleted"
        elif not definition.has(instant):
            yield "not_due"
        elif not definition.enabled:
            yield "disabled"
        elif not inside:
            yield "outside_window"

    def _missed(self, instant: Instant, kind: Kind) -> Iterator[str]:
        if len(self._away(instant)) == len(_EVERYBODY):
            yield "misfire"
        if "misfire_grace_s" not in kind.columns:
            return
        if self._down(_EVERYBODY, instant, instant + GRACE_S * SECOND):
            yield "misfire"
        lonely = kind.columns.get("queue") == "lonely"
        if lonely and self._down({"c"}, instant, instant + GRACE_S * SECOND):
            yield from ("no_node", "no_slot")
        if lonely and self._down({"queue"}, instant, instant + GRACE_S * SECOND):
            yield "no_slot"

    def _away(self, instant: Instant) -> frozenset[str]:
        """The nodes that were away then, give or take what it takes to be felt."""
        away = [o.who for o in self.outages if o.begin - SLACK <= instant <= o.end + SLACK]
        return frozenset[str]().union(*away) & _EVERYBODY

    def _down(self, names: Set[str], begin: Instant, end: Instant) -> bool:
        """Whether one of these was away at some time between, give or take what it takes to be felt."""
        return any(
            outage.who & names and outage.begin - SLACK <= end and begin <= outage.end + SLACK
            for outage in self.outages
        )

    def _in_the_way(self, name: str, verdict: Verdict) -> str:
        """The run that it names was open at the instant: it ended after it."""
        named = re.search(r"the run of (\S+Z)", verdict.text)
        # What is found late, after a time without any node, may meet a run of a later instant.
        late = len(self._away(verdict.instant)) == len(_EVERYBODY)
        if named is None or (from_text(named[1]) >= verdict.instant and not late):
            return "it names no earlier run"
        ran = self._tasks(name, named[1])
        ends = [execution.last // 1000 + self.lead for execution in ran if execution.ended]
        if not ends or max(ends) + SECOND < verdict.instant:
            return f"{name}@{named[1]} was not open then"
        told = [line for line in verdict.more if line.startswith(f"{name}@{named[1]}: succeeded")]
        return "" if told else "it does not tell how that one ended"


def followed(definitions: Sequence[Definition]) -> Iterator[tuple[Definition, Definition]]:
    """Each with the next one."""
    never = Definition(before=1 << 62, after=1 << 62)
    yield from zip(definitions, [*definitions[1:], never], strict=True)
