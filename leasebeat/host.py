"""What this process and its host are: the facts that a node writes about itself."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable
from pathlib import Path

from leasebeat import __version__
from leasebeat.errors import SettingsError
from leasebeat.model.node import NodeFacts, NodeState
from leasebeat.settings import Settings
from leasebeat.triggers import tzdata_version


def lock_name(name: str) -> str:
    """The file that the worker of that name and its guardian hold, in the state directory."""
    return "".join(char if char.isalnum() or char in "-_." else f"%{ord(char):x}" for char in name) + ".lock"


def state_dir(settings: Settings) -> Path:
    """Where lock files and results of tasks lie; made if it is not there. Raises SettingsError."""
    path = Path(settings.node.state_dir)
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o755)
    except OSError as problem:
        raise SettingsError(
            f"[node] state_dir {str(path)!r} cannot be made ({problem.strerror}); name a folder that this"
            " user may write"
        ) from problem
    return path


def facts(settings: Settings, cordoned: bool) -> NodeFacts:
    """What the node of this process says of itself; its id is drawn when it joins."""
    node = settings.node
    return NodeFacts(
        id="",
        name=node.name,
        host=platform.node(),
        address=_address(),
        pid=os.getpid(),
        boot_id=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        pid_namespace=os.readlink("/proc/self/ns/pid"),
        process_start=_process_start(),
        slots=node.slots,
        beat_s=node.beat_s,
        queues=dict(node.queues),
        roles=tuple(node.roles),
        version=__version__,
        tzdata=tzdata_version(),
        state=NodeState.CORDONED if cordoned else NodeState.LIVE,
    )


def _process_start() -> int:
    """Clock ticks from boot to this process's start: field 22 of proc(5) /proc/PID/stat."""
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


def _address() -> str:
    """The address that other hosts probably know this one by; nothing is sent to find it."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"


def is_this_host(other: NodeFacts, own: NodeFacts) -> bool:
    """Whether a node ran on this very boot of this very host: a copied disk has the lock file's text, too."""
    return (other.host, other.boot_id, other.pid_namespace) == (own.host, own.boot_id, own.pid_namespace)


def usage() -> Callable[[], tuple[float, int]]:
    """CPU % since the last call, and resident bytes, of this process."""
    import psutil

    process = psutil.Process()
    process.cpu_percent()
    return lambda: (process.cpu_percent(), process.memory_info().rss)
