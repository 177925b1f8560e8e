"""Time zones of the tests' own: their clocks are turned when a trial wants it.

Nodes take their zones from the package `tzdata`. What is written here is such a package, with two zones
that no other has, for the front of the workers' import path.
"""

from __future__ import annotations

import struct
from importlib import resources
from pathlib import Path

from leasebeat.model.instant import SECOND, Instant

__all__ = ["AUTUMN", "SPRING", "TURN_S", "write"]

SPRING, AUTUMN = "Test/Spring", "Test/Autumn"
TURN_S = 360
"""By how many seconds the clocks go forward in one zone, and back in the other."""

REAL = ("UTC", "Asia/Kolkata")


def write(folder: Path, turned: Instant) -> None:
    """Write the package into `folder`; the clocks of its zones are turned at `turned`, a whole second."""
    package = folder / "tzdata"
    rules = resources.files("tzdata") / "zoneinfo"
    files = {name: rules.joinpath(*name.split("/")).read_bytes() for name in REAL}
    files |= {SPRING: _zone(turned, 0, TURN_S), AUTUMN: _zone(turned, TURN_S, 0)}
    for name, found in files.items():
        path = package / "zoneinfo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_bytes(found)
    (package / "zoneinfo" / "__init__.py").touch()
    (package / "__init__.py").write_text('IANA_VERSION = "test"\n')
    (package / "zones").write_text("\n".join(files))


def _zone(turned: Instant, before_s: int, after_s: int) -> bytes:
    """A zone with one change, as RFC 8536 writes it (version 1)."""
    head = struct.pack(">4s16x6l", b"TZif", 0, 0, 0, 1, 2, 8)
    change = struct.pack(">lB", turned // SECOND, 1)
    return head + change + struct.pack(">lBBlBB", before_s, 0, 0, after_s, 0, 4) + b"ONE\0TWO\0"
