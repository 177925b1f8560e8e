"""What every part of the desk needs: the session, who asks, and a record of what was done."""

from __future__ import annotations

from contextlib import AbstractContextManager

from leasebeat.model.instant import Instant, to_datetime
from leasebeat.model.run import RunKey
from leasebeat.store.session import Record, Session, SqlValue

__all__ = ["DeskBase", "at", "text_of"]

_SUBJECT, _DETAIL = 190, 1000  # as long as the columns of `activity`


def text_of(instant: Instant) -> str:
    """The instant as both dialects compare and store it."""
    return to_datetime(instant).replace(tzinfo=None).isoformat(" ", "microseconds")


def at(key: RunKey) -> dict[str, SqlValue]:
    """The parameters that name a run."""
    return {"fire_at": text_of(key.fire_at), "schedule_id": key.schedule_id, "shard": key.shard}


class DeskBase:
    """One session, and the person on whose behalf it is used."""

    def __init__(self, session: Session, who: str = "") -> None:
        self._session = session
        self._who = who

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def now(self) -> Instant:
        """The store's time."""
        return self._session.query("desk_now")[0]["now"]

    def together(self) -> AbstractContextManager[None]:
        """One transaction around several calls: all of them are done, or none."""
        return self._session.transaction()

    def activity(self, subject: str | None = None, since: Instant = 0, limit: int = 50) -> list[Record]:
        """Rows of `activity`, the newest first; of one subject, or all."""
        return self._session.query("desk_activity", subject=subject, since=text_of(since), limit=limit)

    def _did(self, what: str, subject: str, detail: str = "") -> None:
        """Record what was done, in the transaction that does it."""
        self._session.execute(
            "desk_did",
            who=self._who[:_SUBJECT],
            what=what,
            subject=subject[:_SUBJECT],
            detail=detail[:_DETAIL],
        )
