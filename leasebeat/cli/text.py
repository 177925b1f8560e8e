"""Text from elsewhere, made safe to look at.

Names, reasons and what tasks print are written by others. Sent raw to a terminal they could move
its cursor, set its title or type into it; so whatever is not plain text is shown as an escape.
"""

from __future__ import annotations

__all__ = ["visible", "visible_lines"]

# C0, DEL and C1 control terminals; the bidirectional marks make a text read otherwise than it is.
_DANGEROUS = [
    *range(0x20),
    *range(0x7F, 0xA0),
    0x200E,
    0x200F,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
]
_ESCAPES = {code: chr(code).encode("unicode_escape").decode() for code in _DANGEROUS}
_ESCAPES_OF_LINES = {code: text for code, text in _ESCAPES.items() if chr(code) not in "\n\t"}


def visible(text: str) -> str:
    """`text` on one line, every control character written as an escape: ESC as a backslash and x1b."""
    return text.translate(_ESCAPES)


def visible_lines(text: str) -> str:
    """The same, but line ends and tabs stay what they are."""
    return text.replace("\r\n", "\n").translate(_ESCAPES_OF_LINES)
