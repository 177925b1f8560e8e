"""The cgroup of one attempt, as the guardian makes, empties and removes it.

Version 2 has one folder for all limits, version 1 one for each controller. What a task starts is
born into its cgroup and cannot leave it without the rights of the worker, whatever session, parent
and environment it gives itself. Only the standard library, and little of it.

Files: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/{memory,pids}.rst of the kernel.
"""

from __future__ import annotations

import errno
import os
from typing import Any

_PERIOD_US = 100_000

_GONE = {errno.ENOENT, errno.ENODEV, errno.ESRCH}


class Group:
    """One cgroup. `folders` are by controller (version 2: all the same), `limits` those of `args`."""

    __slots__ = ("_folders", "_limits", "_unified")

    def __init__(self, plan: dict[str, Any]) -> None:
        self._folders: dict[str, str] = plan["folders"]
        self._limits: dict[str, int] = plan["limits"]
        self._unified: bool = plan["unified"]

    def make(self) -> None:
        """Make it, with its limits. Raises OSError, and then leaves nothing behind."""
        try:
            for folder in self._each():
                os.mkdir(folder)
            for controller, name, value in self.settings():
                _write(f"{self._folders[controller]}/{name}", value)
        except OSError:
            self.remove()
            raise

    def join(self) -> None:
        """Move the calling process into it. Raises OSError."""
        for folder in self._each():
            _write(f"{folder}/cgroup.procs", "0")

    def pids(self) -> list[int]:
        """Who is in it."""
        # Each process is in all folders but while it joins; then the guardian knows it as a child.
        listed = map(int, _read(f"{self._each()[0]}/cgroup.procs").split())
        return [pid for pid in listed if pid != 0]  # 0: one of another pid namespace, and to kill(): we all

    def seal(self) -> None:
        """Kill all in it by the kernel's own means where there are any; from now on nobody in it forks."""
        try:
            if self._unified:
                _write(f"{self._each()[0]}/cgroup.kill", "1")
            elif "pids" in self._folders:
                _write(f"{self._folders['pids']}/pids.max", "0")
        except OSError as problem:  # before Linux 5.14 there is no cgroup.kill: they are killed one by one
            if problem.errno not in _GONE:
                raise

    def told(self) -> str:
        """Which limits were met, for people; "" if none was."""
        said: list[str] = []
        events = "memory.events" if self._unified else "memory.oom_control"
        if "memory_mb" in self._limits and self._count("memory", events, "oom_kill"):
            said.append(f"killed by the memory limit of {self._limits['memory_mb']} MB")
        if "pids_max" in self._limits and self._count("pids", "pids.events", "max"):
            said.append(f"the limit of {self._limits['pids_max']} processes refused it more of them")
        return "; ".join(said)

    def remove(self) -> bool:
        """Remove it; False while somebody is in it."""
        for folder in self._each():
            try:
                os.rmdir(folder)
            except OSError as problem:
                if problem.errno == errno.EBUSY:
                    return False
                if problem.errno not in _GONE:
                    raise
        return True

    def _each(self) -> list[str]:
        return list(dict.fromkeys(self._folders.values()))

    def settings(self) -> list[tuple[str, str, str]]:
        """(controller, file, text) of each limit."""
        found: list[tuple[str, str, str]] = []
        if (memory := self._limits.get("memory_mb")) is not None:
            found += self._memory(str(memory << 20))
        if (pids := self._limits.get("pids_max")) is not None:
            found.append(("pids", "pids.max", str(pids)))
        if (percent := self._limits.get("cpu_pct")) is not None:
            quota = str(percent * _PERIOD_US // 100)
            found += (
                [("cpu", "cpu.max", f"{quota} {_PERIOD_US}")]
                if self._unified
                else [("cpu", "cpu.cfs_period_us", str(_PERIOD_US)), ("cpu", "cpu.cfs_quota_us", quota)]
            )
        return found

    def _memory(self, size: str) -> list[tuple[str, str, str]]:
        """With swap, where the kernel counts it: else a task would only become slow."""
        own, swap = ("memory.max", "memory.swap.max") if self._unified else _MEMORY_V1
        found = [("memory", own, size)]
        if os.path.exists(f"{self._folders['memory']}/{swap}"):
            found.append(("memory", swap, "0" if self._unified else size))
        if self._unified:
            found.append(("memory", "memory.oom.group", "1"))
        return found

    def _count(self, controller: str, name: str, key: str) -> int:
        for line in _read(f"{self._folders[controller]}/{name}").splitlines():
            if line.startswith(f"{key} "):
                return int(line.split()[1])
        return 0


_MEMORY_V1 = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError as problem:
        if problem.errno not in _GONE:
            raise
        return ""
