"""What a look at one property of the store has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Check"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the store must be like. `refuse`: no start without it; `warn`: said, and gone on."""

    name: str
    ok: bool
    severity: Literal["refuse", "warn"]
    found: str
    expected: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: found {self.found}, expected {self.expected}; {self.advice}"
