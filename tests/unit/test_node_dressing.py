"""Rows put in by hand, dressed as their schedules say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from leasebeat.model.run import RunKey
from leasebeat.node.judge import judge
from leasebeat.node.purge import Purge
from leasebeat.node.ranking import Ranking
from leasebeat.store.base import DressRow
from leasebeat.testing.manual import ManualRuntime


def test_a_single_shard_put_in_by_hand_knows_how_many_there_are():
    dressed: list[DressRow] = []
    store = SimpleNamespace(dress=dressed.extend)
    row = {"id": 7, "name": "s7", "cron": "@hourly", "command": "true", "shards": 4, "route": "any"}
    entry = SimpleNamespace(version=SimpleNamespace(runs_as=3, deleted=False), schedule=judge(row))
    catalog = SimpleNamespace(refresh=lambda: None, get={7: entry}.get)
    nothing = cast("Any", None)
    standing = SimpleNamespace(ranking=Ranking())
    purge = Purge(
        ManualRuntime(),
        cast("Any", store),
        nothing,
        cast("Any", standing),
        nothing,
        cast("Any", catalog),
        nothing,
        nothing,
    )
    purge._dress([cast("Any", SimpleNamespace(key=RunKey(5, 7, 3)))])
    assert [(row.key.shard, row.shards) for row in dressed] == [(3, 4)]
