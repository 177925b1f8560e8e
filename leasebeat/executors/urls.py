"""URLs of `http` tasks: which ones this host may ask, and which addresses they lead to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from leasebeat.errors import StartFailed

_PORTS = {"http": 80, "https": 443}


def problem_of(url: str, allowed: Iterable[str]) -> str | None:
    """Why this host does not ask it; None if it does.

    `allowed` are beginnings of URLs: same scheme, host and port, and a path that begins alike. A
    lone `*` allows all.
    """
    parts = _split(url)
    if parts is None:
        return "expected a URL like https://host/path"
    if parts.username is not None or parts.password is not None:
        return 'a password does not belong into a URL; put it into args.headers, as {"file": PATH}'
    if not any(prefix == "*" or _covers(prefix, parts) for prefix in allowed):
        return "not covered by [node] allow_urls of this host"
    return None


def is_named(url: str, allowed: Iterable[str]) -> bool:
    """Whether an entry other than `*` covers it; then its host may be this one or on its link."""
    parts = _split(url)
    return parts is not None and any(prefix != "*" and _covers(prefix, parts) for prefix in allowed)


def same_host(url: str, target: str) -> bool:
    """Whether a redirect from one to the other stays where it was; from http to https is the same host."""
    one, other = _split(url), _split(target)
    if one is None or other is None or one.hostname != other.hostname:
        return False
    upgrade = (one.scheme, _port(one), other.scheme, _port(other)) == ("http", 80, "https", 443)
    return upgrade or (one.scheme, _port(one)) == (other.scheme, _port(other))


def host_and_port(url: str) -> tuple[str, int]:
    """Where it leads. Raises StartFailed for what is no URL."""
    parts = _split(url)
    if parts is None or parts.hostname is None:
        raise StartFailed(f"{url!r}: expected a URL like https://host/path")
    return parts.hostname, _port(parts)


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, in the order in which to try them. Raises StartFailed if there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise StartFailed(f"the address of {host!r} cannot be found: {problem}") from problem
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def problem_of_address(text: str) -> str | None:
    """What kind of address it is, where that kind is asked only if `allow_urls` names the host."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback or address.is_unspecified:
        return "this host itself"
    if address.is_link_local:
        return "an address of the link, as that of a cloud's metadata"
    if address.is_multicast or text == "255.255.255.255":
        return "a multicast address"
    return None


def _split(url: str) -> SplitResult | None:
    """Its parts; None unless it is http or https with a host, and the same to everyone who reads it."""
    # Readers differ about blanks, control characters and backslashes: one that checks and one that
    # connects must not see two hosts.
    if any(character <= " " or character in "\\\x7f" for character in url):
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]


def _covers(prefix: str, parts: SplitResult) -> bool:
    wanted = _split(prefix)
    if wanted is None or (wanted.scheme, wanted.hostname, _port(wanted)) != (
        parts.scheme,
        parts.hostname,
        _port(parts),
    ):
        return False
    path = parts.path or "/"
    # `..` could lead out of the path, once the other end has resolved it, encoded or not.
    beyond = ".." in path or "%" in path
    return wanted.path in ("", "/") or (path.startswith(wanted.path) and not beyond)
