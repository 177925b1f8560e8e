"""Leasebeat: cron for a fleet.

Tasks of the kind `python`, and Python programs that a shell task starts, ask `current_run()` which
run they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leasebeat.context import CurrentRun, current_run

__version__ = "0.1.0"
__all__ = ["CurrentRun", "__version__", "current_run"]


def __getattr__(name: str) -> object:
    # Loaded at first use: the package is also imported where every millisecond counts.
    if name in ("CurrentRun", "current_run"):
        from leasebeat import context

        return getattr(context, name)
    raise AttributeError(f"module 'leasebeat' has no attribute {name!r}")
