"""The places where settings are written: one file, the environment, flags; each over the one before.

Says where each value was written and refuses what is unknown with the nearest known word; what the
values mean is for `settings`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from leasebeat import values
from leasebeat.errors import SettingsError

__all__ = ["Layers", "Raw", "find"]

CONFIG = "LEASEBEAT_CONFIG"

Raw = dict[tuple[str, str], tuple[str, object]]
"""What was written for (section, key), with the words that name the place: `[node] slots`."""


def find(config: Path | None, environ: Mapping[str, str], usual: Sequence[Path]) -> Path | None:
    """The settings file to read, None where there is none.

    Raises SettingsError for one that is named and is no file.
    """
    named = config or (Path(environ[CONFIG]) if environ.get(CONFIG) else None)
    if named is None:
        return next((path for path in usual if path.is_file()), None)
    if not named.is_file():
        asked = "--config" if config else CONFIG
        raise SettingsError(
            f"{asked} names {str(named)!r}, which is no file; name a settings file or leave it out"
        )
    return named


@dataclass(frozen=True, slots=True)
class Layers:
    """What is known, and the problems found so far.

    `secrets` are the keys that may also be given as KEY_file, a path beginning at `folder`;
    `let_pass` says which unknown LEASEBEAT_ variables are none of our business.
    """

    known: Mapping[str, tuple[str, ...]]
    secrets: frozenset[tuple[str, str]]
    let_pass: Callable[[str], bool]
    folder: Path
    problems: list[str] = field(default_factory=list[str])

    def collect(self, path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str]) -> Raw:
        """Everything that was written, the later over the earlier.

        Raises SettingsError for a file that cannot be read.
        """
        found: Raw = {}
        for layer in (self._file(path), self._environ(environ), self._flags(flags)):
            found.update(self._unwrapped(layer))
        return found

    def _file(self, path: Path | None) -> Raw:
        if path is None:
            return {}
        try:
            document: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
            raise SettingsError(f"the settings file {path} cannot be read: {problem}") from problem
        found: Raw = {}
        for section, table in document.items():
            if isinstance(table, dict):
                for key, value in cast("dict[str, object]", table).items():
                    self._take(found, section, key, (f"[{section}] {key}", value))
                if section not in self.known and not table:
                    self.problems.append(f"[{section}] is no section{_nearest(section, self.known)}")
            else:
                self.problems.append(f"{section} stands outside of a section, like [node]")
        return found

    def _take(self, found: Raw, section: str, key: str, written: tuple[str, object]) -> None:
        keys = self.known.get(section)
        if keys is None:
            problem = f"{written[0]}: [{section}] is no section{_nearest(section, self.known)}"
        elif not keys:
            problem = f"{written[0]}: there is nothing to set in [{section}] yet"
        elif key not in keys:
            problem = f"{written[0]}: unknown key{_nearest(key, keys)}"
        else:
            found[section, key] = written
            return
        self.problems.append(problem)

    def _environ(self, environ: Mapping[str, str]) -> Raw:
        variables = {
            f"LEASEBEAT_{section.upper()}__{key.upper()}": (section, key)
            for section, keys in self.known.items()
            for key in keys
        }
        found: Raw = {}
        for name in sorted(environ):
            if name in variables:
                found[variables[name]] = (name, environ[name])
            elif name.startswith("LEASEBEAT_") and name != CONFIG and not self.let_pass(name):
                self.problems.append(f"{name}: unknown variable{_nearest(name, [*variables, CONFIG])}")
        return found

    def _flags(self, flags: Mapping[str, str]) -> Raw:
        found: Raw = {}
        for name, value in flags.items():
            section, _, key = name.partition(".")
            self._take(found, section, key, (f"flag {name}", value))
        return found

    def _unwrapped(self, layer: Raw) -> Raw:
        """The layer with each KEY_file replaced by KEY and what the file holds."""
        for section, key in sorted(self.secrets):
            wrapped = layer.pop((section, f"{key}_file"), None)
            if wrapped is None:
                continue
            where, name = wrapped
            if (section, key) in layer:
                self.problems.append(f"{where}: {layer[section, key][0]} is set too; keep one of them")
            try:
                content = (self.folder / values.text(name)).read_text(encoding="utf-8").strip()
                layer[section, key] = (f"{where} ({name})", content)
            except (OSError, ValueError) as problem:
                self.problems.append(f"{where}: {name!r} cannot be read: {problem}")
        return layer


def _nearest(word: str, known: Sequence[str] | Mapping[str, object]) -> str:
    import difflib  # only needed to refuse something

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known are {', '.join(known)}" if len(known) < 25 else ""
