"""A worker: its door while the trail is ill, and one real process from start to drain."""

import asyncio
import shutil
import signal
import socket
import sys
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

import valkey_server
from gateway import settings as reader
from gateway.audit.record import Record
from gateway.audit.trail import Trail
from gateway.errors import GatewayError, Kind
from gateway.policy.store import PolicyStore
from gateway.settings import Settings
from gateway.telemetry.metrics import Meters
from ostiary import bundle, health
from ostiary import worker as module
from ostiary.worker import Door

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "policies" / "demo"


@pytest.fixture
def door(tmp_path):
    policy = bundle.load(DEMO)
    trail = Trail(tmp_path / "audit.jsonl", queue_records=16, fsync_ms=1)
    return Door(PolicyStore(policy), trail, Meters(tenants=policy.tenants, models=policy.models))


def counted(door, name):
    return door.meters.registry.get_sample_value(name)


async def test_nobody_comes_in_while_nothing_can_be_put_on_record(door):
    with pytest.raises(GatewayError) as refusal:
        _ = door.current
    assert refusal.value.kind is Kind.AUDIT_UNAVAILABLE
    door.trail.start()
    assert door.current is door.store.current
    await door.trail.close()
    with pytest.raises(GatewayError):
        _ = door.current


async def test_a_record_that_is_not_taken_is_counted(door):
    door.trail.start()
    record = Record(writer="authz", request_id="r", started_at=0.0, duration_s=0.0)
    assert door.offer(record)
    assert counted(door, "ostiary_audit_dropped_total") == 0
    await door.trail.close()
    assert not door.offer(record)
    assert counted(door, "ostiary_audit_dropped_total") == 1


@pytest.mark.parametrize(("told", "code"), [("allowed", "ok"), ("rate_limited", "rate_limited")])
def test_checks_are_counted_under_the_names_of_the_table(door, told, code):
    door.count(told, "acme")
    labels = {"code": code, "tenant": "acme"}
    assert door.meters.registry.get_sample_value("ostiary_authz_decisions_total", labels) == 1


# --- a real process ----------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path):
    policy = tmp_path / "policy"
    shutil.copytree(DEMO, policy)
    peppers = tmp_path / "peppers"
    peppers.touch(0o600)
    peppers.write_text("v1: " + "ab" * 32 + "\n")
    for name in ("metrics", "run"):
        (tmp_path / name).mkdir()
    return Settings(
        policy_dir=policy,
        peppers_file=peppers,
        run_dir=tmp_path / "run",
        audit_dir=tmp_path / "audit",
        metrics_dir=tmp_path / "metrics",
        workers=1,
        drain_s=0.2,
        socket_mode=0o660,
    )


@asynccontextmanager
async def worker(settings):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ostiary", "worker"),
        cwd=ROOT,
        env=reader.for_worker(settings, 0),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), 30)


async def served(settings, process):
    async with asyncio.timeout(60):
        while await health.ask(settings.socket, 5.0):
            assert process.returncode is None, (await process.stderr.read()).decode()
            await asyncio.sleep(0.05)


async def test_it_serves_on_its_socket_and_ends_when_asked(settings):
    with socket.socket(socket.AF_UNIX) as crashed:  # what a killed predecessor leaves behind
        crashed.bind(str(settings.socket))
    async with worker(settings) as process:
        await served(settings, process)
        assert settings.socket.stat().st_mode & 0o777 == 0o660
        process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    events = [word for word in ("worker_serving", "worker_draining", "worker_stopped") if word.encode() in log]
    assert events == ["worker_serving", "worker_draining", "worker_stopped"]
    assert not settings.socket.exists()
    assert (settings.audit_dir / "worker-0.jsonl").exists()


async def stopped(process):
    """Its log, in order of events, after it was asked to end and did."""
    process.send_signal(signal.SIGTERM)
    _, log = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    return [orjson.loads(line)["event"] for line in log.splitlines()]


async def test_the_registry_is_loaded_before_it_serves(settings, tmp_path):
    with valkey_server.running(tmp_path) as server:
        settings = replace(settings, valkey_url=server.url)
        async with worker(settings) as process:
            await served(settings, process)
            events = await stopped(process)
    assert events.index("registry_loaded") < events.index("worker_serving")
    assert "registry_lost" not in events


@pytest.mark.slow  # ten seconds of patience
async def test_without_its_registry_it_serves_after_a_while_and_says_so(settings, tmp_path):
    settings = replace(settings, valkey_url=f"unix://{tmp_path}/nobody.sock")
    async with worker(settings) as process:
        await served(settings, process)
        events = await stopped(process)
    assert events.index("registry_lost") < events.index("registry_not_loaded") < events.index("worker_serving")


async def test_certificates_for_valkey_that_cannot_be_used_stop_the_start(settings, tmp_path):
    garbage = tmp_path / "ca.pem"
    garbage.write_text("SECRET-GARBAGE")
    settings = replace(settings, valkey_url="rediss://valkey.example:6380", valkey_ca_file=garbage)
    async with worker(settings) as process:
        _, log = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode
    assert str(garbage).encode() in log
    assert b"SECRET" not in log


async def test_a_policy_with_mistakes_is_told_and_the_old_one_stays(settings):
    async with worker(settings) as process:
        await served(settings, process)
        (settings.policy_dir / "models.yaml").write_text("m: nowhere\n")
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(30):
            while b"policy_refused" not in (line := await process.stderr.readline()):
                assert line
        assert b"models.yaml:1:4" in line
        assert await health.ask(settings.socket, 5.0) == ""


@pytest.mark.parametrize(
    ("damage", "told"),
    [("policy", b"tenants.yaml:1:1"), ("peppers", b"line 1"), ("socket", b"is not a socket")],
)
async def test_it_does_not_start_on_a_broken_base(settings, damage, told):
    if damage == "policy":
        (settings.policy_dir / "tenants.yaml").unlink()
    elif damage == "peppers":
        settings.peppers_file.write_text("v1: 0\n")
    else:
        settings.socket.write_text("")
    async with worker(settings) as process:
        _, log = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert told in log
    assert b"Traceback" not in log


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
    composed = module.compose(settings)
    current = composed.store.current
    older, newer = replace(current, version="older"), replace(current, version="newer")
    disk = Disk(older, newer)
    monkeypatch.setattr(module.bundle, "load", disk.load)
    first, second = [asyncio.ensure_future(module._reloaded(composed)) for _ in range(2)]
    second.add_done_callback(lambda _: disk.overtaken.set())
    await asyncio.gather(first, second)
    assert composed.store.current is newer
    await composed.keyring.close()
    await composed.inquirer.close()
    await composed.consultation.close()
