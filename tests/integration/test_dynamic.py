"""Backends and pools come, change and go while a real Envoy serves from files that it watches."""

import contextlib
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
import yaml

import bundle
import provider
from asking import CHAT, chat, stream_errors, told
from control.edge import dynamic
from gateway.clock import SystemClock
from gateway.policy.load import load
from ostiary import edgefiles
from ostiary.problem import Problem
from rawhttp import request_bytes
from stack import Options, Stack, until
from upstream import Gate

SSE = [("content-type", "text/event-stream")]
RDS = "http.ostiary.rds.ostiary"
CDS = "cluster_manager.cds"


class Moving(Stack):
    """A stack whose Envoy takes clusters and routes from `dynamic/`."""

    @property
    def directory(self) -> Path:
        return self.root / "dynamic"

    def configure(self) -> Path:
        self.publish()
        return self.root / "envoy.yaml"

    def publish(self, parts=None):
        """What `ostiary envoy render --dynamic` does."""
        policy = load(self.bundle.directory, rules=bundle.POLICY_IDS)
        return edgefiles.publish(
            parts or dynamic.parts(bundle.edge_spec(self), policy, str(self.directory)),
            bootstrap=self.root / "envoy.yaml",
            directory=self.directory,
            admin=self.admin_socket,
            version=policy.version,
            clock=SystemClock(),
        )

    def reload(self):
        """SIGHUP, and wait until every worker has the policy."""
        count = self.logs().count("policy_activated")
        for worker in self.workers.values():
            os.kill(worker.pid, signal.SIGHUP)
        wanted = count + len(self.workers)
        until("the new policy", lambda: self.logs().count("policy_activated") >= wanted)

    def read(self, name):
        return orjson.loads((self.bundle.directory / name).read_bytes())

    def write(self, name, content):
        (self.bundle.directory / name).write_bytes(orjson.dumps(content))

    def add(self, backends, models):
        self.write("backends.yaml", self.read("backends.yaml") | backends)
        self.write("models.yaml", self.read("models.yaml") | models)

    def remove(self, backends, models):
        for file, names in (("models.yaml", models), ("backends.yaml", backends)):
            self.write(file, {name: what for name, what in self.read(file).items() if name not in names})

    def ask(self, model, marker):
        return self.client().post(CHAT, chat(f"Hello {marker}", model=model), timeout_s=20)

    def clusters(self):
        return {line.partition("::")[0] for line in self.admin("/clusters").decode().splitlines()}


@pytest.fixture(scope="module")
def moving(short_dir, upstreams):
    with Moving(short_dir(), upstreams, Options(workers=1)) as running:
        yield running
        assert "Traceback" not in running.logs()


@contextlib.contextmanager
def asking(moving, marker):
    """A client that keeps asking a backend that nothing changes."""
    stop, statuses = threading.Event(), []

    def load():
        while not stop.is_set():
            statuses.append(moving.ask("gpt-test", marker).status)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join(30)
    assert set(statuses) == {200}


@contextlib.contextmanager
def streaming(moving, upstream, model):
    """An answer that has begun; it ends when the block does."""
    go = Gate()

    async def slowly(call):
        data = provider.stream(["words that came before. " * 20, "and those after."])
        cut = data.index(b"data: ", data.index(b"before"))
        await call.head(200, SSE)
        await call.chunk(data[:cut])
        await go.passed(60)
        await call.chunk(data[cut:])
        await call.end()

    marker = upstream.script(slowly)
    client = moving.client()
    with client.open() as conn:
        body = orjson.dumps(chat(f"Hello {marker}", model=model, stream=True))
        conn.send(client_request(client, body))
        answer = conn.rest(conn.head(), until=b"before")
        yield lambda: (go.open(), conn.rest(answer, timeout_s=30))[1]
        go.open()


def client_request(client, body):
    headers = [*client.headers, ("content-type", "application/json")]
    return request_bytes("POST", CHAT, headers, body)


def late(moving, upstream):
    return {"late": {"url": f"http://127.0.0.1:{upstream.port}/base-late", "credential": {"file": "main.key"}}}


def test_a_backend_and_a_pool_come_and_go_while_a_client_asks(moving, upstreams):
    envoy = moving.envoy.pid
    marker, other = upstreams["main"].script(), upstreams["other"].script()
    with asking(moving, marker) as statuses:
        assert moving.ask("gpt-late", other).status == 404
        moving.add(late(moving, upstreams["other"]), {"gpt-late": "late", "pool-late": {"backends": ["dead", "late"]}})
        done = moving.publish()
        assert (done.live, done.restart) == (True, False)
        moving.reload()
        # No patience: Envoy had both before any worker sent anybody there.
        assert [moving.ask(model, other).status for model in ("gpt-late", "pool-late")] == [200, 200]
        assert "be-late" in moving.clusters()
        seen = len(statuses)
        until("more requests", lambda: len(statuses) > seen + 5)
        moving.remove({"late"}, {"gpt-late", "pool-late"})
        moving.reload()
        moving.publish()
        assert moving.ask("gpt-late", other).status == 404
        until("the end of its clusters", lambda: not [name for name in moving.clusters() if "late" in name])
        seen = len(statuses)
        until("more requests", lambda: len(statuses) > seen + 5)
    assert moving.envoy.pid == envoy
    assert moving.envoy.alive
    assert {seen.target for seen in upstreams["other"].seen(other)} == {"/base-late/v1/chat/completions"}


@pytest.mark.parametrize("change", ["another", "moved", "removed"])
def test_a_stream_that_is_open_goes_on(moving, upstreams, change):
    moving.add(late(moving, upstreams["main"]), {"gpt-late": "late"})
    moving.publish()
    moving.reload()
    with streaming(moving, upstreams["main"], "gpt-late") as ended:
        if change == "another":
            moving.add({"more": {"url": "http://127.0.0.1:9"}}, {"gpt-more": "more"})
        elif change == "moved":
            moving.add(late(moving, upstreams["other"]), {})
        else:
            moving.remove({"late"}, {"gpt-late"})
        moving.reload()
        moving.publish()
        answer = ended()
    assert told(answer.body).endswith("those after.")
    assert not answer.broken
    assert not stream_errors(answer.body)
    moving.remove({"late", "more"}, {"gpt-late", "gpt-more"})
    moving.publish()
    moving.reload()


def _no_yaml(text):
    return "resources: ["


def _no_time(text):
    """A cluster that Envoy's validation refuses."""
    data = yaml.safe_load(text)
    data["version_info"] = "bad"
    data["resources"][-1]["connect_timeout"] = "-1s"
    return yaml.safe_dump(data)


def _two_wildcards(text):
    """A table that the linter has nothing against, and Envoy refuses."""
    data = yaml.safe_load(text)
    data["version_info"] = "bad"
    hosts = data["resources"][0]["virtual_hosts"]
    hosts.append(hosts[0] | {"name": "again"})
    return yaml.safe_dump(data)


@pytest.mark.parametrize(
    ("name", "breaks", "counter"),
    [
        (dynamic.CLUSTERS, _no_yaml, f"{CDS}.update_failure"),
        (dynamic.CLUSTERS, _no_time, f"{CDS}.update_rejected"),
        (dynamic.ROUTES, _no_yaml, f"{RDS}.update_failure"),
        (dynamic.ROUTES, _two_wildcards, f"{RDS}.update_rejected"),
    ],
)
def test_a_broken_file_is_refused_and_the_old_one_serves(moving, upstreams, name, breaks, counter):
    marker = upstreams["main"].script()
    file = moving.directory / name
    good = file.read_text()
    before = moving.envoy_stats(counter)[counter]
    with asking(moving, marker) as statuses:
        fresh = moving.root / "fresh"
        fresh.write_text(breaks(good))
        fresh.replace(file)
        until("its refusal", lambda: moving.envoy_stats(counter)[counter] > before)
        seen = len(statuses)
        until("more requests", lambda: len(statuses) > seen + 5)
        assert moving.publish().live
    assert file.read_text() == good


def test_what_envoy_refuses_is_taken_back(moving, upstreams):
    policy = load(moving.bundle.directory, rules=bundle.POLICY_IDS)
    parts = dynamic.parts(bundle.edge_spec(moving), policy, str(moving.directory))
    moving.publish()
    kept = {file.name: file.read_text() for file in moving.directory.iterdir()}
    assert kept == {dynamic.CLUSTERS: parts.clusters.text, dynamic.ROUTES: parts.routes.text}
    bad = replace(parts, routes=replace(parts.routes, text=_two_wildcards(parts.routes.text), version="bad"))
    with pytest.raises(Problem, match="did not take the new routes: it goes on with the old ones"):
        moving.publish(bad)
    assert {file.name: file.read_text() for file in moving.directory.iterdir()} == kept
    assert moving.ask("gpt-test", upstreams["main"].script()).status == 200
