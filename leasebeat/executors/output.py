"""What a task prints: all of it is read and counted, the end of it is kept."""

from __future__ import annotations

import os

from leasebeat.executors.base import OUTPUT_TAIL_BYTES

CHUNK_BYTES = 65536


class Tail:
    """The last `limit` bytes of a stream, and how many there were."""

    __slots__ = ("_kept", "_limit", "size")

    def __init__(self, limit: int = OUTPUT_TAIL_BYTES) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Take in the next bytes. Holds at most twice the limit, so that little is moved."""
        self.size += len(data)
        self._kept += data[-self._limit :]
        if len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]

    @property
    def kept(self) -> bytes:
        """The last bytes."""
        return bytes(self._kept[-self._limit :])


def read_into(tail: Tail, fd: int, chunks: int = 16) -> bool:
    """Read what is there from a non-blocking `fd`, `chunks` times at most. False at the end of the stream."""
    for _ in range(chunks):
        try:
            data = os.read(fd, CHUNK_BYTES)
        except BlockingIOError:
            return True
        if not data:
            return False
        tail.feed(data)
    return True
