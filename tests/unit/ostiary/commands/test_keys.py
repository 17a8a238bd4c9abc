"""`ostiary keys` against control's own admin API on a socket, with a registry in memory."""

import asyncio
import io
import json
import secrets
import socket
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest

import authz_case
from authz.apikey import check
from authz.keybook import KeyBook
from clocks import ManualClock
from control import key_actions
from control.admin import Admin, local
from control.keys import Keys
from control.site import Place, Site
from gateway.policy.model import Key, Model, RateLimit
from gateway.registry.last_used import MemoryLastUsed
from gateway.registry.memory import MemoryRegistry
from gateway.registry.model import Sort
from ostiary import cli

NOW = 1_800_000_000
DAY = 86_400
POLICY = replace(
    authz_case.POLICY,
    models={"gpt": Model(name="gpt", backend="demo")},
    keys={"alice0000001": authz_case.POLICY.keys["alice0000001"]},
)
ACME = ("--tenant", "acme", "--principal", "ci")


class Journal:
    """Takes every record."""

    healthy = True

    def __init__(self):
        self.records = []

    def offer(self, record):
        self.records.append(record)
        return True


class Rig:
    """Control in a thread, and the command."""

    def __init__(self, path, capsys):
        self.path, self._capsys = path, capsys
        self.clock, self.journal, self.book, self.last_used = (
            ManualClock(now=NOW),
            Journal(),
            KeyBook(lambda: 0.0),
            MemoryLastUsed(),
        )
        registry = MemoryRegistry()
        registry.replica().follow(Sort.KEY, self.book.apply)
        self.actions = key_actions.actions(
            Keys(
                registry=registry,
                peppers=authz_case.PEPPERS,
                policy=lambda: POLICY,
                clock=self.clock,
                random=secrets.token_bytes,
                last_used=self.last_used,
            )
        )

    def __call__(self, *arguments, common=True):
        added = ("--socket", str(self.path), "--actor", "ada") if common else ()
        try:
            code = cli.main(["keys", *arguments, *added])
        except SystemExit as left:
            code = left.code
        told = self._capsys.readouterr()
        return code, told.out, told.err

    def json(self, *arguments):
        code, out, err = self(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    def found(self, text):
        """What a worker makes of the key."""
        return check(text, self.book.of(POLICY), authz_case.PEPPERS)


@contextmanager
def serving(rig):
    loop = asyncio.new_event_loop()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(rig.path))
    listening.listen(4)
    site = Site((Place("/admin/v1/", Admin(rig.actions, local, rig.journal, rig.clock)),), rig.clock, local=True)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(site.start(listening), loop).result(10)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(site.close(1), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def run(tmp_path, capsys):
    rig = Rig(tmp_path / "c", capsys)
    with serving(rig):
        yield rig


@pytest.fixture
def made(run):
    return run.json("create", *ACME)


def test_a_new_key_is_shown_once_with_what_it_may_do(run):
    code, out, err = run(
        "create", *ACME, "--scope", "chat", "--scope", "embed", "--model", "gpt", "--cidr", "192.0.2.0/24",
        "--rate", "60/10s", "--expires", "90d", "--name", "nightly", "--note", "for Bob", "--reason", "ticket 17",
    )  # fmt: skip
    assert (code, err) == (0, "")
    [text] = [line.strip() for line in out.splitlines() if line.strip().startswith("osk_")]
    key = run.found(text)
    assert isinstance(key, Key)
    assert (key.scopes, key.models, key.cidrs) == (("chat", "embed"), {"gpt"}, ("192.0.2.0/24",))
    assert (key.rate, key.expires_at) == (RateLimit(requests=60, window_s=10), NOW + 90 * DAY)
    assert out.count(text) == 1
    for line in ("name         nightly", "expires      2027-04-15 08:00", "rate         60 in 10 s"):
        assert line in out


def test_quiet_prints_the_key_alone(run):
    code, out, err = run("create", *ACME, "--quiet")
    assert (code, err) == (0, "")
    assert isinstance(run.found(out.removesuffix("\n")), Key)


def test_a_key_that_was_made_is_never_shown_again(run, made):
    shown = [run("show", made["id"]), run("show", made["id"], "--json"), run("list"), run("list", "--json")]
    shown += [run("disable", made["id"]), run("delete", made["id"], "--yes")]
    assert made["key"][17:] not in str(shown)


def test_each_change_goes_on_record_with_actor_and_reason_and_without_the_key(run, made):
    run("disable", made["id"], "--reason", "laptop lost")
    first, second = run.journal.records
    assert (first.method, first.tenant, first.key_id, first.principal) == ("key.create", "acme", made["id"], "ada")
    assert (second.method, second.key_id, second.reason) == ("key.disable", made["id"], "laptop lost")
    assert made["key"][17:] not in str(run.journal.records)


def test_the_list_is_aligned_and_without_colour_where_nobody_looks(run, made):
    run.last_used.times[made["id"]] = NOW - 60
    code, out, _ = run("list", "--tenant", "acme")
    heads, *rows = out.splitlines()
    assert code == 0
    assert heads.split() == ["ID", "TENANT", "PRINCIPAL", "STATE", "EXPIRES", "LAST", "USED", "SOURCE", "NAME"]
    assert {row.index("acme ") for row in rows} == {heads.index("TENANT")}
    assert [row[heads.index("LAST USED") :].split("  ")[0] for row in rows if made["id"] in row] == ["2027-01-15 07:59"]
    assert any(row.split()[0] == "alice0000001" and "policy" in row for row in rows)
    assert "\x1b" not in out


def test_the_list_is_coloured_for_eyes(run, made, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    cli.main(["keys", "list", "--socket", str(run.path)])
    assert "\x1b[32mactive\x1b[0m" in screen.getvalue()


def test_the_list_for_machines_is_whole_and_filtered(run, made):
    run("disable", made["id"])
    assert [key["id"] for key in run.json("list", "--state", "disabled")["keys"]] == [made["id"]]
    assert run("list", "--tenant", "narrow") == (0, "", "no keys\n")


def test_a_list_of_several_pages_is_told_as_one(run, monkeypatch):
    monkeypatch.setattr(key_actions, "PAGE", 2)
    ids = {run.json("create", *ACME)["id"] for _ in range(5)}
    assert {key["id"] for key in run.json("list")["keys"]} == {*ids, "alice0000001"}


def test_a_rotation_tells_the_new_key_and_the_end_of_the_old_one(run, made):
    code, out, _ = run("rotate", made["id"], "--overlap", "1h", "--expires", "2030-01-31")
    [text] = [line.strip() for line in out.splitlines() if line.strip().startswith("osk_")]
    assert code == 0
    assert run.found(text).expires_at == 1_896_048_000
    assert run.found(made["key"]).expires_at == NOW + 3600
    assert f"The old key {made['id']} counts until 2027-01-15 09:00 UTC." in out
    assert f"replaces     {made['id']}" in out


def test_a_quiet_rotation_prints_the_new_key_alone(run, made):
    _, out, _ = run("rotate", made["id"], "--quiet")
    assert isinstance(run.found(out.removesuffix("\n")), Key)
    assert run.found(made["key"]).expires_at == NOW + DAY


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("12h", NOW + DAY // 2),
        ("now", NOW),
        ("2030-01-31", 1_896_048_000),
        ("2030-01-31T12:00+01:00", 1_896_087_600),
        ("never", None),
    ],
)
def test_an_end_is_set_and_taken_away(run, made, when, expected):
    assert run.json("expire", made["id"], when)["expires_at"] == expected


def test_a_key_is_disabled_enabled_and_deleted(run, made):
    assert run.json("disable", made["id"])["state"] == "disabled"
    assert run.json("enable", made["id"])["state"] == "active"
    code, out, _ = run("delete", made["id"], "--yes")
    assert (code, out) == (0, f"deleted key {made['id']} of ci, tenant acme\n")
    assert run("show", made["id"])[0] == 1


def test_nothing_is_deleted_unasked(run, made, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run("delete", made["id"])[0] == 1
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert run("delete", made["id"])[0] == 1
    assert isinstance(run.found(made["key"]), Key)
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert run("delete", made["id"])[0] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "--tenant", "acne", "--principal", "ci"), "tenant: The policy in force has no such tenant."),
        (("create", *ACME, "--model", "gtp"), "models[0]: The policy in force has no such model."),
        (("create", *ACME, "--cidr", "192.0.2.1/24"), "cidrs[0]: bits are set beyond the prefix"),
        (("create", *ACME, "--expires", "2001-01-01"), "expires_at: is in the past"),
        (("show", "k7d2m0q9x4ab"), "There is no key 'k7d2m0q9x4ab'."),
        (("disable", "alice0000001"), "The key stands in the policy."),
    ],
)
def test_what_control_refuses_is_told(run, arguments, told):
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert told in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", *ACME, "--expires", "soon"), "'soon' is no time"),
        (("create", *ACME, "--rate", "fast"), "'fast' is no rate"),
        (("rotate", "k7d2m0q9x4ab", "--overlap", "1y"), "'1y' is no span of time"),
        (("show", "K7D2M0Q9X4AB"), "a key's id has 12 characters"),
        (("show", "../accounts"), "a key's id has 12 characters"),
        (("list", "--state", "gone"), "invalid choice"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(run, arguments, told):
    code, _, err = run(*arguments)
    assert code == 2
    assert told in err
    assert not run.journal.records


def test_a_key_in_place_of_its_id_is_neither_sent_nor_repeated(run, made):
    code, out, err = run("disable", made["key"])
    assert code == 2
    assert "that looks like a key" in err
    assert made["key"] not in out + err


def test_without_control_the_way_out_is_told(tmp_path, capsys):
    assert cli.main(["keys", "list", "--socket", str(tmp_path / "none")]) == 1
    assert "control is not running" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["create", "list", "show", "rotate", "expire", "disable", "enable", "delete", "new"])
def test_every_action_explains_itself(run, action):
    code, out, _ = run(action, "--help", common=False)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 120
