"""What the host's settings say to executors; the names are those of `[node]`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """Limits of this host, which no row of the table can widen, and how tasks are run.

    `allow_commands` are patterns of whole command lines, in which `*` stands for any characters but
    those that mean something to the shell, and never for `..`. `allow_modules` are names of modules
    and packages, a package with everything in it. `allow_urls` are beginnings of URLs; addresses of
    this host and its link are reached only where one of them names the host. A single `*` allows all.
    `allow_users` are users besides the worker's own.
    """

    allow_kinds: tuple[str, ...] = ("shell", "python", "http", "publish")
    allow_commands: tuple[str, ...] = ("*",)
    allow_modules: tuple[str, ...] = ("*",)
    allow_urls: tuple[str, ...] = ("*",)
    allow_users: tuple[str, ...] = ()
    python_isolation: Literal["process", "thread"] = "process"
    slots: int = 20
    python_processes: int = 0  #: Python children, or threads, at most; 0: as many as slots
    python_path: tuple[str, ...] = ()
    python_init: str = ""  #: `package.module:function`, called once in each new Python child
    python_recycle_runs: int = 1000  #: a Python child ends after so many jobs
    state_dir: Path | None = None  #: for the files of results; None: the system's temporary folder
    kill_grace_s: float = 10.0  #: seconds from SIGTERM to SIGKILL at a timeout
