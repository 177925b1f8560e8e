"""Private servers for tests and demonstrations: MariaDB and Redis on loopback ports.

Each is the real server in a temporary folder of its own, started without systemd, as root or not.
It can be killed, frozen and started again on the same port and data. Ports lie below the kernel's
ephemeral range: a client that keeps trying a dead port inside that range may connect to itself.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil

from leasebeat.testing.mysql import MySQL

__all__ = [
    "HOST",
    "MariaDB",
    "Missing",
    "Redis",
    "Server",
    "asked",
    "free_port",
    "need",
    "processes_in",
    "sweep",
]

HOST = "127.0.0.1"
READY_S = 60.0
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class Missing(RuntimeError):
    """The program of a server is not installed."""


def need(program: str, package: str) -> str:
    """The path of `program`. Raises Missing with the Debian package that has it."""
    # Debian keeps servers in sbin, which is not on everybody's PATH.
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{program} is not installed; on Debian or Ubuntu: apt install {package}")
    return found


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue  # taken: draw again
            return port


def processes_in(folder: Path) -> list[psutil.Process]:
    """The processes that were started for something in `folder`, this one not counted."""
    return [
        process for process in psutil.process_iter() if process.pid != os.getpid() and _is_in(process, folder)
    ]


def _is_in(process: psutil.Process, folder: Path) -> bool:
    try:
        # Redis writes over its command line, so where it stands counts too.
        return Path(process.cwd()).is_relative_to(folder) or any(
            str(folder) in word for word in process.cmdline()
        )
    except psutil.Error:
        return False  # ended meanwhile, or somebody else's


def sweep(folder: Path) -> None:
    """Kill every process that was started for something in `folder`, then remove it."""
    left = processes_in(folder)
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=5)
    shutil.rmtree(folder, ignore_errors=True)


class Server(ABC):
    """A server process in a folder of its own. Also a context manager: started on entry, gone on exit."""

    package: str

    def __init__(self, parent: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"lb-{type(self).__name__.lower()}-", dir=parent))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The command line."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether it answers."""

    def environ(self) -> Mapping[str, str]:
        """Its environment."""
        return {name: value for name, value in os.environ.items() if not name.startswith("LEASEBEAT_")}

    @property
    def pid(self) -> int:
        """Of the running process. Raises RuntimeError when there is none."""
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} in {self.folder} is not running")
        return self._process.pid

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / "log"

    def start(self) -> None:
        """Start it and wait until it answers, 60 s at most."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environ(),
                cwd=self.folder,
            )
        end = time.monotonic() + READY_S
        while not self.ready():
            if self._process.poll() is not None or time.monotonic() > end:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{type(self).__name__} did not start on port {self.port}:\n{tail}")
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def stop(self) -> None:
        """End it in good order; with SIGKILL if it takes more than 15 s."""
        if self._process is None:
            return
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill9(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay open and nothing answers."""
        self.signal(signal.SIGSTOP)
        # The signal is taken a moment after it was sent; until then it would still answer.
        while any(_state(self.pid, thread.id) != "T" for thread in psutil.Process(self.pid).threads()):
            time.sleep(0.001)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self.signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop it and start it again, same port, same data."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Stop it and forget its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def _state(pid: int, thread: int) -> str:
    """One letter of proc(5): T is stopped."""
    return Path(f"/proc/{pid}/task/{thread}/stat").read_text().rpartition(")")[2].split()[0]


class MariaDB(Server):
    """A MariaDB server: root by its socket, other accounts over TCP.

    `durable` writes the log through to the disk at each commit, as production does; without it a
    commit survives the death of the server but not of the machine. Its time zone is not UTC, on
    purpose. With `faketime` its clock can be shifted.
    """

    package = "mariadb-server-core"

    def __init__(
        self,
        parent: Path | None = None,
        *,
        durable: bool = False,
        faketime: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        self._program = need("mariadbd", self.package)
        super().__init__(parent)
        self.durable, self.faketime, self.options = durable, faketime, tuple(options)
        self.shift_clock("+0s")
        shutil.copytree(_mariadb_template(), self.data)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        """The socket on which root needs no password."""
        return self.folder / "sock"

    @property
    def mysql(self) -> MySQL:
        """Root's client."""
        return MySQL.parse(f"mysql://root@{HOST}:{self.port}/mysql?unix_socket={self.socket}")

    def command(self) -> Sequence[str]:
        return [
            *(self._program, *_MARIADB_OPTIONS, f"--datadir={self.data}", f"--socket={self.socket}"),
            *(f"--port={self.port}", f"--bind-address={HOST}", f"--pid-file={self.folder / 'pid'}"),
            # Never shared: a server that starts removes what others have there, and they crash on it.
            f"--tmpdir={self.folder}",
            f"--innodb-flush-log-at-trx-commit={1 if self.durable else 2}",
            *self.options,
        ]

    def environ(self) -> Mapping[str, str]:
        return {**super().environ(), **(faketime_environ(self.folder / "clock") if self.faketime else {})}

    def ready(self) -> bool:
        return self.mysql.answers()

    def shift_clock(self, offset: str) -> None:
        """Move its wall clock to `offset` from the true one, like `+30s`. Only with `faketime`."""
        write_clock(self.folder / "clock", offset)


_AS_ROOT = ("--user=root",) if os.geteuid() == 0 else ()

_MARIADB_OPTIONS = (
    "--no-defaults",
    *_AS_ROOT,
    "--skip-name-resolve",  # so that root@localhost is the socket, and nobody over TCP
    "--default-time-zone=+05:30",  # whoever relies on the server's zone shall fail
    "--innodb-buffer-pool-size=128M",
    "--innodb-log-file-size=64M",
    "--innodb-use-native-aio=0",  # containers may not have any left
    "--max-connections=400",
)


def _mariadb_template() -> Path:
    """A freshly installed data directory, made once per user and kept: installing takes seconds."""
    home = Path(tempfile.gettempdir()) / f"leasebeat-templates-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.stat().st_uid != os.getuid():
        raise RuntimeError(f"{home} belongs to somebody else; remove it or set TMPDIR")
    template = home / f"mariadb-{_version(need('mariadbd', MariaDB.package))}"
    if not template.exists():
        fresh = Path(tempfile.mkdtemp(dir=home))
        _install_mariadb(fresh)
        try:
            fresh.rename(template)
        except OSError:  # another test process was faster
            shutil.rmtree(fresh)
    return template


def _version(program: str) -> str:
    words = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()
    return next((word for word in words if word[:1].isdigit()), "unknown")


def _install_mariadb(data: Path) -> None:
    install, server = need("mariadb-install-db", MariaDB.package), need("mariadbd", MariaDB.package)
    common = [
        "--no-defaults",
        f"--datadir={data}",
        f"--tmpdir={data}",
        "--innodb-log-file-size=8M",
        *_AS_ROOT,
    ]
    _must([install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"])
    # Nobody comes in over TCP without an account of his own.
    _must([server, *common, "--bootstrap"], "DELETE FROM mysql.global_priv WHERE Host <> 'localhost';\n")


def _must(command: Sequence[str], text: str = "") -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


class Redis(Server):
    """A Redis server without persistence: what it held is gone when it ends, as with an eviction."""

    package = "redis-server"

    def __init__(self, parent: Path | None = None, *, options: Sequence[str] = ()) -> None:
        self._program = need("redis-server", self.package)
        super().__init__(parent)
        self.options = tuple(options)

    @property
    def url(self) -> str:
        """For `[redis] url`."""
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> Sequence[str]:
        return [
            *(self._program, "--bind", HOST, "--port", str(self.port), "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no", "--databases", "1000", "--daemonize", "no"),
            *self.options,
        ]

    def ready(self) -> bool:
        return asked(self.port, b"PING\r\n").startswith(b"+PONG")


def asked(port: int, question: bytes) -> bytes:
    """What a loopback port answers within a second; nothing if it does not."""
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(question)
            return connection.recv(4096)
    except OSError:
        return b""


def faketime_environ(clock: Path) -> dict[str, str]:
    """What lets a process read its wall clock from `clock`; its monotonic clocks stay true.

    Raises Missing without libfaketime.
    """
    if not FAKETIME.exists():
        raise Missing("libfaketime is not installed; on Debian or Ubuntu: apt install libfaketime")
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # threads of Python and of the servers wait on it
    }


def write_clock(clock: Path, offset: str) -> None:
    """Set what `faketime_environ(clock)` reads, in one step: a half-written file would be half a time."""
    fresh = clock.with_suffix(".new")
    fresh.write_text(f"{offset}\n")
    fresh.replace(clock)
