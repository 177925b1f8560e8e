"""The config of a whole fleet, as text."""

import pytest

from leasebeat.errors import SettingsError
from leasebeat.model.tuning import Tuning


def test_nothing_changes_nothing():
    assert Tuning.parse(b"") == Tuning.parse(b"{}") == Tuning()


def test_each_key_is_read():
    text = b'{"beat_s": 5, "slots": 40, "log_level": "DEBUG", "paused_queues": ["a", "b"]}'
    assert Tuning.parse(text) == Tuning(5, 40, "DEBUG", frozenset({"a", "b"}))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"{", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[]", "expected a JSON object"),
        (b'{"slot": 4}', "'slot' is unknown"),
        (b'{"slots": 0}', "slots: expected"),
        (b'{"slots": true}', "slots: expected"),
        (b'{"slots": 2.5}', "slots: expected"),
        (b'{"beat_s": 0.1}', "beat_s: expected"),
        (b'{"log_level": "debug"}', "log_level: expected"),
        (b'{"paused_queues": "reports"}', "paused_queues: expected"),
    ],
)
def test_a_mistake_is_refused_with_what_was_expected(text: bytes, told: str):
    with pytest.raises(SettingsError, match=told):
        Tuning.parse(text)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(SettingsError, match=r"unknown.*slots.*log_level"):
        Tuning.parse(b'{"x": 1, "slots": "4", "log_level": 1}')
