"""Everything that Leasebeat raises.

    LeasebeatError
    +-- SettingsError           the settings cannot be used (exit code 78)
    |   +-- NoStore             the store named by the settings was never initialised
    +-- DefinitionError         a schedule's row cannot be used as it stands
    |   +-- ExpressionError     its `cron` or `timezone` cannot be read
    +-- NotFound                nothing has that name or key (exit code 3)
    +-- Refused                 the state of things forbids it (exit code 4)
    |   +-- Fenced              a newer attempt of the run has written already
    +-- StoreError              the store answered with an error
    |   +-- Busy                deadlock, lock wait or key conflict: send the same statement again
    |   |   +-- Duplicate       a key of that value is already there
    |   +-- Unknown             the reply was lost: the statement may have been applied, or may be yet
    |   +-- Unavailable         the store cannot be reached: the statement was not applied
    |   +-- StoreUnfit          wrong version, isolation, privileges or schema: refused at start
    +-- GateUnavailable         Redis gave no usable answer; the store decides alone
    +-- CoordinatorUnavailable  ZooKeeper gave no usable answer (exit code 69)
    |   +-- NameTaken           another session holds the node's znode
    +-- StartFailed             a task could not be started on this node

The docstring of a class is its default message. Adapters translate the errors of their drivers into
these at their own edge, with `from`; nothing above an adapter knows a driver's exceptions.
"""

from __future__ import annotations


class LeasebeatError(Exception):
    """Leasebeat cannot go on."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class SettingsError(LeasebeatError):
    """The settings cannot be used."""


class NoStore(SettingsError):
    """There is no store here yet: run `python scheduler.py init`."""


class DefinitionError(LeasebeatError):
    """The schedule's row cannot be used as it stands."""


class ExpressionError(DefinitionError):
    """The schedule's `cron` or `timezone` cannot be read."""


class NotFound(LeasebeatError):
    """Nothing has that name or key."""


class Refused(LeasebeatError):
    """That cannot be done in the present state."""


class Fenced(Refused):
    """A newer attempt of the run has written already: roll back and end."""


class StoreError(LeasebeatError):
    """The store answered with an error."""


class Busy(StoreError):
    """Somebody else holds what the statement needs: send it again."""


class Duplicate(Busy):
    """A row with that key is already there."""


class Unknown(StoreError):
    """The reply was lost: the statement may have been applied, or may be yet."""


class Unavailable(StoreError):
    """The store cannot be reached; the statement was not applied."""


class StoreUnfit(StoreError):
    """The store cannot hold Leasebeat as it is configured."""


class GateUnavailable(LeasebeatError):
    """Redis gave no usable answer."""


class CoordinatorUnavailable(LeasebeatError):
    """ZooKeeper gave no usable answer."""


class NameTaken(CoordinatorUnavailable):
    """Another session holds the znode of this node's name."""


class StartFailed(LeasebeatError):
    """The task could not be started on this node."""
