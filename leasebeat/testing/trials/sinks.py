"""Where tasks of the kinds `http` and `publish` leave what they send."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

import redis

__all__ = ["Messages", "Request", "Requests"]


@dataclass(frozen=True, slots=True)
class Request:
    """One that came."""

    path: str
    method: str
    headers: Mapping[str, str]
    body: str


class Requests:
    """A server on loopback that keeps what it is asked; `/NAME?404` is answered with that status."""

    def __init__(self) -> None:
        self.kept: list[Request] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        kept = self.kept

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                asked = urlsplit(self.path)
                kept.append(Request(asked.path, self.command, dict(self.headers), body))
                self.send_response(int(asked.query or 200))
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = _answer  # noqa: N815 - the base class looks for these names

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: what came is kept."""
                del format, args

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Messages:
    """What comes to `stream:proof`, `list:proofs` and `channel:proof` of a Redis; nothing without one."""

    def __init__(self, url: str) -> None:
        redis_client: Any = redis.Redis
        self._client: Any = redis_client.from_url(url, decode_responses=True) if url else None
        self._listener: Any = self._client and self._client.pubsub(ignore_subscribe_messages=True)

    def __enter__(self) -> Self:
        if self._client:
            self._listener.subscribe("proof")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._client:
            self._listener.close()
            self._client.close()

    def kept(self) -> dict[str, list[str]]:
        """The messages by target."""
        if not self._client:
            return {}
        return {
            "stream": [fields["message"] for _, fields in self._client.xrange("proof")],
            "list": self._client.lrange("proofs", 0, -1),
            "channel": list(self._heard()),
        }

    def _heard(self) -> Iterator[str]:
        self._listener.get_message(timeout=1)  # the answer to `subscribe`
        while (message := self._listener.get_message(timeout=0.1)) is not None:
            yield message["data"]
