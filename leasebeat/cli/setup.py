"""`init`: make the store."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from leasebeat.cli.exits import DONE
from leasebeat.cli.options import COMMON, Common, flag, settings_of
from leasebeat.cli.output import print_json, print_line
from leasebeat.triggers import parse

__all__ = ["init"]


def init(
    *,
    show: Annotated[bool, flag("Only print the SQL, for those who apply it themselves.", "--print")] = False,
    timezone: Annotated[
        str, Parameter(help="Zone of schedules that name none, an IANA name.", metavar="ZONE")
    ] = "UTC",
    common: Common = COMMON,
) -> int:
    """Make the store that the settings name. What is there already stays as it is."""
    from leasebeat.app import open_session
    from leasebeat.store import schema

    parse("@daily", timezone=timezone)  # refuses a zone that does not exist
    settings = settings_of(common)
    if show:
        sys.stdout.write(schema.print_schema(settings.store.url.scheme, timezone))
        return DONE
    session = open_session(settings)
    try:
        schema.init(session, timezone)
    finally:
        session.close()
    if common.json:
        print_json({"store": str(settings.store.url), "settings": settings.source})
    else:
        print_line(f"the store is ready: {settings.store.url} (settings: {settings.source})")
    return DONE
