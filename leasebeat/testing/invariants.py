"""The invariants of every history, by number, and which checkers hold a history against them.

    @invariant("I5")
    def nothing_begins_early(evidence): ...

A checker may hold several, and an invariant may have several checkers. What is marked can be listed:
`checkers_of("I5")`, of all modules that have been imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

__all__ = ["INVARIANTS", "checkers_of", "invariant", "invariants_of"]

INVARIANTS: dict[str, str] = {
    "I1": "A fire and shard has at most one row, which is never deleted and inserted again.",
    "I2": "Each attempt of a run is begun at most once; attempts are 1 to k without gaps.",
    "I3": "Without a take-over in the journal a run is begun at most once.",
    "I4": "No two executions of a run overlap; with overlap other than allow, none of a schedule.",
    "I5": "Nothing begins before its instant, by the store's clock.",
    "I6": "The fences of a run increase; no accepted write carries an older one.",
    "I7": "A run is taken over only after the lease of its node is over, or its node is gone.",
    "I8": "Only a node that missed three beats is purged, by who has itself beaten without a gap.",
    "I9": "A node without an accepted beat for a lease has no running execution.",
    "I10": "Two incarnations of one node never both write.",
    "I11": "Each instant that was due has an execution, or a row that says why not.",
    "I12": "In quiet phases every fire begins in time.",
    "I13": "Each row is an instant of a definition that was in force, or is marked as asked for by hand.",
    "I14": "Of a catch-up with misfire once at most one runs; the others are counted as missed.",
    "I15": "Missed is not written before the grace is over, nor of what has begun.",
    "I16": "Only the allowed changes of status happen; ends are final.",
    "I17": "What says that it runs has a live lease, or is taken over soon; nothing is stuck.",
    "I18": "What is recorded of an end is what the task did.",
    "I19": "A run executes the definition that its row names, and that was in force.",
    "I20": "No more attempts than allowed, no sooner than allowed; what may not run again does not.",
    "I21": "No node exceeds its slots, no schedule its overlap, no lane its size.",
    "I22": "After the end of a run no process of it is left.",
    "I23": "When faults end every running node is live, every other one gone; each run moves once.",
    "I24": "The stored output is the end of what was printed, and its length is the true one.",
    "I25": "After faults end the fleet is in time again by itself.",
    "I26": "Each change of a definition is recorded once.",
}
"""Number: what must hold."""

_Checker = TypeVar("_Checker", bound=Callable[..., Any])
_MARK = "__invariants__"
_marked: list[Callable[..., Any]] = []


def invariant(*numbers: str) -> Callable[[_Checker], _Checker]:
    """Mark a checker with the invariants that it holds a history against. Raises KeyError for others."""
    for number in numbers:
        INVARIANTS[number]

    def mark(checker: _Checker) -> _Checker:
        setattr(checker, _MARK, (*invariants_of(checker), *numbers))
        _marked.append(checker)
        return checker

    return mark


def invariants_of(checker: Callable[..., Any]) -> tuple[str, ...]:
    """The numbers that a checker is marked with."""
    return getattr(checker, _MARK, ())


def checkers_of(number: str) -> Sequence[Callable[..., Any]]:
    """The checkers of an invariant, in the order of their definition."""
    return [checker for checker in _marked if number in invariants_of(checker)]
