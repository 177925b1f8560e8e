"""From when on a new edge counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from leasebeat.model.instant import DAY
from leasebeat.node.graph import Graph
from leasebeat.node.links import Links
from leasebeat.store.base import Edge

NOW = 100 * DAY


@pytest.mark.parametrize(("valid_from", "since"), [(NOW - 5, NOW - 5), (NOW - 80 * DAY, NOW - DAY)])
def test_what_ended_longer_ago_than_runs_are_kept_is_not_followed_anew(valid_from: int, since: int):
    written: list[Edge] = []
    store = SimpleNamespace(link=lambda node, term, edges, problems: written.extend(edges) or True)
    follower = SimpleNamespace(version=SimpleNamespace(valid_from=valid_from))
    catalog = SimpleNamespace(get={2: follower}.get)
    graphs = SimpleNamespace(graph=Graph(upstreams={2: (1,)}, followers={1: (2,)}))
    links = Links(cast("Any", store), cast("Any", catalog), cast("Any", graphs), lambda *_: None)
    links.write("n" * 32, 1, NOW)
    assert written == [Edge(1, 2, since)]
