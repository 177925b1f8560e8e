"""The auditor keeps the store's list of who follows whom, and of what cannot follow."""

from __future__ import annotations

from collections.abc import Callable

from leasebeat.logs import event
from leasebeat.model.instant import DAY, Instant, Micros
from leasebeat.node.catalog import Catalog
from leasebeat.node.follow import Graphs
from leasebeat.store.base import Edge, FollowProblem, Store

_LONGEST_GAP: Micros = DAY
"""No younger run is ever removed."""


class Links:
    """Written when the graph has changed, and at the begin of a term."""

    def __init__(
        self, store: Store, catalog: Catalog, graphs: Graphs, problem: Callable[[str, str], None]
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._graphs = graphs
        self._problem = problem  #: called with a schedule's name and why it cannot follow
        self._written: object = None
        self._told: dict[int, str] = {}

    def forget(self) -> None:
        """Another node may have written since."""
        self._written = None

    def write(self, node_id: str, term: int, now: Instant) -> None:
        """Make the store say what the graph says at store time `now`. A term that is over writes nothing."""
        graph = self._graphs.graph
        if self._written is graph:
            return
        edges = [
            Edge(upstream, follower, self._since(follower, now))
            for follower, upstreams in sorted(graph.upstreams.items())
            for upstream in upstreams
        ]
        problems = [
            FollowProblem(follower, self._version(follower), text)
            for follower, text in sorted(graph.problems.items())
        ]
        if self._store.link(node_id, term, edges, problems):
            self._written = graph
            self._tell(dict(graph.problems))

    def _since(self, follower: int, now: Instant) -> Instant:
        """From when on a new edge's upstream counts. An edge may have been there before, until a name was
        changed and changed back: of older fires the followers' rows may have been removed, which would
        run again.
        """
        entry = self._catalog.get(follower)
        return max(entry.version.valid_from if entry else 0, now - _LONGEST_GAP)

    def _version(self, follower: int) -> int:
        entry = self._catalog.get(follower)
        return entry.version.id if entry else 0

    def _tell(self, problems: dict[int, str]) -> None:
        for follower, text in problems.items():
            if self._told.get(follower) != text:
                name = self._catalog.name_of(follower)
                event("ERROR", "schedule_problem", f"schedule cannot follow: {text}", schedule=name)
                self._problem(name, text)
        self._told = problems
