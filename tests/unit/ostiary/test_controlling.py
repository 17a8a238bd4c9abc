"""Control as a process: its sockets, its health, its ends; and what it refuses to start with."""

import asyncio
import secrets
import shutil
import signal
import sys
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

import valkey_server
from control.oauth.service import Told
from control.request import Request
from control.wrapper import WrapError
from gateway import settings as reader
from gateway.audit.trail import Trail
from gateway.settings import Settings
from ostiary import controlling, operator
from ostiary.problem import Problem

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "policies" / "demo"


@pytest.fixture
def settings(tmp_path):
    shutil.copytree(DEMO, tmp_path / "policy")
    for name in ("peppers", "kek"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(f"v1: {secrets.token_hex(32)}\n")
    return Settings(
        policy_dir=tmp_path / "policy",
        peppers_file=tmp_path / "peppers",
        kek_file=tmp_path / "kek",
        run_dir=tmp_path / "run",
        audit_dir=tmp_path / "audit",
        metrics_dir=tmp_path / "metrics",
        valkey_url=f"unix://{tmp_path / valkey_server.SOCKET}",
        drain_s=1,
    )


def ask(settings, path="/healthz", body=None, method="GET"):
    return operator.call(method, path, body, socket=settings.run_dir / "operator.sock", actor="ada")


async def until(probe):
    """Polls: a process tells nobody when it is ready."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await asyncio.to_thread(probe)
            except Problem:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def process(settings, tmp_path):
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **reader.for_worker(settings, 0)}
    with (tmp_path / "log").open("ab") as log:
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ostiary.cli", "control", env=environ, stdout=log, stderr=log
        )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.terminate()
        await running.wait()


@pytest.mark.slow
async def test_it_serves_two_sockets_changes_the_registry_and_leaves_nothing_behind(settings, tmp_path):
    with valkey_server.running(tmp_path):
        async with process(settings, tmp_path) as running:
            assert await until(lambda: ask(settings)) == {"status": "ok"}
            modes = {path.name: path.stat().st_mode & 0o777 for path in settings.run_dir.iterdir()}
            assert modes == {"operator.sock": 0o600, "control.sock": 0o600}
            made = ask(settings, "/admin/v1/keys", {"tenant": "acme", "principal": "ci"}, "POST")
            assert [one["id"] for one in ask(settings, "/admin/v1/keys")["keys"]] == [made["id"]]
            assert len(ask(settings, "/admin/v1/signing-keys")["signing_keys"]) == 2
            running.send_signal(signal.SIGTERM)
            assert await running.wait() == 0
        # What was changed survives: another process finds it.
        async with process(settings, tmp_path):
            found = await until(lambda: ask(settings, "/admin/v1/keys"))
            assert [one["id"] for one in found["keys"]] == [made["id"]]
    assert not list(settings.run_dir.iterdir())
    (record,) = (orjson.loads(line) for line in (settings.audit_dir / "control.jsonl").read_bytes().splitlines())
    assert (record["method"], record["principal"], record["key_id"]) == ("key.create", "ada", made["id"])
    written = (settings.audit_dir / "control.jsonl").read_text() + (tmp_path / "log").read_text()
    assert made["key"] not in written


@pytest.mark.slow
async def test_a_second_one_finds_the_socket_taken_and_the_first_goes_on(settings, tmp_path):
    with valkey_server.running(tmp_path):
        async with process(settings, tmp_path):
            await until(lambda: ask(settings))
            other = replace(settings, audit_dir=tmp_path / "audit2")
            async with process(other, tmp_path) as second:
                assert await second.wait() == 1
            assert ask(settings) == {"status": "ok"}
    assert "another process listens" in (tmp_path / "log").read_text()


@pytest.mark.slow
async def test_without_its_registry_it_lives_says_so_and_changes_nothing(settings, tmp_path):
    async with process(settings, tmp_path):
        assert await until(lambda: refusal(settings)) == "Control cannot change anything: registry failing."
        with pytest.raises(Problem, match="registry cannot be reached"):
            ask(settings, "/admin/v1/keys", {"tenant": "acme", "principal": "ci"}, "POST")
        with valkey_server.running(tmp_path):
            assert await until(lambda: ask(settings)) == {"status": "ok"}


def refusal(settings):
    """What its health says, once it says something."""
    try:
        return str(ask(settings))
    except Problem as problem:
        if "failing" not in str(problem):
            raise
        return str(problem)


@pytest.mark.slow
async def test_a_hangup_brings_a_new_policy_and_a_broken_one_changes_nothing(settings, tmp_path):
    tenants = settings.policy_dir / "tenants.yaml"
    with valkey_server.running(tmp_path):
        async with process(settings, tmp_path) as running:
            await until(lambda: ask(settings))
            with pytest.raises(Problem, match="no such tenant"):
                ask(settings, "/admin/v1/keys", {"tenant": "late", "principal": "ci"}, "POST")
            tenants.write_text(tenants.read_text() + "late: {models: ['*'], routes: ['*']}\n")
            running.send_signal(signal.SIGHUP)
            made = await until(lambda: ask(settings, "/admin/v1/keys", {"tenant": "late", "principal": "ci"}, "POST"))
            assert made["tenant"] == "late"
            tenants.write_text("late: [\n")
            running.send_signal(signal.SIGHUP)
            await until(lambda: logged(tmp_path, "policy_refused"))
            assert ask(settings, f"/admin/v1/keys/{made['id']}")["tenant"] == "late"


def logged(tmp_path, event):
    if event not in (tmp_path / "log").read_text():
        raise Problem("not yet")


def test_it_needs_a_registry(settings):
    with pytest.raises(Problem, match="Valkey"):
        controlling.compose(replace(settings, valkey_url=None))


def test_a_token_service_needs_something_that_encrypts_its_keys(settings):
    with pytest.raises(Problem, match="encrypts") as refused:
        controlling.compose(replace(settings, kek_file=None))
    assert "OSTIARY_KEK_FILE" in refused.value.hint


def test_a_key_that_others_may_read_is_refused(settings):
    settings.kek_file.chmod(0o644)
    with pytest.raises(Problem, match="kek"):
        controlling.compose(settings)


async def test_without_a_key_nothing_is_ever_wrapped():
    none = controlling.NoWrapper()
    for wish in (none.wrap("k", b"x"), none.unwrap("k", "x")):
        with pytest.raises(WrapError, match="OSTIARY_KEK_FILE"):
            await wish


async def test_a_token_is_on_record_or_is_not_handed_out(tmp_path):
    clock = controlling.SystemClock()
    trail = Trail(tmp_path / "c.jsonl", queue_records=16, fsync_ms=1)
    request = Request(method="POST", path="/oauth2/token", request_id="r1", address="192.0.2.7", now=clock.now())
    told = Told(
        action="token.issue",
        request=request,
        status=200,
        tenant="acme",
        principal="svc",
        client_id="c1",
        key_id="jwt:1",
    )
    assert not controlling._tell(trail, clock, told)
    trail.start()
    assert controlling._tell(trail, clock, told)
    await trail.close()
    (record,) = map(orjson.loads, (tmp_path / "c.jsonl").read_bytes().splitlines())
    assert (record["writer"], record["method"], record["tenant"], record["key_id"]) == (
        "control",
        "token.issue",
        "acme",
        "jwt:1",
    )
    assert record["details"] == {"client": "c1", "address": "192.0.2.7"}


# --- two reloads at once -----------------------------------------------------------------------------------------


class Disk:
    """Policies as they are read: the first reading is slow, and of what stood there before the second."""

    def __init__(self, *policies):
        self.policies = list(policies)
        self.overtaken = threading.Event()
        self.lock = threading.Lock()

    def load(self, _directory):
        with self.lock:
            policy = self.policies.pop(0)
        if self.policies:
            self.overtaken.wait(0.5)  # where nobody may, nobody does
        return policy


async def test_of_two_reloads_at_once_the_later_one_stays(settings, monkeypatch):
    composed = controlling.compose(settings)
    current = composed.store.current
    older, newer = replace(current, version="older"), replace(current, version="newer")
    disk = Disk(older, newer)
    monkeypatch.setattr(controlling.bundle, "load", disk.load)
    first, second = [asyncio.ensure_future(controlling._reloaded(composed)) for _ in range(2)]
    second.add_done_callback(lambda _: disk.overtaken.set())
    await asyncio.gather(first, second)
    assert composed.store.current is newer


async def test_tending_outlives_a_defect(settings):
    control = controlling.compose(settings)

    async def defect(_service):
        raise RuntimeError("a defect")

    control.signing.tend = defect
    await controlling._tend(control)
