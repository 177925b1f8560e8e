"""What a task is told, and as whom and where it runs.

Nothing of the worker's own environment reaches a task but the few names below: settings, and with
them the passwords of store and Redis, come in through it.
"""

from __future__ import annotations

import json
import os
import pwd
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from leasebeat.errors import StartFailed
from leasebeat.executors.base import Launch
from leasebeat.model import upstream
from leasebeat.model.instant import to_text
from leasebeat.model.upstream import UPSTREAM_BYTES

SECRET_BYTES = 64 * 1024
"""The size of the largest file that `{"file": ...}` may name."""

MARKS = ("LEASEBEAT_RUN_KEY", "LEASEBEAT_ATTEMPT", "LEASEBEAT_NODE_ID")
"""The variables that together no other task has."""

_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this host."""

    name: str
    uid: int
    gid: int
    home: str


def account_of(name: str | None) -> Account:
    """The user of that name; None for the worker's own. Raises StartFailed if there is none."""
    try:
        entry = pwd.getpwuid(os.geteuid()) if name is None else pwd.getpwnam(name)
    except KeyError as problem:
        if name is None:  # a container's user without an entry
            return Account(str(os.geteuid()), os.geteuid(), os.getegid(), os.environ.get("HOME", "/"))
        raise StartFailed(f"run_as = {name!r}: this host has no user of that name") from problem
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def user_of(account: Account) -> tuple[int, int, list[int]] | None:
    """(uid, gid, groups) to change to; None where it is the worker's own user."""
    if account.uid == os.geteuid():
        return None
    return account.uid, account.gid, os.getgrouplist(account.name, account.gid)


def base_environment(account: Account) -> dict[str, str]:
    """The variables that every child process has: cron's, the language, and the search path."""
    passed = {
        name: value for name, value in os.environ.items() if name in ("LANG", "TZ") or name.startswith("LC_")
    }
    return {
        "PATH": os.environ.get("PATH", _DEFAULT_PATH),
        "HOME": account.home,
        "USER": account.name,
        "LOGNAME": account.name,
        "SHELL": "/bin/sh",
        **passed,
    }


def task_variables(launch: Launch, upstream_bytes: int = UPSTREAM_BYTES) -> dict[str, str]:
    """The `LEASEBEAT_*` variables of an attempt.

    `LEASEBEAT_SHARD_ARG` and `LEASEBEAT_UPSTREAM` are JSON, and missing where there is nothing to
    tell. The latter is cut to `upstream_bytes`.
    """
    told: dict[str, object] = {
        "SCHEDULE": launch.schedule.name,
        "SCHEDULE_ID": launch.key.schedule_id,
        "RUN_KEY": launch.key_text,
        "FIRE_AT": to_text(launch.key.fire_at),
        "ATTEMPT": launch.attempt,
        "FENCE": launch.fence,
        "SHARD": launch.key.shard,
        "SHARDS": launch.shards,
        "NODE": launch.node_name,
        "NODE_ID": launch.node_id,
    }
    if launch.shard_arg is not None:
        told["SHARD_ARG"] = json.dumps(launch.shard_arg)
    if launch.upstream is not None:
        told["UPSTREAM"] = upstream.fit(launch.upstream, min(UPSTREAM_BYTES, upstream_bytes))
    return {f"LEASEBEAT_{name}": str(value) for name, value in told.items()}


def home_of(account: Account) -> str:
    """The folder in which a task of that user begins, where `args.cwd` names none."""
    return account.home if os.path.isdir(account.home) else "/"


def is_reference(value: object) -> bool:
    """Whether a value of `args` stands for one that lies on the node: `{"file": ...}` or `{"env": ...}`."""
    return (
        isinstance(value, dict)
        and len(cast("dict[object, object]", value)) == 1
        and all(
            key in ("file", "env") and isinstance(named, str)
            for key, named in cast("dict[object, object]", value).items()
        )
    )


def resolve(value: object, place: str) -> object:
    """`value` with every reference in it replaced by what it stands for. `place` is for messages.

    Raises StartFailed where that cannot be read on this node.
    """
    if is_reference(value):
        ((source, named),) = cast("dict[str, str]", value).items()
        return _from_file(named, place) if source == "file" else _from_environment(named, place)
    if isinstance(value, Mapping):
        mapping = cast("Mapping[str, object]", value)
        return {name: resolve(part, f"{place}.{name}") for name, part in mapping.items()}
    if isinstance(value, list | tuple):
        parts = cast("list[object]", value)
        return [resolve(part, f"{place}[{number}]") for number, part in enumerate(parts)]
    return value


def resolve_each(values: Mapping[str, object], place: str) -> dict[str, object]:
    """`resolve` for each value of an object whose own keys are names: there `{"env": "x"}` is a variable."""
    return {name: resolve(value, f"{place}.{name}") for name, value in values.items()}


def read_regular(path: str, size: int, flags: int = 0, owner: int | None = None) -> bytes | None:
    """The first `size` bytes of a regular file; None where it is something else. Raises OSError.

    Waits for nobody: a pipe without a writer must not hold up the threads that serve the whole node.
    `flags` are added to those of `os.open`. With `owner`, a uid, other people's files are something
    else: a name can be a second one (a hard link) of a file that only the worker may read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | flags)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or owner not in (None, found.st_uid):
            return None
        with open(fd, "rb", closefd=False) as file:
            return file.read(size)
    finally:
        os.close(fd)


def _from_file(path: str, place: str) -> str:
    try:
        data = read_regular(path, SECRET_BYTES + 1)
    # ValueError: a NUL in the path.
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise StartFailed(f"{place}: {path!r} cannot be read on this node: {why}") from problem
    if data is None:
        raise StartFailed(f"{place}: {path!r} is no regular file, and only such a one is read")
    if len(data) > SECRET_BYTES:
        raise StartFailed(
            f"{place}: {path!r} is larger than {SECRET_BYTES:,} bytes, the most a value may have"
        )
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as problem:
        raise StartFailed(f"{place}: {path!r} is not UTF-8 text") from problem


def _from_environment(name: str, place: str) -> str:
    # The worker's settings come in through LEASEBEAT_*, passwords among them: not for tasks.
    if name.startswith("LEASEBEAT_"):
        raise StartFailed(f"{place}: {name} belongs to the worker itself; give the value another name")
    try:
        return os.environ[name]
    except KeyError as problem:
        raise StartFailed(
            f"{place}: the worker of this node has no variable {name} in its environment"
        ) from problem
