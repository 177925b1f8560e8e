"""Where this host lets the worker make cgroups: what `[node] cgroup` means here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from leasebeat.executors import processes
from leasebeat.executors.cgroup import Group

CONTROLLERS = {"memory_mb": "memory", "pids_max": "pids", "cpu_pct": "cpu"}
"""The controller behind each limit of `args`."""

WORKER = "worker"
"""The name of the worker's own cgroup below one that is delegated to it (`DelegateSubgroup=`)."""


@dataclass(frozen=True, slots=True)
class Home:
    """The folders below which cgroups can be made, by controller; `problem` says why others are missing.

    `ceiling` holds for each task, whatever its `args` say.
    """

    folders: Mapping[str, str] = field(default_factory=dict[str, str])
    unified: bool = False
    ceiling: Mapping[str, int] = field(default_factory=dict[str, int])
    problem: str = '[node] cgroup is "off"'

    def lacks(self, args: Mapping[str, object]) -> str | None:
        """Why tasks with these limits cannot run here; None if they can."""
        missing = [name for name in self.limits(args) if CONTROLLERS[name] not in self.folders]
        if not missing:
            return None
        return f"limit of {', '.join(missing)}: this host has no cgroup that could set it: {self.problem}"

    def limits(self, args: Mapping[str, object]) -> dict[str, int]:
        """What a task with these `args` may use at most."""
        own = limits_of(args)
        return {
            name: min(filter(None, (own.get(name), self.ceiling.get(name))))
            for name in CONTROLLERS
            if name in own or name in self.ceiling
        }

    def plan(self, name: str, limits: Mapping[str, int]) -> dict[str, object] | None:
        """What the guardian makes a `Group` of; None without limits."""
        if not limits:
            return None
        wanted = {CONTROLLERS[limit] for limit in limits} | {"pids"}  # pids: to end a fork bomb by
        folders = {one: f"{self.folders[one]}/{name}" for one in sorted(wanted) if one in self.folders}
        return {"folders": folders, "limits": dict(limits), "unified": self.unified}

    def sweep(self, node_id: str) -> bool:
        """Kill and remove what a dead guardian has left of that node's; False if some is still there."""
        names = {path.name for top in self.folders.values() for path in Path(top).glob(f"{prefix(node_id)}*")}
        left = [name for name in names if not self._removed(name)]
        return not left

    def _removed(self, name: str) -> bool:
        folders = {one: f"{top}/{name}" for one, top in self.folders.items()}
        for folder in folders.values():
            group = Group({"folders": {"pids": folder}, "limits": {}, "unified": self.unified})
            processes.kill(group.pids())
        return Group({"folders": folders, "limits": {}, "unified": self.unified}).remove()


def prefix(node_id: str) -> str:
    """How the names of a node's cgroups begin."""
    return f"leasebeat-{node_id}-"


def limits_of(args: Mapping[str, object]) -> dict[str, int]:
    """The limits among `args`, which were checked."""
    return {name: value for name in CONTROLLERS if isinstance(value := args.get(name), int)}


def find(setting: str, memory_mb: int = 0, pids_max: int = 0) -> Home:
    """What `[node] cgroup` names: "off", "auto", or the folder of a cgroup of version 2. Never raises.

    The others are the ceiling; 0 is none.
    """
    ceiling = {name: most for name, most in (("memory_mb", memory_mb), ("pids_max", pids_max)) if most}
    return replace(_find(setting), ceiling=ceiling)


def _find(setting: str) -> Home:
    if setting == "off":
        return Home()
    if setting != "auto":
        return _unified(setting)
    try:
        own, mounts = _own_groups(), _mounts()
    except OSError as problem:
        return Home(problem=f"/proc does not tell of cgroups: {problem.strerror}")
    found = _delegated(own, mounts)
    return found if found.folders else _separate(own, mounts, found.problem)


def _delegated(own: Mapping[str, str], mounts: Mapping[str, tuple[str, str]]) -> Home:
    """The parent of the worker's own cgroup, where a service manager has handed it over."""
    if "" not in own or "" not in mounts:
        return Home(problem="there is no cgroup file system of version 2")
    mine = _below(own[""], *mounts[""])
    if os.path.basename(mine) != WORKER:
        return Home(problem=f"{mine} is not delegated to the worker (systemd: Delegate=, DelegateSubgroup=)")
    return _unified(os.path.dirname(mine))


def _unified(folder: str) -> Home:
    try:
        there = set(Path(folder, "cgroup.controllers").read_text().split()) & {*CONTROLLERS.values()}
        Path(folder, "cgroup.subtree_control").write_text(" ".join(f"+{one}" for one in sorted(there)))
    except OSError as problem:
        return Home(problem=f"{folder} cannot be used: {problem.strerror}")
    return Home(dict.fromkeys(there, folder), True, problem=f"{folder} has no such controller")


def _separate(own: Mapping[str, str], mounts: Mapping[str, tuple[str, str]], problem: str) -> Home:
    """Version 1: below the worker's own cgroup in each hierarchy, so that its own limits go on to hold."""
    places = {
        one: _below(own[one], *mounts[one]) for one in CONTROLLERS.values() if one in own and one in mounts
    }
    folders = {one: place for one, place in places.items() if os.access(place, os.W_OK)}
    refused = [place for place in places.values() if place not in folders.values()]
    return Home(folders, problem="; ".join([problem, *(f"{place} may not be written" for place in refused)]))


def _own_groups() -> dict[str, str]:
    """The worker's cgroup by controller; by "" that of version 2."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return {
        one: path for _, names, path in (line.split(":", 2) for line in lines) for one in names.split(",")
    }


def _mounts() -> dict[str, tuple[str, str]]:
    """(root, mount point) of each hierarchy, by controller; by "" that of version 2."""
    found: dict[str, tuple[str, str]] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        for one in _hierarchies(kind, options):
            found.setdefault(one, (before.split()[3], before.split()[4]))
    return found


def _hierarchies(kind: str, options: str) -> Iterable[str]:
    return [""] if kind == "cgroup2" else options.split(",") if kind == "cgroup" else []


def _below(path: str, root: str, mount: str) -> str:
    """The folder of a cgroup where only a part of the hierarchy is mounted, as in containers."""
    inner = path[len(root) :] if root != "/" and f"{path}/".startswith(f"{root}/") else path
    return f"{mount}/{inner.strip('/')}".rstrip("/")
