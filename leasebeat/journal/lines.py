"""Records in a file of one line each, that can be read whatever happened while it was written.

A line is eight hexadecimal digits of CRC-32, a blank, and JSON without line ends. What does not fit its
checksum (a torn last line, a full disk, a broken sector) is left out, and the lines after it are read.

An append is one `write`: killing the process afterwards loses nothing of it. Nothing is forced to the
disk, so a power cut may lose what the kernel had not written yet. The file is for its user alone
(0600): outcomes carry what tasks printed.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path


def line_of(record: object) -> bytes:
    """A record as its line."""
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def records_of(data: bytes) -> Iterator[object]:
    """The records of those lines that are whole."""
    for line in data.split(b"\n"):
        if line[8:9] == b" " and line[:8] == b"%08x" % zlib.crc32(line[9:]):
            yield json.loads(line[9:])


class Lines:
    """The file. Its methods raise OSError, and leave it readable then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = self._open(path, 0)
        self._torn = True  #: perhaps: whoever wrote here before may have died in the middle of a line

    @property
    def size(self) -> int:
        """Bytes."""
        return os.fstat(self._fd).st_size

    def read(self) -> list[object]:
        """All whole records, oldest first."""
        return list(records_of(self._path.read_bytes()))

    def append(self, records: Iterable[object]) -> None:
        """Add them in one write."""
        data = b"".join(map(line_of, records))
        sent = b"\n" + data if self._torn and self.size else data
        self._torn = True
        if os.write(self._fd, sent) < len(sent):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._torn = False

    def replace(self, records: Iterable[object]) -> None:
        """Let it hold these and nothing else; until that is done it holds what it held."""
        fresh = self._path.with_name(self._path.name + ".new")
        fd = self._open(fresh, os.O_TRUNC)
        try:
            data = b"".join(map(line_of, records))
            if os.write(fd, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(fresh))
            fresh.replace(self._path)
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._torn = fd, False

    def clear(self) -> None:
        """Let it hold nothing."""
        os.ftruncate(self._fd, 0)

    def close(self) -> None:
        """No more of it."""
        os.close(self._fd)

    @staticmethod
    def _open(path: Path, flags: int) -> int:
        return os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600
        )
