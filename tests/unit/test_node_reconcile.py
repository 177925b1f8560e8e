"""What a node stops when it sees that its runs were taken over."""

from __future__ import annotations

from typing import Any

from leasebeat.model.run import OutcomeKind, RunKey
from leasebeat.node.membership import Membership
from leasebeat.runtime import SystemRuntime

LEASHED, LEFT_TO_END = (RunKey(1, 1), 1), (RunKey(1, 2), 1)


class Holds:
    """A dispatch that holds one task on the leash and one that is not; the store shows neither."""

    def __init__(self) -> None:
        self.killed: list[Any] = []

    def ids(self) -> set[Any]:
        return {LEASHED, LEFT_TO_END}

    def running(self, leashed_only: bool = False) -> list[Any]:
        return [LEASHED] if leashed_only else [LEASHED, LEFT_TO_END]

    def asking(self) -> float:
        return 0.0

    def kill(self, launch_id: Any, kind: OutcomeKind, grace: float) -> None:
        self.killed.append((launch_id, kind, grace))

    def mine(self, node_id: str, settle: int) -> list[Any]:
        return []

    def listen(self, heard: Any) -> None:
        pass


def test_what_is_not_on_the_leash_is_left_to_end_though_it_was_taken_over() -> None:
    holds: Any = Holds()
    membership = Membership(SystemRuntime(), holds, holds, *[holds] * 6)
    membership._reconcile("n1")
    assert holds.killed == [(LEASHED, OutcomeKind.LOST, 0.0)]
