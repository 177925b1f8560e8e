"""Options that several commands share, and the open store behind them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from leasebeat.cli.exits import Usage, with_place
from leasebeat.errors import NoStore
from leasebeat.settings import Settings, load

if TYPE_CHECKING:
    from leasebeat.store.desk import Desk

__all__ = ["COMMON", "Common", "check_count", "desk_of", "flag", "settings_of"]


def flag(text: str, name: str | Sequence[str] | None = None) -> Parameter:
    """An option that is there or not."""
    return Parameter(name=name, help=text, negative="", show_default=False)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Common:
    """What every command understands."""

    config: Annotated[Path | None, Parameter(help="Settings file.", metavar="PATH")] = None
    json: Annotated[bool, flag("JSON on standard output, for programs.")] = False


COMMON = Common()

_MOST = 10_000


def check_count(count: int) -> None:
    """Whether `-n` is so many as may be shown. Raises Usage."""
    if not 1 <= count <= _MOST:
        raise Usage(f"-n {count}: expected 1 to {_MOST}")


def settings_of(common: Common) -> Settings:
    """The settings this command works with. Raises SettingsError."""
    return load(common.config)


@contextmanager
def desk_of(common: Common) -> Generator[Desk]:
    """The store of the settings, open for people's commands. Raises NoStore, SettingsError, StoreError."""
    from leasebeat.app import open_desk

    settings = settings_of(common)
    try:
        desk = open_desk(settings)
    except NoStore as problem:
        raise with_place(problem, settings) from problem
    try:
        yield desk
    finally:
        desk.close()
