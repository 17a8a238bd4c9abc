"""`ostiary revoke` against control's own admin API on a socket, with a registry in memory."""

import asyncio
import hashlib
import json
import socket
import threading
from contextlib import contextmanager

import pytest

import issuing
from authz_case import GOOD
from certs import Authority
from clocks import ManualClock
from control import revocation_actions
from control.admin import Admin, local
from control.revocations import Revocations
from control.site import Place, Site
from gateway.clock import SystemClock
from gateway.registry.memory import MemoryRegistry
from gateway.revocation.mark import name_of_token
from ostiary import cli
from ostiary.commands import revoke

NOW = 1_700_000_000
KEY = "k7d2m0q9x4ab"


class Journal:
    """Takes every record."""

    healthy = True

    def __init__(self):
        self.records = []

    def offer(self, record):
        self.records.append(record)
        return True


@contextmanager
def control(path, journal):
    """The admin API in a thread of its own."""
    loop = asyncio.new_event_loop()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(4)
    clock = SystemClock()
    actions = revocation_actions.actions(Revocations(MemoryRegistry(), clock))
    site = Site((Place("/admin/v1/", Admin(actions, local, journal, clock)),), clock, local=True)
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
def journal():
    return Journal()


@pytest.fixture
def run(tmp_path, capsys, journal):
    with control(tmp_path / "c", journal):

        def ostiary(*arguments):
            common = ("--socket", str(tmp_path / "c"), "--actor", "ada")
            code = cli.main(["revoke", *arguments, *common])
            told = capsys.readouterr()
            return code, told.out, told.err

        yield ostiary


def test_a_key_is_revoked_listed_and_given_back(run, journal):
    code, told, _ = run("key", KEY, "--reason", "leaked")
    assert code == 0
    assert f"Revoked: key:{KEY}" in told
    assert "until it is lifted" in told
    assert f"ostiary revoke lift key:{KEY} --reason" in told
    _, told, _ = run("list")
    head, row = told.splitlines()
    assert head.split()[0] == "MARK"
    assert row.startswith(f"key:{KEY} ")
    assert row.endswith("leaked")
    assert "ada (uid:" in row
    code, told, _ = run("lift", f"key:{KEY}", "--reason", "a mistake")
    assert (code, told.startswith(f"Lifted: key:{KEY}.")) == (0, True)
    assert run("list")[1] == "Nothing is revoked.\n"
    assert [(record.method, record.reason) for record in journal.records] == [
        ("revocation.create", "leaked"),
        ("revocation.lift", "a mistake"),
    ]


def test_revoking_again_shows_what_stood_there(run):
    run("tenant", "acme", "--reason", "first", "--for", "30d")
    told = run("tenant", "acme", "--reason", "second")[1]
    assert "It replaces what stood there:" in told
    assert "first" in told


def test_the_list_can_be_narrowed_and_read_by_machines(run):
    run("subject", "ci", "--tenant", "acme", "--reason", "x")
    run("client", "batch", "--tenant", "acme", "--reason", "x")
    run("subject", "ci", "--tenant", "other", "--reason", "x")
    told = json.loads(run("list", "--tenant", "acme", "--what", "subject", "--json")[1])
    assert [one["mark"] for one in told["revocations"]] == ["subject:acme/ci"]


def test_a_mark_that_a_shell_would_read_is_quoted(run):
    assert "lift 'subject:acme/auth0|5f' --reason" in run("subject", "auth0|5f", "--tenant", "acme", "--reason", "x")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("key", "a b", "--reason", "x"), "name: missing or malformed"),
        (("subject", "ci", "--tenant", "Acme", "--reason", "x"), "tenant: missing or malformed"),
        (("key", KEY, "--reason", " "), "reason: missing"),
        (("key", KEY, "--reason", "x", "--until", "2001-01-01T00:00:00Z"), "until: that moment has passed"),
        (("lift", f"key:{KEY}", "--reason", "x"), "There is no revocation"),
    ],
)
def test_controls_refusal_is_a_sentence(run, arguments, message):
    code, told, error = run(*arguments)
    assert (code, told) == (1, "")
    assert message in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("key", KEY, "--for", "1w"), "--for: '1w' is no duration"),
        (("key", KEY, "--until", "2030-01-01T00:00:00"), "--until: '2030-01-01T00:00:00' is no time with its zone"),
        (("key", KEY, "--issued-before", "yesterday"), "--issued-before: 'yesterday' is no time"),
        (("token",), "a token is named by its id, or by --issuer and --jti"),
        (("token", "jwt:00", "--jti", "x"), "a token is named by its id, or by --issuer and --jti"),
        (("token", "--jti", "x"), "a token is named by its id, or by --issuer and --jti"),
        (("certificate", "ab:cd"), "neither 64 hex digits nor a file"),
    ],
)
def test_an_argument_that_cannot_be_understood_is_told(run, arguments, message):
    code, told, error = run(*arguments, "--reason", "x")
    assert (code, told) == (1, "")
    assert message in error


@pytest.mark.parametrize("secret", [GOOD, issuing.token()])
def test_a_secret_in_place_of_its_id_is_refused_unrepeated(run, secret):
    code, told, error = run("key", secret, "--reason", "x")
    assert (code, told) == (1, "")
    assert "shell's history" in error
    assert secret not in error


def wish(*arguments, now=NOW + 0.4):
    parser = cli._parser()
    return revoke.wish(parser.parse_args(["revoke", *arguments, "--reason", "x"]), ManualClock(now=now))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("key", KEY), {"what": "key", "tenant": "", "name": KEY}),
        (("token", "jwt:0011223344556677"), {"what": "key", "tenant": "", "name": "jwt:0011223344556677"}),
        (("subject", "ci", "--tenant", "acme"), {"what": "subject", "tenant": "acme", "name": "ci"}),
        (("client", "batch", "--tenant", "acme"), {"what": "client", "tenant": "acme", "name": "batch"}),
        (("tenant", "acme"), {"what": "tenant", "tenant": "acme", "name": ""}),
        (("certificate", "AB" * 32), {"what": "certificate", "tenant": "", "name": "AB" * 32}),
    ],
)
def test_each_kind_is_asked_for_by_its_name(arguments, expected):
    assert wish(*arguments) == {**expected, "reason": "x"}


def test_a_token_is_named_as_authz_names_it():
    expected = name_of_token(issuing.ISS, "token-0001")
    assert wish("token", "--issuer", issuing.ISS, "--jti", "token-0001")["name"] == expected
    assert revoke.credential_id(issuing.token().encode()) == expected
    assert revoke.credential_id(f"bearer {issuing.token()}\n".encode()) == expected


def test_a_token_without_jti_is_named_by_its_hash():
    text = issuing.token(without=("jti",))
    digest = hashlib.sha256(text.encode()).digest()
    assert revoke.credential_id(text.encode()) == name_of_token(issuing.ISS, digest)


def test_a_leaked_key_is_revoked_out_of_a_file_and_not_shown(run, tmp_path):
    (tmp_path / "leaked").write_text(f"{GOOD}\n")
    _, told, _ = run("credential", str(tmp_path / "leaked"), "--reason", "found")
    assert "key:alice0000001" in told
    assert GOOD not in told


@pytest.mark.parametrize("text", [b"", b"sk-something", b"a.b.c", b"e30.e30.e30", b"x" * 70_000])
def test_what_is_no_credential_is_refused(run, tmp_path, text):
    (tmp_path / "leaked").write_bytes(text)
    code, told, error = run("credential", str(tmp_path / "leaked"), "--reason", "found")
    assert (code, told) == (1, "")
    assert "credential" in error or "neither an API key" in error


def test_a_certificate_is_named_by_its_pem_file(tmp_path):
    pair = Authority(tmp_path).issue("client", client=True, uri="spiffe://test/x")
    name = wish("certificate", str(pair.cert))["name"]
    assert len(bytes.fromhex(name)) == 32
    (tmp_path / "none.pem").write_text("nothing")
    with pytest.raises(revoke.Problem, match="holds no PEM certificate"):
        wish("certificate", str(tmp_path / "none.pem"))


def test_times_are_whole_seconds_on_the_safe_side():
    assert wish("tenant", "acme", "--for", "2h")["until"] == NOW + 1 + 7200
    assert wish("tenant", "acme", "--until", "2030-01-31T00:00:00Z")["until"] == 1_896_048_000
    assert wish("tenant", "acme", "--until", "1896048000")["until"] == 1_896_048_000
    # A token of this very second may be one of those that are meant.
    assert wish("tenant", "acme", "--issued-before", "now")["issued_before"] == NOW + 1
    assert wish("tenant", "acme", "--issued-before", "2030-01-31T01:00:00+01:00")["issued_before"] == 1_896_048_000


def test_a_time_is_given_once():
    with pytest.raises(SystemExit):
        wish("tenant", "acme", "--for", "1d", "--until", "1896048000")


@pytest.mark.parametrize("what", ["", "key", "token", "credential", "subject", "list", "lift"])
def test_help_explains(capsys, what):
    with pytest.raises(SystemExit) as end:
        cli.main(["revoke", *what.split(), "--help"])
    assert end.value.code == 0
    assert "usage: ostiary revoke" in capsys.readouterr().out
