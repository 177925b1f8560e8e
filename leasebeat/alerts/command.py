"""`[alerts] command`: a shell line of the operator's, with the event as JSON on its standard input."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Mapping

from leasebeat.alerts.alerts import AlertEvent
from leasebeat.logs import event as log
from leasebeat.runtime import Runtime

__all__ = ["TIMEOUT_S", "CommandDelivery"]

TIMEOUT_S = 30.0
"""How long the command may take before it is killed."""

_SAID_BYTES = 2000


class CommandDelivery:
    """Runs the command for each alert, in a process group of its own.

    Its environment is `environ` without everything of Leasebeat's: the passwords of the store and of
    Redis may stand there.
    """

    def __init__(
        self,
        runtime: Runtime,
        command: str,
        environ: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._runtime = runtime
        self._command = command
        self._timeout_s = timeout_s
        kept = os.environ if environ is None else environ
        self._environ = {name: value for name, value in kept.items() if not name.startswith("LEASEBEAT_")}

    def deliver(self, event: AlertEvent, held_back: int) -> None:
        """Run it, and log how it failed if it did."""
        told = json.dumps(event.fields() | {"held_back": held_back}).encode() + b"\n"
        try:
            problem = self._run(told)
        except OSError as error:
            problem = f"it could not be started: {error}"
        if problem:
            log("ERROR", "alert_failed", f"the alert command failed: {problem}", **event.fields())

    def _run(self, told: bytes) -> str | None:
        """Why it failed; None if it ended with 0."""
        deadline = self._runtime.monotonic() + self._timeout_s
        with self._start(told) as child:
            said = self._listen(child, deadline)
            try:
                code = child.wait(max(0.0, deadline - self._runtime.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)  # not reaped yet, so the group is still its own
                return f"it took longer than {self._timeout_s:g} s and was killed"
        return None if code == 0 else f"exit code {code}: {said.decode(errors='replace').strip()}"

    def _start(self, told: bytes) -> subprocess.Popen[bytes]:
        # A file for its input: a command that never reads it cannot block us.
        with tempfile.TemporaryFile() as given:
            given.write(told)
            given.seek(0)
            return subprocess.Popen(
                ["/bin/sh", "-c", self._command],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environ,
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
