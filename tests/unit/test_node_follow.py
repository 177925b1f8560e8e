"""When followers are opened, and when the marks of what has ended are taken off."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from leasebeat.model.instant import SECOND
from leasebeat.model.run import RunKey
from leasebeat.node.catalog import Entry, entry_of
from leasebeat.node.follow import Follow, Graphs
from leasebeat.node.membership import Membership
from leasebeat.node.ranking import Ranking
from leasebeat.store.base import Candidate, FireRun, FollowLook, OpenRow, Poll, Role, Version
from leasebeat.testing.manual import ManualRuntime

AT = 100 * SECOND


def entry(schedule_id: int, name: str, *after: str, valid_from: int = 1, **columns: Any) -> Entry:
    definition = {"id": schedule_id, "name": name, "cron": "@manual" if after else "@hourly", "command": "x"}
    text = json.dumps({**definition, "after": list(after), **columns})
    version = Version(schedule_id, schedule_id, "v", 1, valid_from, True, False, None, None, text, None)
    return entry_of(version, 1)


class Shelf:
    """A store that keeps the runs of some fires, and marks of those that have ended."""

    def __init__(
        self, runs: dict[int, str], marked: Sequence[int], digest: str = "d", loses: bool = False
    ) -> None:
        self.runs = {each: FireRun(RunKey(AT, each), status, 1, None) for each, status in runs.items()}
        self.marked = [Candidate(RunKey(AT, each), 1) for each in marked]
        self.digest = digest
        self.loses = loses
        self.opened: list[OpenRow] = []
        self.again: list[RunKey] = []

    def follow_look(self) -> FollowLook:
        return FollowLook(self.digest, tuple(self.marked))

    def fire_runs(self, fires: Sequence[tuple[int, int]]) -> list[FireRun]:
        return [self.runs[each] for _, each in fires if each in self.runs]

    def open_followers(self, node_id: str, rows: Sequence[OpenRow]) -> int:
        if not self.loses:
            self.opened += rows
        return len(rows)

    def reopen_followers(self, keys: Sequence[RunKey]) -> int:
        self.again += keys
        return len(keys)

    def missing(self, keys: Sequence[RunKey]) -> list[RunKey]:
        return [key for key in keys if key not in {row.key for row in self.opened}]

    def followed(self, ended: Sequence[Candidate]) -> None:
        self.marked = [each for each in self.marked if each not in ended]

    def history(self, after: int, ids: Sequence[int] | None = None) -> list[Version]:
        return []


def following(shelf: Shelf, *entries: Entry, takes_work: bool = True) -> Follow:
    """The service of a node that knows these schedules."""
    by_id = {each.version.schedule_id: each for each in entries}
    catalog = SimpleNamespace(
        digest="d",
        entries=lambda: list(entries),
        get=by_id.get,
        listen=lambda _: None,
        refresh=lambda: None,
        doubt=lambda: None,
        name_of=lambda each: cast("Any", by_id[each].schedule).name,
    )
    standing = SimpleNamespace(
        node_id="n",
        takes_work=takes_work,
        dispatches=True,
        ranking=Ranking(),
        clock=SimpleNamespace(now=lambda: AT),
    )
    gate = SimpleNamespace(notify=lambda _: None)
    pull = SimpleNamespace(hint=lambda: None, hint_at=lambda _: None)
    ports = cast("list[Any]", [shelf, gate, standing, catalog, Graphs(cast("Any", catalog)), pull])
    follow = Follow(ManualRuntime(), *ports)
    follow.hint()
    return follow


FAN_IN = (entry(1, "a"), entry(2, "b"), entry(3, "c", "a", "b"))


def test_a_follower_waits_for_the_last_of_its_upstreams():
    shelf = Shelf({1: "succeeded", 2: "running"}, marked=[1])
    following(shelf, *FAN_IN).run_once()
    assert (shelf.opened, shelf.marked) == ([], [])


def test_a_follower_is_opened_when_all_of_its_upstreams_have_ended():
    shelf = Shelf({1: "succeeded", 2: "succeeded"}, marked=[2])
    following(shelf, *FAN_IN).run_once()
    assert [(row.key, row.status) for row in shelf.opened] == [(RunKey(AT, 3), "queued")]
    assert shelf.marked == []


@pytest.mark.parametrize(
    ("rule", "ends", "becomes"),
    [
        ("success", ("succeeded", "failed"), "skipped"),
        ("done", ("skipped", "failed"), "queued"),
        ("failure", ("succeeded", "lost"), "queued"),
        ("failure", ("succeeded", "skipped"), "skipped"),
    ],
)
def test_the_rule_says_what_becomes_of_the_follower(rule: str, ends: tuple[str, str], becomes: str):
    shelf = Shelf({1: ends[0], 2: ends[1]}, marked=[1, 2])
    following(shelf, entry(1, "a"), entry(2, "b"), entry(3, "c", "a", "b", after_rule=rule)).run_once()
    assert [row.status for row in shelf.opened] == [becomes]


def test_a_mark_stays_while_the_follower_has_no_row():
    shelf = Shelf({1: "succeeded"}, marked=[1], loses=True)
    following(shelf, entry(1, "a"), entry(2, "b", "a")).run_once()
    assert [each.key for each in shelf.marked] == [RunKey(AT, 1)]


def test_a_node_that_has_not_read_every_edit_takes_no_mark_off():
    shelf = Shelf({1: "succeeded"}, marked=[1], digest="newer")
    following(shelf, entry(1, "a")).run_once()
    assert [each.key for each in shelf.marked] == [RunKey(AT, 1)]


def test_a_node_that_takes_no_work_leaves_the_marks_to_others():
    shelf = Shelf({1: "succeeded"}, marked=[1])
    following(shelf, entry(1, "a"), entry(2, "b", "a"), takes_work=False).run_once()
    assert [each.key for each in shelf.marked] == [RunKey(AT, 1)]


def test_a_follower_that_was_skipped_for_its_upstream_comes_back_when_that_was_retried():
    shelf = Shelf({1: "succeeded"}, marked=[1])
    shelf.runs[2] = FireRun(RunKey(AT, 2), "skipped", 1, "upstream")
    following(shelf, entry(1, "a"), entry(2, "b", "a")).run_once()
    assert (shelf.again, shelf.opened) == ([RunKey(AT, 2)], [])


def test_a_new_follower_owes_nothing_from_before_it_followed():
    shelf = Shelf({1: "succeeded"}, marked=[1])
    following(shelf, entry(1, "a"), entry(2, "b", "a", valid_from=AT + 1)).run_once()
    assert (shelf.opened, shelf.marked) == ([], [])


@pytest.mark.parametrize(("holder", "looks"), [("n", 1), ("o", 0)])
def test_the_auditor_looks_at_what_others_left_marked(holder: str, looks: int):
    nothing: Any = SimpleNamespace(
        name="store",
        listen=lambda _: None,
        look=lambda *_: None,
        dead=lambda _: [],
        node_id="n",
        ranking=Ranking(),
        poll=None,
    )
    membership = Membership(ManualRuntime(), *[nothing] * 8)
    told: list[int] = []
    membership.ended = lambda: told.append(1)
    role = Role(holder, 1, False, AT)
    membership._take_in("n", Poll(AT, "d", (), 0, False, False, False, False, role, follow=True), 0.0)
    assert len(told) == looks
