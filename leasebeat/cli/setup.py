"""`init`: make the store."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from leasebeat.cli.exits import DONE
from leasebeat.cli.options import COMMON, Common, flag, settings_of
from leasebeat.cli.output import note, print_json, print_line
from leasebeat.triggers import parse

__all__ = ["init"]


def init(
    *,
    show: Annotated[bool, flag("Only print the SQL, for those who apply it themselves.", "--print")] = False,
    timezone: Annotated[
        str | None,
        Parameter(help="Zone of schedules that name none, an IANA name. [default: UTC]", metavar="ZONE"),
    ] = None,
    common: Common = COMMON,
) -> int:
    """Make the store that the settings name. What is there already stays as it is."""
    from leasebeat.app import open_session
    from leasebeat.store import schema

    wanted = timezone or "UTC"
    parse("@daily", timezone=wanted)  # refuses a zone that does not exist
    settings = settings_of(common)
    if show:
        sys.stdout.write(schema.print_schema(settings.store.url.scheme, wanted))
        return DONE
    session = open_session(settings)
    try:
        schema.init(session, wanted)
        (record,) = session.query("default_timezone")
    finally:
        session.close()
    if common.json:
        place = {"store": str(settings.store.url), "settings": settings.source}
        print_json(place | {"timezone": record["timezone"]})
    else:
        print_line(f"the store is ready: {settings.store.url} (settings: {settings.source})")
    if timezone not in (None, record["timezone"]):
        tell = note if common.json else print_line
        tell(_kept(record["timezone"], timezone or "", session.dialect))
    return DONE


def _kept(default: str, wanted: str, dialect: str) -> str:
    """What became of --timezone on a store that was there already, and what to do."""
    how = (
        f"ALTER TABLE schedules ALTER COLUMN timezone SET DEFAULT '{wanted}' changes it"
        if dialect == "mysql"
        else f"SQLite cannot change it: say --timezone {wanted} with each `add`, or make a new store"
    )
    return f"nothing was changed: the store is there, and schedules that name no zone get {default}; {how}"
