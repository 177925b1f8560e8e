"""The network between the workers and the store, and what it loses.

Each worker has a port of its own. What may happen to what goes through it:

    lost reply      the server has done it, the worker's connection ends before it hears so
    swallowed       the same, but the connection stays open and silent until the worker gives up
    late request    held until the worker has given up; then the server gets it, and does it
    slow reply      just slow
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from random import Random

from leasebeat.runtime import Runtime
from leasebeat.store.mysql import REPLY_S

_GREETINGS = 6
"""Replies of a connection that is being opened: losing those is just a connection that failed."""


class Proxies:
    """The thread in which all proxies live."""

    def __init__(self, runtime: Runtime) -> None:
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._proxies: list[Proxy] = []
        self._task = runtime.start("proxies", self._run)
        self._started.wait()

    def open(self, host: str, port: int, random: Random) -> Proxy:
        """A proxy before the server there."""
        proxy = Proxy(self._loop, host, port, random)
        self._proxies.append(proxy)
        asyncio.run_coroutine_threadsafe(proxy.listen(), self._loop).result(10)
        return proxy

    def close(self) -> None:
        """End all of them."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._task.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._started.set)
        self._loop.run_forever()
        for proxy in self._proxies:
            proxy.close()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


class Proxy:
    """One worker's way to the store. `rough` is the part of what passes that something happens to."""

    def __init__(self, loop: asyncio.AbstractEventLoop, host: str, port: int, random: Random) -> None:
        self.port = 0
        self.rough = 0.0
        self.refuses = False
        self.counts: Counter[str] = Counter()
        self._loop = loop
        self._host, self._target = host, port
        self._random = random
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Take connections from now on."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Take no more. In the loop's thread."""
        if self._server is not None:
            self._server.close()

    def cut(self) -> None:
        """End all connections, whatever is under way in them."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        self.counts["cut links"] += len(self._writers) // 2
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        try:
            server, to_server = await asyncio.open_connection(self._host, self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, to_server}
        self._writers |= both
        try:
            await self._carry(reader, writer, server, to_server)
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        requests = asyncio.create_task(self._requests(reader, to_server))
        replies = asyncio.create_task(self._replies(server, writer, requests))
        # A worker that has gone is not the end: what it sent is still to be done.
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await requests
        to_server.close()
        replies.cancel()

    async def _requests(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        passed = 0
        while data := await reader.read(1 << 16):
            passed += 1
            if passed > _GREETINGS and self._random.random() < self.rough / 4:
                self.counts["late requests"] += 1
                await asyncio.sleep(REPLY_S * self._random.uniform(1.05, 1.6))
            to_server.write(data)
            await to_server.drain()

    async def _replies(
        self, server: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: asyncio.Task[None]
    ) -> None:
        passed = 0
        fate = ""
        with contextlib.suppress(OSError):
            while data := await server.read(1 << 16):
                passed += 1
                fate = fate or (self._fate() if passed > _GREETINGS else "")
                if fate == "lost":
                    break
                if fate == "swallowed":
                    continue
                if fate == "slow":
                    fate = ""
                    await asyncio.sleep(self._random.uniform(0.05, 0.6))
                writer.write(data)
                await writer.drain()
        writer.close()
        requests.cancel()

    def _fate(self) -> str:
        if self._random.random() >= self.rough:
            return ""
        fate = self._random.choice(("lost", "lost", "lost", "swallowed", "slow"))
        if fate != "slow":
            self.counts["lost replies"] += 1
        return fate
