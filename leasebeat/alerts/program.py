"""A program that is told something on its standard input, for a bounded time."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from leasebeat.runtime import Runtime

__all__ = ["TIMEOUT_S", "Program", "environment"]

TIMEOUT_S = 30.0
"""How long it may take before it is killed."""

_SAID_BYTES = 2000


def environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """`environ`, by default the worker's, without everything of Leasebeat's: passwords may stand there."""
    kept = os.environ if environ is None else environ
    return {name: value for name, value in kept.items() if not name.startswith("LEASEBEAT_")}


class Program:
    """Runs `argv` each time it is told something, in a process group of its own."""

    def __init__(
        self, runtime: Runtime, argv: Sequence[str], environ: Mapping[str, str], timeout_s: float = TIMEOUT_S
    ) -> None:
        self._runtime = runtime
        self._argv = list(argv)
        self._environ = environ
        self._timeout_s = timeout_s

    def tell(self, told: bytes) -> str | None:
        """Run it to its end; why it failed, None if it ended with 0."""
        deadline = self._runtime.monotonic() + self._timeout_s
        try:
            child = self._start(told)
        except OSError as problem:
            return f"it could not be started: {problem}"
        with child:
            said = self._listen(child, deadline)
            try:
                code = child.wait(max(0.0, deadline - self._runtime.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)  # not reaped yet, so the group is still its own
                return f"it took longer than {self._timeout_s:g} s and was killed"
        return None if code == 0 else f"exit code {code}: {said.decode(errors='replace').strip()}"

    def _start(self, told: bytes) -> subprocess.Popen[bytes]:
        # A file for its input: a program that never reads it cannot block us.
        with tempfile.TemporaryFile() as given:
            given.write(told)
            given.seek(0)
            return subprocess.Popen(
                self._argv,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(self._environ),
                start_new_session=True,
            )

    def _listen(self, child: subprocess.Popen[bytes], deadline: float) -> bytes:
        """The last of what it says until it closes its output, or until the deadline."""
        assert child.stdout is not None
        said = b""
        poll = select.poll()  # unlike select() it can watch file descriptors above 1023
        poll.register(child.stdout, select.POLLIN)
        while (left := deadline - self._runtime.monotonic()) > 0:
            if not poll.poll(left * 1000):
                break
            heard = os.read(child.stdout.fileno(), 65536)
            if not heard:
                break
            said = (said + heard)[-_SAID_BYTES:]
        return said
