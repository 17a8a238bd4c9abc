"""`ostiary accounts` and `ostiary signing-keys` against control's own admin API on a socket; the registry is in memory."""

import asyncio
import json
import re
import socket
import stat
import threading
from contextlib import contextmanager

import pytest
import structlog

import issuing
import oauth_case
from certs import Authority
from control.account_actions import actions, signing_actions
from control.admin import Admin, local
from control.site import Place, Site
from ostiary import cli


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
    world = oauth_case.World()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(4)
    lines = (*actions(world.accounts), *signing_actions(world.signing, lambda: world.policy))
    site = Site((Place("/admin/v1/", Admin(lines, local, journal, world.clock)),), world.clock, local=True)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(world.signing.tend(oauth_case.SERVICE), loop).result(10)
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
    # What control logs belongs to its own standard output, not to the command's.
    with structlog.testing.capture_logs(), control(tmp_path / "c", journal):

        def ostiary(*arguments):
            code = cli.main([*arguments, "--socket", str(tmp_path / "c"), "--actor", "ada"])
            told = capsys.readouterr()
            return code, told.out, told.err

        yield ostiary


CREATE = ("accounts", "create", "--tenant", "acme", "--principal", "nightly")


def made(run, *more):
    """The answer to `create`, as JSON."""
    code, out, err = run(*CREATE, *more, "--json")
    assert code == 0, err
    return json.loads(out)


def test_a_new_account_shows_its_secret_once(run, journal):
    code, out, _ = run(*CREATE, "--scope", "chat", "--scope", "embed", "--token-life", "60s", "--expires", "90d")
    assert code == 0
    client_id, secret = re.search(r"svc-[a-z0-9]{12}", out)[0], re.search(r"ocs_\S{43}", out)[0]
    assert "60 s" in out
    assert "chat embed" in out
    code, shown, _ = run("accounts", "show", client_id)
    assert client_id in shown
    assert secret not in shown
    [record] = journal.records
    assert (record.method, record.tenant, record.principal) == ("account.create", "acme", "ada")
    assert secret not in repr(record)


def test_a_secret_can_go_into_a_file_of_its_own(run, tmp_path):
    file = tmp_path / "secret"
    _, out, _ = run(*CREATE, "--secret-file", str(file))
    assert "ocs_" not in out
    assert re.fullmatch(r"ocs_\S{43}\n", file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    code, _, err = run(*CREATE, "--secret-file", str(file))
    assert (code, "exists already" in err) == (1, True)
    assert len(json.loads(run("accounts", "list", "--json")[1])["accounts"]) == 1


def test_a_signing_client_is_made_from_a_file_of_public_keys(run, tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(oauth_case.jwks("ES256")))
    told = made(run, "--jwks", str(keys))
    assert (told["method"], told["algorithms"]) == ("private_key_jwt", ["ES256"])
    assert "client_secret" not in told
    one = tmp_path / "one.json"
    one.write_text(json.dumps(issuing.jwk("ES256", "k9")))
    _, out, _ = run("accounts", "change", told["client_id"], "--jwks", str(one))
    assert "k9" in out


def test_a_private_key_does_not_even_travel(run, tmp_path, journal):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [issuing.key("ES256").as_dict(private=True)]}))
    code, _, err = run(*CREATE, "--jwks", str(keys))
    assert code == 1
    assert "private key" in err
    assert issuing.key("ES256").as_dict(private=True)["d"] not in err
    assert journal.records == []


@pytest.mark.parametrize("text", ["", "[]", "{", '{"keys": 1}', '{"keys": [1]}', "x" * 70_000])
def test_a_file_that_holds_no_keys_is_refused(run, tmp_path, text):
    keys = tmp_path / "keys.json"
    keys.write_text(text)
    assert run(*CREATE, "--jwks", str(keys))[0] == 1


def test_a_certificate_client_is_made_by_name_and_pin(run, tmp_path):
    pair = Authority(tmp_path / "ca").issue("batch", client=True, uri="spiffe://acme.example/batch")
    told = made(run, "--san-uri", "spiffe://acme.example/batch", "--pin", str(pair.cert), "--pin", "AB" * 32)
    assert told["method"] == "tls_client_auth"
    assert told["certificate"]["uri"] == "spiffe://acme.example/batch"
    assert "ab" * 32 in told["certificate"]["spki_sha256"]
    assert len(told["certificate"]["spki_sha256"]) == 2
    assert run(*CREATE, "--pin", str(tmp_path / "none"))[0] == 1
    (tmp_path / "bad").write_text("x")
    assert run(*CREATE, "--pin", str(tmp_path / "bad"))[0] == 1
    (tmp_path / "k").write_text(json.dumps(oauth_case.jwks("ES256")))
    assert "in one way" in run(*CREATE, "--jwks", str(tmp_path / "k"), "--san-uri", "urn:x")[2]


def test_accounts_are_listed_by_tenant(run):
    assert "no service accounts" in run("accounts", "list")[1]
    told = made(run)
    made(run, "--tenant", "narrow")
    _, out, _ = run("accounts", "list", "--tenant", "acme")
    assert out.splitlines()[0].startswith("CLIENT")
    assert [line.split()[0] for line in out.splitlines()[1:]] == [told["client_id"]]


def test_a_change_says_what_it_made(run):
    client_id = made(run, "--scope", "chat")["client_id"]
    _, out, _ = run("accounts", "change", client_id, "--scope", "embed", "--audience", "b", "--reason", "narrower")
    assert "embed" in out
    assert "chat" not in out
    code, _, err = run("accounts", "change", client_id)
    assert (code, "nothing to change" in err) == (1, True)


def test_a_rotation_shows_the_new_secret_and_the_end_of_the_old_one(run, tmp_path):
    told = made(run)
    _, out, _ = run("accounts", "rotate-secret", told["client_id"], "--overlap", "2h")
    new = re.search(r"ocs_\S{43}", out)[0]
    assert new != told["client_secret"]
    assert "counts until" in out
    run("accounts", "rotate-secret", told["client_id"], "--secret-file", str(tmp_path / "s"))
    assert (tmp_path / "s").read_text().strip() not in {new, told["client_secret"]}


def test_an_account_ends_and_its_record_says_why(run, journal):
    client_id = made(run)["client_id"]
    assert "Disabled" in run("accounts", "disable", client_id, "--reason", "left running")[1]
    assert "Enabled" in run("accounts", "enable", client_id)[1]
    assert json.loads(run("accounts", "delete", client_id, "--json")[1])["client_id"] == client_id
    assert [(one.method, one.reason) for one in journal.records[1:]] == [
        ("account.disable", "left running"),
        ("account.enable", ""),
        ("account.delete", ""),
    ]
    code, _, err = run("accounts", "show", client_id)
    assert (code, "There is no account" in err) == (1, True)


@pytest.mark.parametrize("client_id", ["../keys", "a b", "é", "%2e%2e"])
def test_a_name_stays_a_name(run, client_id):
    assert run("accounts", "show", client_id)[0] == 1


def test_what_control_refuses_is_told_by_its_field(run):
    code, _, err = run("accounts", "create", "--tenant", "globex", "--principal", "x")
    assert code == 1
    assert "tenant: The policy in force has no such tenant." in err


def test_signing_keys_are_shown_and_turned(run, journal):
    listed = json.loads(run("signing-keys", "list", "--json")[1])["signing_keys"]
    assert len(listed) == 2
    _, out, _ = run("signing-keys", "list")
    assert all(one["kid"] in out for one in listed)
    assert "private" not in out
    _, out, _ = run("signing-keys", "rotate", "--reason", "a drill")
    assert listed[1]["kid"] in out
    assert "still count" in out
    told = json.loads(run("signing-keys", "rotate", "--distrust", "--reason", "broken into", "--json")[1])
    assert told["kid"] not in {one["kid"] for one in listed}
    assert [one.method for one in journal.records] == ["signing_key.rotate"] * 2


@pytest.mark.parametrize("command", [("accounts",), ("accounts", "create"), ("signing-keys",)])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([*command, "--help"])
    assert "ostiary" in capsys.readouterr().out
