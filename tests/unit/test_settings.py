"""Settings: where they come from, what is refused, and that the sample file tells the truth."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from leasebeat.errors import SettingsError
from leasebeat.model.node import LEASE_BEATS, TRUST_MARGIN_S
from leasebeat.settings import (
    _BOUNDS,
    SECRETS,
    SECTIONS,
    TASK_VARIABLES,
    Settings,
    known_keys,
    load,
)

SAMPLE = Path(__file__).parents[2] / "config/leasebeat.toml"


@pytest.fixture(autouse=True)
def an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(text: str = "", environ: dict[str, str] | None = None, **flags: str) -> Settings:
    Path("settings.toml").write_text(text)
    flags = {name.replace("__", "."): value for name, value in flags.items()}
    return load(Path("settings.toml"), environ or {}, flags)


def refused(text: str = "", environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(text, environ)
    return str(caught.value).split("\n  - ")[1:]


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    settings = load(environ={})
    assert settings.store.url.path == tmp_path / "leasebeat.db"
    assert (settings.node.slots, settings.node.beat_s, settings.redis.url) == (20, 10.0, "")
    assert settings.source == "no settings file"


def test_the_file_is_found_in_the_order_that_is_promised(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    for name in ("config/leasebeat.toml", "named.toml", "flagged.toml"):
        Path(name).write_text(f'[node]\nname = "{name[:5]}"\n'.replace("/", ""))
    assert load(environ={}).node.name == "confi"
    assert load(environ={"LEASEBEAT_CONFIG": "named.toml"}).node.name == "named"
    assert load(Path("flagged.toml"), {"LEASEBEAT_CONFIG": "named.toml"}).node.name == "flagg"


def test_a_named_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"LEASEBEAT_CONFIG names 'gone\.toml', which is no file"):
        load(environ={"LEASEBEAT_CONFIG": "gone.toml"})


def test_variables_win_over_the_file_and_flags_over_both() -> None:
    text, environ = "[node]\nslots = 2\nbeat_s = 2\ndrain_s = 2", {"LEASEBEAT_NODE__BEAT_S": "3"}
    node = loaded(text, environ | {"LEASEBEAT_NODE__DRAIN_S": "3"}, node__drain_s="4").node
    assert (node.slots, node.beat_s, node.drain_s) == (2, 3.0, 4.0)


def test_a_relative_sqlite_file_lies_beside_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/a.toml").touch()
    assert load(Path("etc/a.toml"), {}).store.url.path == tmp_path / "etc/leasebeat.db"


def test_unknown_keys_and_variables_are_refused_with_the_nearest_known_one() -> None:
    problems = refused('[node]\nslotz = 3\n[sotre]\nurl = ""', {"LEASEBEAT_REDIS__ULR": "x"})
    assert problems == [
        "[node] slotz: unknown key; did you mean slots?",
        "[sotre] url: [sotre] is no section; did you mean store?",
        "LEASEBEAT_REDIS__ULR: unknown variable; did you mean LEASEBEAT_REDIS__URL?",
    ]


def test_keys_outside_of_sections_and_empty_unknown_sections_are_refused() -> None:
    problems = refused("slots = 3\n[nod]")
    assert problems == [
        "slots stands outside of a section, like [node]",
        "[nod] is no section; did you mean node?",
    ]


def test_unknown_flags_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"flag node\.slotz: unknown key; did you mean slots\?"):
        loaded(node__slotz="3")


def test_all_problems_are_told_at_once() -> None:
    problems = refused('[node]\nslots = "many"\nbeat_s = 0\n[log]\nlevel = "LOUD"\n[console]\nport = 1')
    assert problems == [
        "[console] port: there is nothing to set in [console] yet",
        "[node] slots = 'many': expected a whole number",
        "[node] beat_s = 0: expected 1 to 300",
        "[log] level = 'LOUD': expected one of DEBUG, INFO, WARNING, ERROR",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[node]\nslots = 4\nqueues = ["heavy:5"]', "queues: heavy:5 is more than [node] slots = 4"),
        ('[node]\nqueues = ["a", "a:1"]', "queue 'a' is named twice"),
        ('[node]\nqueues = ["a:0"]', "'a:0': expected NAME or NAME:LIMIT"),
        ("[node]\nqueues = []", "a node that executes needs a queue"),
        ('[node]\nroles = ["execut"]', "expected some of dispatch, execute"),
        ('[node]\nname = "a b"', "expected at most 128 letters"),
        ('[node]\ncoordinator = "zookeeper"', "[zookeeper] hosts is empty"),
        ('[redis]\nurl = "localhost"', "[redis] url: expected a URL that begins with"),
        (
            '[redis]\nurl = "redis://a"\nssl_ca = "a.pem"',
            "[redis] ssl_ca means TLS, and [redis] url does not",
        ),
        ("[retention]\nsucceeded_days = 0.5", "expected at least 1"),
        ("[node]\nslots = true", "expected a whole number"),
        ("[node]\nbeat_s = nan", "expected a number"),
        ("[log]\njson = 2", "expected true or false"),
        ('[node]\nallow_users = "["', "not a JSON list"),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, problem: str) -> None:
    assert len(refused(text)) == 1
    assert problem in refused(text)[0]


def test_broken_toml_is_told_with_its_line() -> None:
    with pytest.raises(SettingsError, match=r"settings\.toml cannot be read: .* line 2"):
        loaded("[node]\nslots = \nbeat_s = 1")


def test_lists_in_variables_are_json_or_words_between_commas() -> None:
    for text in ('["default", "heavy:2"]', "default, heavy:2"):
        assert loaded("", {"LEASEBEAT_NODE__QUEUES": text}).node.queues == {"default": None, "heavy": 2}


def test_what_tasks_are_told_and_test_variables_pass() -> None:
    told = dict.fromkeys([*TASK_VARIABLES, "LEASEBEAT_TEST_FAIL"], "x")
    assert loaded("", told) == loaded()


def test_a_secret_may_lie_in_a_file_beside_the_settings() -> None:
    Path("url").write_text("mysql://lb:s3cret@db/x\n")
    settings = loaded('[store]\nurl_file = "url"')
    assert (settings.store.url.password, settings.store.url.database) == ("s3cret", "x")
    assert settings.secrets() == ("s3cret",)


def test_a_secret_in_a_later_layer_wins_in_either_form() -> None:
    Path("url").write_text("redis://filed")
    assert (
        loaded('[redis]\nurl_file = "url"', {"LEASEBEAT_REDIS__URL": "redis://said"}).redis.url
        == "redis://said"
    )
    assert (
        loaded('[redis]\nurl = "redis://x"', {"LEASEBEAT_REDIS__URL_FILE": "url"}).redis.url
        == "redis://filed"
    )


def test_a_secret_file_must_be_there_and_be_the_only_source() -> None:
    assert "cannot be read" in refused('[redis]\nurl_file = "gone"')[0]
    Path("url").write_text("redis://x")
    assert "is set too; keep one" in refused('[redis]\nurl = "redis://y"\nurl_file = "url"')[0]


@pytest.mark.parametrize(
    "url", ["mysql://u:s3cret@h:pp/x", "mysql://u:s3cret@h/x/y", "s3cret://u@h", "mysql://[s3cret"]
)
def test_no_message_shows_a_password(url: str) -> None:
    told = refused(f'[store]\nurl = "{url}"')[0]
    assert "s3cret" not in told or url.startswith("s3cret")


def test_settings_can_be_printed_without_their_secrets() -> None:
    environ = {"LEASEBEAT_REDIS__URL": "redis://:s3cret@h", "LEASEBEAT_STORE__URL": "mysql://u:s3cret@h/x"}
    settings = loaded('[zookeeper]\nauth = "u:s3cret"', environ)
    assert "s3cret" not in repr(settings)
    assert str(settings.store.url) == "mysql://u@h:3306/x"
    assert set(settings.secrets()) == {"s3cret", "u:s3cret"}


def test_the_host_completes_what_was_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "web-3")
    node = loaded('[node]\npython_path = ["lib"]', {"STATE_DIRECTORY": "/run/state"}).node
    assert (node.name, node.state_dir, node.python_processes) == ("web-3", "/run/state", 0)
    assert node.python_path == (str(Path("lib").absolute()),)


def test_the_shortest_beat_leaves_time_for_a_beat_and_its_retry() -> None:
    least, _ = _BOUNDS["node", "beat_s"]
    assert LEASE_BEATS * least - TRUST_MARGIN_S >= least


def sample() -> dict[str, dict[str, object]]:
    return tomllib.loads(re.sub(r"(?m)^#(?=[a-z_]+ = )", "", SAMPLE.read_text()))


def test_the_sample_file_has_every_key_in_order_and_none_besides() -> None:
    listed = {section: list(keys) for section, keys in sample().items()}
    assert {section: sorted(keys) for section, keys in listed.items()} == {
        section: sorted(keys) for section, keys in known_keys().items()
    }
    assert list(listed) == list(SECTIONS)


def test_the_sample_file_shows_the_defaults() -> None:
    def plain(section: str, keys: dict[str, object]) -> str:
        lines = [f"{key} = {value!r}" for key, value in keys.items() if not key.endswith("_file")]
        return "\n".join([f"[{section}]", *lines]).replace("True", "true").replace("False", "false")

    shown = loaded("\n".join(plain(section, keys) for section, keys in sample().items()))
    assert shown == loaded()
    assert len(shown.node.queues) == 1


def test_the_sample_file_sets_nothing_as_it_is() -> None:
    assert all(not keys for keys in tomllib.loads(SAMPLE.read_text()).values())


def test_the_password_of_sentinels_is_a_secret_with_a_user_or_without() -> None:
    for auth in ("s3cret", "user:s3cret"):
        settings = loaded(f'[redis]\nurl = "redis+sentinel://a/b"\nsentinel_auth = "{auth}"')
        assert (settings.secrets(), "s3cret" in repr(settings)) == (("s3cret",), False)


def test_every_bound_and_secret_names_a_setting() -> None:
    there = {(section, item.name) for section, kind in SECTIONS.items() for item in fields(kind)}
    assert set(_BOUNDS) | SECRETS <= there


def test_the_environment_of_the_process_is_read_when_none_is_handed_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(os.environ, "LEASEBEAT_NODE__SLOTS", "3")
    assert load().node.slots == 3
