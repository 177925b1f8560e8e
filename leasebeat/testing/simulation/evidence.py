"""What the checkers look at: the journal of one history, and the tables as they are at its end."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from leasebeat.model.instant import Instant, to_text
from leasebeat.model.run import RunKey
from leasebeat.store.base import Version
from leasebeat.testing.simstore.tables import NodeRow, Run


class Violation(NamedTuple):
    """A promise that was broken."""

    checker: str
    what: str
    at: Instant = 0


@dataclass(slots=True)
class Evidence:
    """All that the checkers look at."""

    journal: Sequence[Any]
    rows: dict[RunKey, Run]
    nodes: dict[str, NodeRow]
    versions: dict[int, Version]
    clock: Sequence[tuple[Instant, int]]  #: (true time, the store's offset from it on)
    now: Instant  #: true time at the end
    store_now: Instant
    slots: int
    lease: int
    calm_since: Instant  #: store time since which nothing was done to the fleet
    enabled: frozenset[int]  #: schedules that are enabled at the end
    present: frozenset[str]  #: names of the workers that run at the end
    executing: frozenset[tuple[RunKey, int]]  #: tasks that run at the end
    calm_links: bool  #: no statement was lost or late
    take_over_limit: int  #: a node is taken over after so much calm
    disturbed: Sequence[tuple[Instant, Instant]]  #: sorted spans of true time in which something was done
    lane_sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    paused: Collection[str] = ()  #: queues that are paused at the end
    catch_up_per_s: int = 50
    _schedules: dict[int, Mapping[str, Any]] = field(default_factory=dict[int, Mapping[str, Any]])

    @property
    def seen(self) -> set[tuple[object, object, object]]:
        """Every row version that some node has recorded."""
        return {(v.schedule_id, v.version, v.updated_at) for v in self.versions.values()}

    def schedule(self, version: int | None) -> Mapping[str, Any]:
        """The columns that a recorded version has; none, where there is no such version."""
        found = self._schedules.get(version or 0)
        if found is None:
            recorded = self.versions.get(version or 0)
            found = cast("Mapping[str, Any]", json.loads((recorded and recorded.definition) or "{}"))
            self._schedules[version or 0] = found
        return found

    def schedule_of(self, key: RunKey) -> Mapping[str, Any]:
        """The columns of what a run runs."""
        run = self.rows.get(key)
        return self.schedule(run.version) if run else {}

    def of(self, kind: type) -> Iterator[Any]:
        """The entries of one kind, in order."""
        return (entry for entry in self.journal if entry.__class__ is kind)


def key_of(key: RunKey) -> str:
    """A run as violations name it."""
    return f"{key.schedule_id}@{to_text(key.fire_at)}"
