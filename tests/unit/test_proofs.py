"""The page of policies lists every column and value, and each has its proofs."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from pathlib import Path

from leasebeat.model import alert
from leasebeat.model.schedule import PEOPLES_COLUMNS
from leasebeat.node.judge import ARGS_KEYS, ROUTES, WORDS
from leasebeat.testing.promises import PROMISES
from leasebeat.testing.proofs import TRIALS, markers, page
from leasebeat.testing.trials.cases import CASES

ROOT = Path(__file__).parents[2]
MARKERS = markers()
PROMISED = {promise[:2] for promise in PROMISES}


def test_the_page_is_what_the_tests_say() -> None:
    assert (ROOT / "docs/policies.md").read_text() == page()


def test_no_value_is_promised_twice() -> None:
    assert [pair for pair, count in Counter(promise[:2] for promise in PROMISES).items() if count > 1] == []


def test_every_column_of_the_table_is_on_the_page() -> None:
    (table,) = re.findall(r"TABLE IF NOT EXISTS schedules \((.*?)\n\) ENGINE", _schema(), re.DOTALL)
    columns = set(re.findall(r"^  ([a-z_]+) +[A-Z]", table, re.MULTILINE)) - {"UNIQUE"}
    assert columns >= set(PEOPLES_COLUMNS)
    assert columns - {column for column, _ in PROMISED} == {"args"}  # its keys are


def test_every_word_that_a_column_knows_is_on_the_page() -> None:
    known = {(column, word) for column, words in WORDS.items() for word in words}
    known |= {("route", word) for word in {*ROUTES, "node:NAME"}}
    known |= {("kind", kind) for kind in ARGS_KEYS}
    known |= {("alert", word) for word in alert._EXPECTED}
    assert known - PROMISED == set()


def test_the_tables_own_words_are_those_that_the_nodes_know() -> None:
    for column, words in re.findall(r"CHECK \((\w+) IN \(('[^)]*')\)\)", _schema()):
        if column in WORDS:
            assert set(re.findall(r"\w+", words)) == WORDS[column]


def test_every_key_of_args_is_on_the_page() -> None:
    keys = {f"args.{key}" for keys in ARGS_KEYS.values() for key in keys}
    assert keys - {column for column, _ in PROMISED} == set()


def test_every_mark_is_on_the_page() -> None:
    assert {(marker.column, marker.value) for marker in MARKERS} - PROMISED == set()


def test_every_promise_has_a_test_on_three_nodes_or_says_why_not_and_has_another() -> None:
    trials = {(marker.column, marker.value) for marker in MARKERS if marker.on_three_nodes}
    others = {(marker.column, marker.value) for marker in MARKERS if not marker.on_three_nodes}
    on_two_stores = {(m.column, m.value) for m in MARKERS if m.on_three_nodes and len(m.stores) == 2}
    unproved = [
        promise[:2]
        for promise in PROMISES
        if promise[:2] not in on_two_stores and not (promise.elsewhere and promise[:2] in trials | others)
    ]
    assert unproved == []


def test_every_proof_on_three_nodes_changes_where_its_policy_is_ignored() -> None:
    for path in sorted((ROOT / TRIALS).glob("test_*.py")):
        importlib.import_module(".".join((*TRIALS.parts, path.stem)))
    assert set(CASES) == {marker.test for marker in MARKERS if marker.on_three_nodes}
    assert [name for name, case in CASES.items() if case.without() == case] == []
    names = Counter(job.name for case in CASES.values() for job in case.jobs)
    assert [name for name, count in names.items() if count > 1] == []


def _schema() -> str:
    return (ROOT / "schema.sql").read_text()
