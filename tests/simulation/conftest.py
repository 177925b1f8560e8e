"""The totals of all seeds, added up over the processes that ran them."""

from __future__ import annotations

from collections import Counter

import pytest

_totals: Counter[str] = Counter()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        _totals.update({name[4:]: count for name, count in report.user_properties if name.startswith("sim ")})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _totals:
        terminalreporter.section("simulated")
        for name, count in _totals.items():
            terminalreporter.write_line(f"{count:>12,} {name}")
