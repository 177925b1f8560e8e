"""The page of faults lists all of them, each with the tests that show it or the reason why none does."""

from __future__ import annotations

from pathlib import Path

import pytest

from leasebeat.testing.catalogue import excused, marks, of_source, page, unshown
from leasebeat.testing.fault_rows import FAULTS

ROOT = Path(__file__).parents[2]
HERE = Path("tests/test_some.py")

MOST_EXCUSED = 8


def test_the_page_is_what_the_marks_say() -> None:
    assert (ROOT / "docs/faults.md").read_text() == page()


def test_the_faults_are_numbered_without_a_gap() -> None:
    assert [fault.number for fault in FAULTS] == list(range(1, 87))


def test_every_fault_is_shown_by_a_test_or_says_why_not() -> None:
    assert [fault.number for fault in unshown(marks())] == []


def test_few_faults_are_excused_and_the_guarantee_repeats_why() -> None:
    assert len(excused()) <= MOST_EXCUSED
    guarantee = (ROOT / "docs/guarantee.md").read_text()
    assert [fault.number for fault in excused() if fault.untested not in guarantee] == []


def test_what_a_test_shows_is_not_excused() -> None:
    shown = {number for mark in marks() for number in mark.names}
    assert [fault.number for fault in excused() if fault.number in shown] == []


def test_a_mark_is_found_on_a_test_a_parameter_a_class_and_a_module() -> None:
    source = """
pytestmark = [pytest.mark.slow, pytest.mark.fault(1)]
CASES = [pytest.param(1, marks=pytest.mark.fault(2))]

@pytest.mark.parametrize("case", [*CASES, pytest.param(2, marks=pytest.mark.fault(3))])
def test_one(case): ...

@pytest.mark.fault(4, 5)
class TestMore:
    @pytest.mark.fault(6)
    def test_two(self): ...

def no_test(): ...
"""
    assert [(mark.function, mark.names) for mark in of_source(source, HERE)] == [
        ("test_one", (1, 2, 3)),
        ("test_two", (1, 4, 5, 6)),
    ]


@pytest.mark.parametrize("number", ["0", "87", "'21'"])
def test_a_mark_with_a_number_that_no_fault_has_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match="no fault has the number"):
        of_source(f"@pytest.mark.fault({number})\ndef test_it(): ...", HERE)
