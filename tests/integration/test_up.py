"""`ostiary up` as a newcomer runs it: every part real, in a directory of its own, ended by pid."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anthropic
import httpx
import httpx2
import openai
import pytest
import yaml
from google import genai
from google.genai.types import HttpOptions

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
START_S = 120.0
END_S = 30.0


def command(state: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "ostiary.cli", "up", "--state", str(state), "--port", "0", "--workers", "1", *options]


def environ() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "PYTHONIOENCODING": "utf-8"}


class Running:
    """A started `up`, its facts, and the pids of its parts."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.clients: dict[str, openai.OpenAI] = {}
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        self.facts = json.loads(line)
        self.parts = descendants(process.pid)
        self.keys = dict(text.split() for text in Path(self.facts["keys_file"]).read_text().splitlines())

    def client(self, tenant: str = "acme") -> openai.OpenAI:
        if tenant not in self.clients:
            trusted = ssl.create_default_context(cafile=self.facts["ca"])
            self.clients[tenant] = openai.OpenAI(
                base_url=self.facts["url"],
                api_key=self.keys[tenant],
                max_retries=0,
                http_client=httpx.Client(verify=trusted),
            )
        return self.clients[tenant]

    def part(self, name: str) -> int:
        return next(pid for pid, line in self.parts.items() if name in line)


@contextmanager
def up(state: Path, *options: str) -> Iterator[Running]:
    process = subprocess.Popen(
        command(state, "--json", *options),
        cwd=state.parent,
        env=environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    running = None
    try:
        running = Running(process)
        yield running
    finally:
        for client in running.clients.values() if running else ():
            client.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=END_S)


def descendants(pid: int) -> dict[int, str]:
    """Every process below `pid`, with its command line."""
    parents, lines = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                lines[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
    found: dict[int, str] = {}
    wanted = [pid]
    while wanted:
        parent = wanted.pop()
        for child, its_parent in parents.items():
            if its_parent == parent and child not in found:
                found[child] = lines[child]
                wanted.append(child)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pids: dict[int, str]) -> None:
    deadline = time.monotonic() + END_S
    while left := {pid: line for pid, line in pids.items() if alive(pid)}:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_check_sends_a_governed_request_and_leaves_nothing_running(tmp_path):
    done = subprocess.run(
        command(tmp_path / "state", "--check"),
        env=environ(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answered  My card is [CARD] and my mail is [EMAIL]" in done.stdout
    assert "without a valid key: 401" in done.stdout
    assert "everything has stopped" in done.stdout
    assert "✓ Valkey" in done.stdout


def test_an_unmodified_sdk_talks_to_it_and_the_key_survives_a_restart(tmp_path):
    state = tmp_path / "state"
    with up(state) as first:
        client = first.client()
        said = client.chat.completions.create(
            model="demo-echo", messages=[{"role": "user", "content": "mail ada@example.com"}]
        )
        assert said.choices[0].message.content == "mail [EMAIL]"
        stream = client.chat.completions.create(
            model="demo-pii", messages=[{"role": "user", "content": "tell me"}], stream=True
        )
        text = "".join(event.choices[0].delta.content or "" for event in stream if event.choices)
        assert "[EMAIL]" in text
        assert "4111" not in text
        tls = ssl.create_default_context(cafile=str(state / "certs" / "ca.pem"))
        with anthropic.Anthropic(
            base_url=str(client.base_url).removesuffix("/v1/"),
            api_key=first.keys["acme"],
            http_client=httpx2.Client(verify=tls),
        ) as claude:
            ask = {"model": "claude-demo-pii", "max_tokens": 500, "messages": [{"role": "user", "content": "tell me"}]}
            with claude.messages.stream(**ask) as told:
                assert told.get_final_text() == text
        signed = client.chat.completions.create(
            model="nova-demo-pii", messages=[{"role": "user", "content": "tell me"}], stream=True
        )
        assert "".join(event.choices[0].delta.content or "" for event in signed if event.choices) == text
        with httpx.Client(verify=tls) as http:
            options = HttpOptions(base_url=str(client.base_url).removesuffix("/v1/"), httpx_client=http)
            google = genai.Client(api_key=first.keys["acme"], http_options=options)
            for model in ("gemini-demo-pii", "demo-pii"):  # as it is, and by translation
                told = google.models.generate_content_stream(model=model, contents="tell me")
                assert "".join(chunk.text or "" for chunk in told) == text
            assert "models/gemini-demo" in [model.name for model in google.models.list()]
        key, parts = first.keys["acme"], first.parts
    wait_until_gone(parts)
    with up(state) as second:
        assert second.keys["acme"] == key
        assert "demo-pii" in [model.id for model in second.client().models.list()]


def ostiary(state: Path, *words: str) -> dict:
    """A command of the operator, in the directory where `up` was started."""
    done = subprocess.run(
        [sys.executable, "-m", "ostiary.cli", *words, "--json"],
        cwd=state.parent,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_key_that_a_command_made_counts_at_once_and_after_a_restart_until_it_is_disabled(tmp_path):
    state = tmp_path / ".ostiary"  # where commands look first
    with up(state) as first:
        made = ostiary(state, "keys", "create", "--tenant", "acme", "--principal", "ci", "--reason", "a trial")
        first.keys["ci"] = made["key"]
        until_it(first, "ci", opens=True)
        logs = "".join(file.read_text() for file in Path(first.facts["logs"]).iterdir())
        assert made["key"] not in logs
    with up(state) as second:
        second.keys["ci"] = made["key"]
        assert second.client("ci").models.list().data
        ostiary(state, "keys", "disable", made["id"])
        until_it(second, "ci", opens=False)


def until_it(running: Running, key: str, *, opens: bool) -> None:
    """Until the worker has heard of what a command did to the key."""
    deadline = time.monotonic() + END_S
    while opened(running, key) is not opens:
        assert time.monotonic() < deadline
        time.sleep(0.25)  # an address may fail to authenticate twice a second


def opened(running: Running, key: str) -> bool:
    try:
        return bool(running.client(key).models.list().data)
    except openai.AuthenticationError:
        return False


def test_secrets_are_the_owners_alone(tmp_path):
    state = tmp_path / "state"
    with up(state) as running:
        lines = "\n".join(running.parts.values())
        for name in ("demo-keys", "provider/credential", "secrets/peppers", "control/kek", "certs/server.key"):
            assert (state / name).stat().st_mode & 0o077 == 0, name
        for secret in (*running.keys.values(), (state / "provider" / "credential").read_text().strip()):
            assert secret not in lines
            assert all(secret not in file.read_text() for file in (state / "log").iterdir())
        assert state.stat().st_mode & 0o777 == 0o700
        for listening in Path(running.facts["run"]).glob("*.sock"):
            assert listening.stat().st_mode & 0o077 == 0, listening


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", ["valkey-server", "demo-upstream", "ostiary.cli control", "ostiary.cli serve", "envoy.yaml"]
)
def test_a_part_that_dies_ends_everything_with_its_log(tmp_path, part):
    with up(tmp_path / "state") as running:
        os.kill(running.part(part), signal.SIGKILL)
        _, told = running.process.communicate(timeout=END_S)
    assert running.process.returncode == 1
    assert "ended (exit -9)" in told
    assert "The whole log: " in told
    wait_until_gone(running.parts)


@pytest.mark.slow
def test_sigkill_of_up_leaves_no_orphan(tmp_path):
    with up(tmp_path / "state") as running:
        running.process.kill()
        running.process.wait(END_S)
        wait_until_gone(running.parts)


@pytest.mark.slow
def test_a_killed_worker_comes_back(tmp_path):
    with up(tmp_path / "state") as running:
        worker = running.part("ostiary.cli worker")
        os.kill(worker, signal.SIGKILL)
        deadline = time.monotonic() + START_S
        while True:
            ready = httpx.get(f"{running.facts['admin']}/readyz", timeout=10)
            fresh = descendants(running.process.pid).keys() - running.parts.keys()
            if ready.status_code == 200 and fresh:
                break
            assert time.monotonic() < deadline, ready.text
            time.sleep(0.05)
        assert alive(worker) is False
        metrics = httpx.get(f"{running.facts['admin']}/metrics", timeout=10).text
        assert 'ostiary_worker_restarts_total{worker="0"} 1.0' in metrics
        running.parts |= descendants(running.process.pid)
    wait_until_gone(running.parts)


@pytest.mark.slow
def test_a_policy_is_reloaded_on_hup_and_a_broken_one_is_refused(tmp_path):
    with up(tmp_path / "state") as running:
        models = Path(running.facts["policy"]) / "models.yaml"
        good = models.read_text()
        models.write_text(good + "fresh-model: demo\n")
        os.kill(running.part("ostiary.cli serve"), signal.SIGHUP)
        listed = until_listed(running, "fresh-model")
        models.write_text(good + "worse-model: no-such-backend\n")
        os.kill(running.part("ostiary.cli serve"), signal.SIGHUP)
        log = Path(running.facts["logs"]) / "workers.log"
        deadline = time.monotonic() + END_S
        while "policy_refused" not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert [model.id for model in running.client().models.list()] == listed


@pytest.mark.slow
def test_a_backend_and_a_pool_that_are_added_answer_after_one_hup_and_stay(tmp_path):
    def ask(running, model):
        said = running.client().chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}])
        return said.choices[0].message.content

    with up(tmp_path / "state") as running:
        policy = Path(running.facts["policy"])
        backends, models = policy / "backends.yaml", policy / "models.yaml"
        fresh = yaml.safe_load(backends.read_text())
        fresh["mine"] = fresh["demo"]
        good = models.read_text()
        models.write_text(good + "worse-model: no-such-backend\n")
        running.process.send_signal(signal.SIGHUP)
        backends.write_text(json.dumps(fresh))
        models.write_text(good + "my-model: mine\nmy-pool: {backends: [away, mine]}\n")
        running.process.send_signal(signal.SIGHUP)
        until_listed(running, "my-pool")
        assert ask(running, "my-model")
        assert ask(running, "my-pool")
        assert descendants(running.process.pid).keys() == running.parts.keys()
    with up(tmp_path / "state") as running:  # the demo model has another port by now
        until_listed(running, "my-pool")


def until_listed(running: Running, name: str) -> list[str]:
    deadline = time.monotonic() + END_S
    while name not in (listed := [model.id for model in running.client().models.list()]):
        assert time.monotonic() < deadline, listed
        time.sleep(0.05)
    return listed


def test_a_taken_port_is_told_before_anything_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        asked = [word if word != "0" else port for word in command(tmp_path / "state")]
        done = subprocess.run(
            asked, env=environ(), cwd=tmp_path, capture_output=True, text=True, timeout=START_S, check=False
        )
    assert done.returncode == 1
    assert f"port {port}: address already in use" in done.stderr
    assert "--port 0" in done.stderr
    assert "Valkey" not in done.stdout


@pytest.mark.slow
def test_two_cannot_share_a_state_directory(tmp_path):
    with up(tmp_path / "state"):
        done = subprocess.run(
            command(tmp_path / "state"),
            env=environ(),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
    assert done.returncode == 1
    assert "another `ostiary up` uses" in done.stderr


@pytest.mark.slow
def test_a_provider_of_ones_own_takes_the_demos_place(tmp_path):
    (tmp_path / "key").touch(0o600)
    (tmp_path / "key").write_text("sk-mine\n")
    record = tmp_path / "seen.jsonl"
    port_file = tmp_path / "port"
    asked = ["demo-upstream", "--port", "0", "--port-file", str(port_file), "--quiet", "--record", str(record)]
    provider = subprocess.Popen(
        [sys.executable, "-m", "ostiary.cli", *asked, "--require-key", str(tmp_path / "key")],
        env=environ(),
        cwd=tmp_path,
    )
    try:
        deadline = time.monotonic() + END_S
        while not port_file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        options = [
            "--backend",
            f"http://127.0.0.1:{port_file.read_text().strip()}",
            "--credential-file",
            str(tmp_path / "key"),
        ]
        with up(tmp_path / "state", *options) as running:
            assert not [line for line in running.parts.values() if "demo-upstream" in line]
            running.client().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}])
        assert json.loads(record.read_text())["credential"] == "right"
    finally:
        provider.terminate()
        provider.wait(END_S)


@pytest.mark.slow
def test_a_state_directory_with_a_long_path_works(tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    with up(deep / "state") as running:
        assert running.client().models.list().data
        assert len(running.facts["run"]) < 100


@pytest.mark.slow
def test_what_it_prints_can_be_pasted(tmp_path):
    process = subprocess.Popen(
        command(tmp_path / "state"),
        cwd=tmp_path,
        env=environ(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed = ""
        while "Ctrl-C stops everything." not in printed:
            line = process.stdout.readline()
            assert line, printed
            printed += line
        curl = re.search(r"^  (curl .*?\}')$", printed, re.MULTILINE | re.DOTALL)[1]
        snippet = re.search(r"^  (SSL_CERT_FILE=.*?  print\(\)')$", printed, re.MULTILINE | re.DOTALL)[1]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        for pasted in (curl, re.sub(r"\n  ", "\n", snippet)):
            done = subprocess.run(
                ["bash", "-c", pasted], env={"PATH": path}, capture_output=True, text=True, timeout=START_S, check=False
            )
            assert "My card is [CARD] and my mail is [EMAIL]" in done.stdout, done.stderr
    finally:
        process.send_signal(signal.SIGINT)  # Ctrl-C
        told, _ = process.communicate(timeout=END_S)
    assert process.returncode == 0
    assert "everything has stopped" in told
