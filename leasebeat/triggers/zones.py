"""Time zones by the IANA rules of the pinned `tzdata` package, never by the host's own files.

Two hosts with zone files of different years would compute different instants for one schedule, and
so open two runs where one was meant.
"""

from __future__ import annotations

import difflib
import zoneinfo
from functools import cache

import tzdata

from leasebeat.errors import ExpressionError

# Without a search path zoneinfo falls back to the tzdata package. Zones that somebody loaded from
# the host before this line must not be handed out again.
zoneinfo.reset_tzpath(to=())
zoneinfo.ZoneInfo.clear_cache()


def zone(name: str) -> zoneinfo.ZoneInfo:
    """The zone of an IANA name, like `Europe/Berlin`. Raises ExpressionError when there is none."""
    if name not in _names():
        near = difflib.get_close_matches(name, _names(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "the names are those of the IANA list."
        raise ExpressionError(
            f"timezone {name!r} is unknown; expected an IANA name, like UTC or Europe/Berlin; {hint}"
        )
    return zoneinfo.ZoneInfo(name)


def tzdata_version() -> str:
    """The release of the rules in use, like `2026a`."""
    return tzdata.IANA_VERSION


@cache
def _names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
