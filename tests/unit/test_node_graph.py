"""Who follows whom, and who cannot."""

import json

from leasebeat.node.catalog import Entry, entry_of
from leasebeat.node.graph import Graph, graph_of
from leasebeat.store.base import Version
from leasebeat.testing.trials.cases import proves


def entry(id: int, name: str, cron: str = "@manual", *after: str, **columns: object) -> Entry:
    definition = {"id": id, "name": name, "cron": cron, "command": "true", "after": list(after), **columns}
    return entry_of(version(id, definition), 1)


def version(id: int, definition: dict[str, object]) -> Version:
    return Version(id, id, "v", 1, 1, True, False, None, None, json.dumps(definition), None)


def graph(*entries: Entry) -> Graph:
    return graph_of(entries)


def test_a_diamond_has_its_edges():
    found = graph(
        entry(1, "a", "0 3 * * *"),
        entry(2, "b", "@manual", "a"),
        entry(3, "c", "@manual", "a"),
        entry(4, "d", "@manual", "b", "c"),
    )
    assert found.followers == {1: (2, 3), 2: (4,), 3: (4,)}
    assert found.problems == {}


@proves("after", "an unknown name")
def test_an_unknown_upstream_is_a_problem_with_the_nearest_name():
    found = graph(entry(1, "extract", "@daily"), entry(2, "load", "@manual", "extrct"))
    assert found.problems == {
        2: "after names 'extrct', and no schedule is called that; did you mean 'extract'?"
    }
    assert found.followers == {}


@proves("after", "a cycle")
def test_a_cycle_is_told_with_its_path_to_each_on_it():
    found = graph(entry(1, "a", "@manual", "c"), entry(2, "b", "@manual", "a"), entry(3, "c", "@manual", "b"))
    assert found.problems == {
        1: "after makes a cycle: a -> c -> b -> a",
        2: "after makes a cycle: b -> a -> c -> b",
        3: "after makes a cycle: c -> b -> a -> c",
    }


@proves("after", "that never meet")
def test_upstreams_that_never_share_an_instant_are_told_with_their_paths():
    found = graph(
        entry(1, "a", "0 3 * * *"),
        entry(2, "b", "30 3 * * *"),
        entry(3, "c", "@manual", "a"),
        entry(4, "d", "@manual", "c", "b"),
    )
    assert found.problems == {4: "its upstreams never share an instant: b and c -> a"}


def test_upstreams_that_meet_once_a_week_share_an_instant():
    found = graph(
        entry(1, "a", "0 3 * * *"), entry(2, "b", "0 3 * * mon"), entry(3, "c", "@manual", "a", "b")
    )
    assert found.problems == {}


def test_a_manual_upstream_meets_no_other():
    found = graph(entry(1, "a", "@manual"), entry(2, "b", "@hourly"), entry(3, "c", "@manual", "a", "b"))
    assert list(found.problems) == [3]


def test_runs_by_hand_of_one_source_are_followed_by_a_whole_diamond():
    found = graph(
        entry(1, "a"),
        entry(2, "b", "@manual", "a"),
        entry(3, "c", "@manual", "a"),
        entry(4, "d", "@manual", "b", "c"),
    )
    assert found.problems == {}


def test_windows_that_do_not_touch_share_no_instant():
    found = graph(
        entry(1, "a", "@hourly", ends_at=1_800_000_000_000_000),
        entry(2, "b", "@hourly", starts_at=1_900_000_000_000_000),
        entry(3, "c", "@manual", "a", "b"),
    )
    assert list(found.problems) == [3]
