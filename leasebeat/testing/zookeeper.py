"""Private ZooKeeper: one server, or three that hold together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from leasebeat.testing.servers import HOST, Missing, Server, asked, free_port, need

__all__ = ["ZooKeeper", "ZooKeeperEnsemble"]

TICK_MS = 500


class ZooKeeper(Server):
    """One ZooKeeper server, sessions from 1 s up. `members` are those of its ensemble: server.N=..."""

    package = "zookeeper"

    def __init__(self, parent: Path | None = None, number: int = 0, members: Sequence[str] = ()) -> None:
        self._java = need("java", "default-jre-headless")
        if not Path("/usr/share/java/zookeeper.jar").exists():
            raise Missing("ZooKeeper is not installed; on Debian or Ubuntu: apt install zookeeper")
        super().__init__(parent)
        self.number = number
        (self.folder / "data").mkdir()
        (self.folder / "data" / "myid").write_text(f"{number}\n")
        lines = [
            f"tickTime={TICK_MS}",
            f"dataDir={self.folder}/data",
            f"clientPort={self.port}",
            f"clientPortAddress={HOST}",
            "initLimit=20",
            "syncLimit=6",
            "admin.enableServer=false",
            "4lw.commands.whitelist=*",
            "maxClientCnxns=0",
            *members,
        ]
        (self.folder / "zoo.cfg").write_text("\n".join(lines) + "\n")

    @property
    def hosts(self) -> str:
        """For `[zookeeper] hosts`."""
        return f"{HOST}:{self.port}"

    @property
    def leads(self) -> bool:
        """Whether it is the leader of its ensemble."""
        return b"Mode: leader" in asked(self.port, b"srvr")

    def command(self) -> Sequence[str]:
        classes = "/etc/zookeeper/conf_example:/usr/share/java/zookeeper.jar"
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return [self._java, "-Xmx128m", "-cp", classes, main, str(self.folder / "zoo.cfg")]

    def ready(self) -> bool:
        # Without a majority it answers `ruok` all the same, and serves nobody.
        return b"Mode:" in asked(self.port, b"srvr")


class ZooKeeperEnsemble:
    """Three servers. Each may be killed, frozen and started again; two of them are a majority."""

    def __init__(self, parent: Path | None = None) -> None:
        members = [f"server.{number}={HOST}:{free_port()}:{free_port()}" for number in (1, 2, 3)]
        self.servers = [ZooKeeper(parent, number, members) for number in (1, 2, 3)]

    @property
    def hosts(self) -> str:
        """For `[zookeeper] hosts`: all three."""
        return ",".join(server.hosts for server in self.servers)

    def leader(self) -> ZooKeeper:
        """The one that leads. Raises RuntimeError when none does within 30 s."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            for server in self.servers:
                if server.leads:
                    return server
            time.sleep(0.05)
        raise RuntimeError("the ensemble has no leader")

    def start(self) -> None:
        """Start all three at once: one alone never answers."""
        with ThreadPoolExecutor(3) as starters:
            list(starters.map(ZooKeeper.start, self.servers))

    def remove(self) -> None:
        """Stop them and forget their data."""
        for server in self.servers:
            server.remove()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()
