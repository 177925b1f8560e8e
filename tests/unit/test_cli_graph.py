"""Who follows whom, drawn as text."""

from __future__ import annotations

import json

import pytest

from leasebeat.cli.graph import Graph, drawn, graph_of, names_in


def graph(**after: str) -> Graph:
    rows = [
        {"name": name, "after": json.dumps(names.split()) if names else None, "after_rule": "success"}
        for name, names in after.items()
    ]
    return graph_of(rows)


def test_a_schedule_is_drawn_with_what_it_follows_and_what_follows_it() -> None:
    found = graph(extract="", clean="extract", load="clean", mail="load", stats="load clean")
    assert found.lines("load") == [
        "follows",
        "  └─ clean  (success)",
        "     └─ extract  (success)",
        "followed by",
        "  ├─ mail  (success)",
        "  └─ stats  (success, with clean)",
    ]


def test_a_schedule_by_itself_has_no_graph() -> None:
    assert graph(alone="", other="third", third="").lines("alone") == []


def test_what_was_drawn_is_not_drawn_again() -> None:
    found = graph(top="", left="top", right="top", end="left right", last="end")
    assert found.lines("top") == [
        "followed by",
        "  ├─ left  (success)",
        "  │  └─ end  (success, with right)",
        "  │     └─ last  (success)",
        "  └─ right  (success)",
        "     └─ end  (success, with left)  (above)",
    ]


def test_a_cycle_is_drawn_once_round() -> None:
    assert graph(a="b", b="a").lines("a")[:3] == [
        "follows",
        "  └─ b  (success)",
        "     └─ a  (success)  (above)",
    ]


def test_a_name_that_no_schedule_has_is_said_to_be_none() -> None:
    assert graph(a="nothing").lines("a")[1] == "  └─ nothing  (success, and no schedule is called so)"


def test_a_large_graph_is_cut() -> None:
    lines = drawn("root", {"root": [str(number) for number in range(500)]}, lambda name, _: name)
    assert (len(lines), lines[-1]) == (201, "...")


@pytest.mark.parametrize("text", [None, "", "[", "{}", "7", '"x"', "[1, null]"])
def test_what_is_no_list_of_names_has_none(text: str | None) -> None:
    assert names_in(text) == []
