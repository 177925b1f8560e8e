"""A letter through the host's own `sendmail`, as cron sends to MAILTO."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from email.message import EmailMessage

from leasebeat.alerts.alerts import AlertEvent
from leasebeat.alerts.program import Program, environment
from leasebeat.runtime import Runtime

__all__ = ["Mailer"]

_FOLDERS = "/usr/sbin:/usr/lib:/usr/bin"


class Mailer:
    """Hands letters to `sendmail -t`, which every mail system of Unix brings along."""

    def __init__(self, runtime: Runtime, environ: Mapping[str, str] | None = None) -> None:
        self._runtime = runtime
        self._environ = environment(environ)

    def send(self, address: str, event: AlertEvent, held_back: int) -> str | None:
        """Tell `address`; why that was not possible, None if it was."""
        path = f"{self._environ.get('PATH', os.defpath)}:{_FOLDERS}"
        if (sendmail := shutil.which("sendmail", path=path)) is None:
            return "this host has no sendmail; install one, or write a command into the schedule's alert"
        letter = _letter(address, event, held_back).as_bytes()
        return Program(self._runtime, [sendmail, "-t", "-i"], self._environ).tell(letter)


def _letter(address: str, event: AlertEvent, held_back: int) -> EmailMessage:
    letter = EmailMessage()
    letter["To"] = address
    letter["Subject"] = f"Leasebeat: {event.schedule or event.node or event.queue}: {event.reason}"
    letter["Auto-Submitted"] = "auto-generated"  # no holiday notices in answer
    told = event.fields() | {"held_back": held_back}
    text = told.pop("text")
    facts = "\n".join(f"{name}: {value}" for name, value in told.items())
    # What a task said may hold halves of characters, which no letter can.
    letter.set_content(f"{text}\n\n{facts}\n".encode(errors="replace").decode())
    return letter
