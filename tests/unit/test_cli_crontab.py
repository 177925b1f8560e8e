"""Crontab files: what cron makes of their lines, as the real daemon (Debian's cron 3.0pl1) does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leasebeat.cli.crontab_file import BadLine, Entry, entries, is_system, split_command, spool_user
from leasebeat.cli.crontab_lines import flags, name_of, named, values_of
from leasebeat.store.session import SqlValue


def lines(text: str, system: bool = False) -> list[Entry]:
    read = list(entries("tab", text, system))
    assert not [line for line in read if isinstance(line, BadLine)]
    return [line for line in read if isinstance(line, Entry)]


def one(text: str, system: bool = False) -> Entry:
    return lines(text, system)[-1]


def values(text: str, system: bool = False) -> dict[str, SqlValue]:
    return values_of(one(text, system), "Europe/Berlin")


def args(text: str) -> object:
    return json.loads(str(values(text)["args"]))


@pytest.mark.parametrize(
    ("raw", "command", "stdin"),
    [
        ("backup", "backup", None),
        (r"date +\%F", "date +%F", None),
        (r"printf '[\%s]' x", "printf '[%s]' x", None),
        (r"cat %one%two\%three\x%", "cat ", "one\ntwo%three\\x\n"),
        ("cat %nonl", "cat ", "nonl\n"),
        ("cat %", "cat ", ""),
        (r"echo a\\b", r"echo a\\b", None),
        (r"echo a\\%b", r"echo a\\", "b\n"),
        ("cat %%a", "cat ", "\na\n"),
    ],
)
def test_a_percent_sign_begins_standard_input(raw: str, command: str, stdin: str | None) -> None:
    assert split_command(raw) == (command, stdin)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ('A = "  quoted  "', "A", "  quoted"),
        ("B='x y'", "B", "x y"),
        ("C=plain value # not a comment   ", "C", "plain value # not a comment"),
        ('"D"=q', "D", "q"),
        ('L = a "b" c', "L", 'a "b" c'),
        ('M=""', "M", ""),
        ("1X=2", "1X", "2"),
    ],
)
def test_a_variable_is_what_cron_makes_of_it(line: str, name: str, value: str) -> None:
    assert one(f"{line}\n* * * * * true").variables == {name: value}


@pytest.mark.parametrize(
    "line", ["H H=1", "G = 'x", 'E = "un"b', "K=", "K", "* * * * *", "@daily", "1 2 3 4 true"]
)
def test_a_line_that_cron_refuses_is_told_and_the_next_ones_are_read(line: str) -> None:
    bad, good = list(entries("tab", f"{line}\n@daily true", False))
    assert isinstance(bad, BadLine)
    assert bad.line == 1
    assert isinstance(good, Entry)


def test_a_variable_holds_for_the_lines_below_it() -> None:
    first, second, third = lines("0 1 * * * a\nX=1\n0 2 * * * b\nX=2\n0 3 * * * c\n")
    assert [entry.variables.get("X") for entry in (first, second, third)] == [None, "1", "2"]


def test_blanks_and_comments_are_passed_over() -> None:
    entry = one("\n# a comment\n \t*/5\t 1,2  * * mon-fri \t echo  'a  b'  \n")
    assert (entry.when, entry.raw, entry.line) == ("*/5 1,2 * * mon-fri", "echo  'a  b'", 3)


def test_a_system_crontab_names_the_user() -> None:
    row = values("17 * * * * www-data /opt/x", system=True)
    assert (row["run_as"], row["command"], row["cron"]) == ("www-data", "/opt/x", "17 * * * *")
    assert values("@daily root /opt/x", system=True)["run_as"] == "root"


@pytest.mark.parametrize(
    ("path", "system", "user"),
    [
        ("/etc/crontab", True, None),
        ("/copies/web1/etc/cron.d/php", True, None),
        ("/var/spool/cron/crontabs/alice", False, "alice"),
        ("/var/spool/cron/bob", False, "bob"),
        ("/srv/my.crontab", False, None),
    ],
)
def test_where_a_file_lies_tells_whose_it_is(path: str, system: bool, user: str | None) -> None:
    assert (is_system(Path(path)), spool_user(Path(path))) == (system, user)


def test_a_line_becomes_a_schedule_that_does_as_cron_did() -> None:
    row = values("0 3 * * * /opt/x")
    assert row == {
        "cron": "0 3 * * *",
        "command": "/opt/x",
        "kind": "shell",
        "args": None,
        "timezone": "Europe/Berlin",
        "timeout_s": 0,
        "on_node_loss": "fail",
        "run_as": None,
        "alert": None,
    }


def test_variables_become_args() -> None:
    assert args("HOME=/srv\nX=1\nLOGNAME=me\n@daily x %in") == {
        "env": {"HOME": "/srv", "X": "1"},
        "cwd": "/srv",
        "stdin": "in\n",
    }
    assert values("CRON_TZ=America/New_York\n@daily x")["timezone"] == "America/New_York"


def test_another_shell_is_wrapped() -> None:
    row = values("SHELL=/bin/bash\n@daily [[ 'a b' ]] && x")
    assert row["command"] == """exec /bin/bash -c '[[ '"'"'a b'"'"' ]] && x'"""
    assert json.loads(str(row["args"])) == {"env": {"SHELL": "/bin/bash"}}


@pytest.mark.parametrize(
    ("mail", "alert"), [("ops@example.com,root", {"mail": "ops@example.com,root"}), ('""', {"off": True})]
)
def test_mailto_becomes_an_alert(mail: str, alert: object) -> None:
    assert json.loads(str(values(f"MAILTO={mail}\n@daily x")["alert"])) == alert


@pytest.mark.parametrize(
    ("command", "stem"),
    [
        ("/usr/local/bin/backup.sh --all", "backup"),
        ("cd /srv/app && php artisan schedule:run >> /dev/null 2>&1", "artisan"),
        ("FOO=1 nice -n 10 /usr/bin/python3 /opt/jobs/stats.py", "stats"),
        ("flock -n /run/x.lock -c '/opt/sync'", "sync"),
        ("test -x /usr/sbin/anacron || ( cd / && run-parts /etc/cron.daily )", "anacron"),
        ("[ -d /var ] && x", "var"),
        ("'/opt/été'", "été"),
        ("%", "job"),
    ],
)
def test_a_name_tells_what_is_run(command: str, stem: str) -> None:
    name = name_of(one(f"@daily {command}"), "web1/")
    assert name.rpartition("-")[0] == f"web1/{stem}"


def test_names_do_not_depend_on_the_order_of_lines() -> None:
    text = ["0 1 * * * /opt/x", "0 2 * * * /opt/x", "0 1 * * * /opt/y"]
    there = {found.name for found in named(lines("\n".join(text)), "", "UTC")}
    back = {found.name for found in named(lines("\n".join(reversed(text))), "", "UTC")}
    assert (len(there), there) == (3, back)


def test_the_same_line_under_other_variables_is_another_schedule() -> None:
    found = named(lines("@daily x\nA=1\n@daily x\nA=1\n@daily x"), "", "UTC")
    assert found[1].name == found[2].name != found[0].name


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("@daily /opt/x &", "`&`"),
        ("@daily nohup x", "`nohup`"),
        ("@daily /usr/bin/flock -n /tmp/l x", "`flock`"),
        ("@daily run-parts --report /etc/cron.daily", "--route node:NAME, or add each part"),
        ("@daily /opt/x < /srv/in", "needs /opt/x, /srv/in on every node"),
        ("HOME=/srv\n@daily x", "needs /srv on every node"),
        ("@reboot x", "@reboot is not imported"),
    ],
)
def test_what_holds_on_one_host_only_is_told(line: str, word: str) -> None:
    assert any(word in text for text in flags(one(line), local=False))


@pytest.mark.parametrize(
    "line",
    [
        "@daily a && b || c",
        "@daily a > /dev/null 2>&1",
        "@daily a &> /dev/null",
        "@daily echo 'a & b'",
        "@daily /usr/bin/x",
    ],
)
def test_what_holds_everywhere_is_not_told(line: str) -> None:
    assert list(flags(one(line), local=False)) == []


def test_paths_are_not_told_where_the_line_stays_on_its_host() -> None:
    assert list(flags(one("@daily /opt/x"), local=True)) == []
