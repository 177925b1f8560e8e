"""What a Redis deployment says of itself, for `doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from leasebeat.gate.deployment import Deployment
from leasebeat.gate.link import Link


@dataclass(frozen=True, slots=True)
class Looks:
    """One look at all servers."""

    servers: Mapping[str, Mapping[str, str]]  #: INFO of each that takes writes, by its name
    sentinels: Mapping[str, str]  #: what is wrong with each Sentinel, by its name; empty if nothing is


def look(deployment: Deployment) -> Looks:
    """Look at every server once. Raises GateUnavailable."""
    links = deployment.open()
    try:
        servers = {link.name: _told(link) for _, link in links.each()}
    finally:
        links.close()
    return Looks(servers, deployment.sentinels())


def _told(link: Link) -> Mapping[str, str]:
    told = _fields(link.call("INFO"))
    return told | _fields(link.call("CLUSTER", "INFO")) if told.get("cluster_enabled") == "1" else told


def _fields(said: object) -> dict[str, str]:
    text = said.decode() if isinstance(said, bytes) else str(said)
    return {name: value for name, _, value in (line.partition(":") for line in text.splitlines()) if value}
