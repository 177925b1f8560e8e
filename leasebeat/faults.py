"""Fault points: places at which a test may have this very process die.

    LEASEBEAT_TEST_FAULT=after_insert:3     the third time that a claim was inserted, SIGKILL

They are part of the shipped code, so that what is tested is what runs; therefore they refuse to arm
unless the store is a private one of the tests, whose installation id begins with `private-`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from leasebeat.errors import SettingsError

VARIABLE = "LEASEBEAT_TEST_FAULT"
PRIVATE = "private-"

POINTS = (
    "after_tick",
    "after_gate",
    "after_insert",
    "after_start",
    "after_task",
    "before_update",
    "after_update",
)
"""Before and after SET NX, after the INSERT, after the task's start, after its end,
before the UPDATE that records it, and after it."""

_armed: dict[str, int] = {}


def arm(environ: Mapping[str, str], installation: str) -> None:
    """Arm what the environment asks for.

    Raises SettingsError for an unknown point, and where the store is not a private one of the tests.
    """
    wanted = environ.get(VARIABLE)
    if not wanted:
        return
    point_name, _, count = wanted.partition(":")
    if point_name not in POINTS or not (count or "1").isdecimal():
        raise SettingsError(
            f"{VARIABLE}={wanted!r}: expected POINT or POINT:COUNT with one of {', '.join(POINTS)}"
        )
    if not installation.startswith(PRIVATE):
        raise SettingsError(f"{VARIABLE} is set, but the store is not a private one of the tests; unset it")
    _armed[point_name] = int(count or 1)


def point(name: str) -> None:
    """Die here if that was asked for; costs one look-up in an empty dict otherwise."""
    if name in _armed:
        _armed[name] -= 1
        if _armed[name] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
