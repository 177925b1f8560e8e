"""The network between one worker and one server.

What a partition keeps back is not lost: TCP sends it again, and a host whose process is gone does so, too. So
a held direction delivers everything when it heals, statements of workers that have given up among it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Literal

from leasebeat.runtime import Runtime
from leasebeat.testing.servers import HOST

__all__ = ["Link", "Links", "Way"]

Way = Literal["requests", "replies"]


class Links:
    """The thread in which all links live."""

    def __init__(self, runtime: Runtime) -> None:
        self._loop = asyncio.new_event_loop()
        self._links: list[Link] = []
        self._ended = asyncio.Event()
        self._started = threading.Event()
        self._task = runtime.start("links", self._run)
        self._started.wait()

    def open(self, port: int) -> Link:
        """A link to the server on that loopback port."""
        link = Link(self._loop, port)
        self._links.append(link)
        asyncio.run_coroutine_threadsafe(link.listen(), self._loop).result(10)
        return link

    def close(self) -> None:
        """End all of them."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._task.join(10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._started.set()
        await self._ended.wait()
        for link in self._links:
            link.end()
        await asyncio.sleep(0)


class Link:
    """One worker's way to one server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, target: int) -> None:
        self.port = 0
        self._loop = loop
        self._target = target
        self._gates: dict[Way, asyncio.Event] = {}
        self._delay_s = 0.0
        self._refuses = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Take connections from now on. In the loop's thread."""
        self._gates = {"requests": asyncio.Event(), "replies": asyncio.Event()}
        self._heal()
        self._server = await asyncio.start_server(self._carry, HOST, 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def end(self) -> None:
        """Take no more, and cut what there is. In the loop's thread."""
        if self._server is not None:
            self._server.close()
        self._abort()

    # from any thread

    def hold(self, *ways: Way) -> None:
        """Nothing passes in these directions until it heals; nobody is told."""
        self._loop.call_soon_threadsafe(self._hold, ways)

    def refuse(self) -> None:
        """Every connection ends, and new ones are refused until it heals."""
        self._loop.call_soon_threadsafe(self._refuse)

    def slow(self, seconds: float) -> None:
        """Everything takes that much longer, in each direction."""
        self._loop.call_soon_threadsafe(setattr, self, "_delay_s", seconds)

    def heal(self) -> None:
        """As if nothing had been; what was held is delivered."""
        self._loop.call_soon_threadsafe(self._heal)

    # in the loop's thread

    def _hold(self, ways: tuple[Way, ...]) -> None:
        for way in ways:
            self._gates[way].clear()

    def _refuse(self) -> None:
        self._refuses = True
        self._abort()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _heal(self) -> None:
        self._refuses, self._delay_s = False, 0.0
        for gate in self._gates.values():
            gate.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        try:
            server, to_server = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, to_server}
        self._writers |= both
        try:
            with contextlib.suppress(OSError):
                await asyncio.gather(
                    self._pass(reader, to_server, "requests"), self._pass(server, writer, "replies")
                )
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        """Carry one direction to its end. Raises OSError when either side is gone."""
        while data := await reader.read(1 << 16):
            await self._gates[way].wait()
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            writer.write(data)
            await writer.drain()
        await self._gates[way].wait()
        if way == "replies":
            raise ConnectionResetError("the server has ended it")
        writer.write_eof()
