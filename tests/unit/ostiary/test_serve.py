"""`ostiary serve` as a process: readiness, metrics, restart, end."""

import asyncio
import os
import re
import shutil
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gateway import contract
from gateway import settings as reader
from gateway.settings import Settings
from ostiary import engines, serve

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def settings(tmp_path):
    shutil.copytree(ROOT / "policies" / "demo", tmp_path / "policy")
    peppers = tmp_path / "peppers"
    peppers.touch(0o600)
    peppers.write_text("v1: " + "ab" * 32 + "\n")
    return Settings(
        policy_dir=tmp_path / "policy",
        peppers_file=peppers,
        run_dir=tmp_path / "run",
        audit_dir=tmp_path / "audit",
        metrics_dir=tmp_path / "run" / "metrics",
        workers=1,
        admin_port=0,
        drain_s=0.2,
    )


@asynccontextmanager
async def served(settings):
    environ = reader.for_worker(settings, 0)
    del environ[reader.METRICS_DIR_VARIABLE]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ostiary", "serve"), cwd=ROOT, env=environ, stderr=asyncio.subprocess.PIPE
    )
    try:
        line = await asyncio.wait_for(process.stderr.readline(), 60)
        port = int(re.search(rb'"admin_port":(\d+)', line)[1])
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            yield process, client
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), 30)


async def status(client, path, wanted):
    async with asyncio.timeout(60):
        while (answer := await client.get(path)).status_code != wanted:
            await asyncio.sleep(0.05)
    return answer.text


def test_the_run_directory_lets_the_group_in_whatever_the_umask(settings):
    before = os.umask(0o077)
    try:
        serve.prepare(settings)
    finally:
        os.umask(before)
    assert settings.run_dir.stat().st_mode & 0o777 == 0o750


def test_directories_are_private_and_old_metric_files_go(settings):
    settings.metrics_dir.mkdir(parents=True)
    (settings.metrics_dir / "counter_1.db").touch()
    serve.prepare(settings)
    assert list(settings.metrics_dir.iterdir()) == []
    assert settings.audit_dir.stat().st_mode & 0o777 == 0o700
    serve.prepare(settings)


async def test_ready_means_that_every_socket_answers(settings):
    async with served(settings) as (process, client):
        assert (await client.get("/healthz")).text == "ok\n"
        assert await status(client, "/readyz", 200) == "1 worker ready\n"
        worker = int(re.search(r'"pid":(\d+)', (await process.stderr.readline()).decode())[1])
        assert "ostiary_workers_alive 1.0" in (await client.get("/metrics")).text
        os.kill(worker, signal.SIGSTOP)  # alive, and answers nothing
        try:
            assert "worker-0.sock: DEADLINE_EXCEEDED" in await status(client, "/readyz", 503)
        finally:
            os.kill(worker, signal.SIGCONT)
        os.kill(worker, signal.SIGKILL)
        assert "worker-0.sock: UNAVAILABLE" in await status(client, "/readyz", 503)
        await status(client, "/readyz", 200)
        assert 'ostiary_worker_restarts_total{worker="0"} 1.0' in (await client.get("/metrics")).text
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(bool(engines.missing(["ner"])), reason="the models come with `make analysis`")
async def test_the_analysis_process_comes_with_the_policy_and_ends_with_the_supervisor(settings):
    (settings.policy_dir / "advisers.yaml").write_text("names: {engine: ner}\n")
    socket = settings.run_dir / contract.ANALYSIS_SOCKET
    async with served(settings) as (process, client):
        await status(client, "/readyz", 200)
        async with asyncio.timeout(60):
            while not socket.exists():
                await asyncio.sleep(0.05)
        assert "ostiary_workers_alive 1.0" in (await client.get("/metrics")).text  # it is none of them
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert not socket.exists()


def test_only_the_index_of_questions_is_told_where_a_shared_one_is_and_not_by_its_arguments(settings):
    sharing = replace(settings, similar_url="rediss://similar:pw@redis.example")
    launch = serve._launch_analysis(sharing, ("ner", "similar"))
    assert launch.environ["OSTIARY_SIMILAR_URL"] == sharing.similar_url
    assert launch.environ["OSTIARY_PEPPERS_FILE"] == str(settings.peppers_file)
    assert "pw" not in " ".join(launch.command)
    for engines_, where in ((("ner",), sharing), (("ner", "similar"), settings)):
        environ = serve._launch_analysis(where, engines_).environ
        assert [name for name in environ if name.startswith(reader.PREFIX)] == []


async def test_a_taken_admin_port_is_a_sentence(settings):
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as taken:
        port = taken.sockets[0].getsockname()[1]
        environ = reader.for_worker(settings, 0) | {"OSTIARY_ADMIN_PORT": str(port)}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ostiary", "serve"), cwd=ROOT, env=environ, stderr=asyncio.subprocess.PIPE
        )
        _, told = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert b"OSTIARY_ADMIN_PORT" in told
    assert b"Traceback" not in told


def test_a_worker_has_gos_settings_before_the_opa_library_is_loaded(settings, monkeypatch):
    monkeypatch.setenv("GOGC", "50")
    environ = serve._launch(settings, 0).environ
    assert (environ["GOMAXPROCS"], environ["GOGC"]) == ("1", "50")
