"""A service that judges requests, through real Envoy: its word refuses, its silence refuses or passes as policy says."""

import http.server
import json
import threading

import pytest

from stack import Options, Stack

CHAT = "/v1/chat/completions"


class Service:
    """A scripted adviser on loopback: finds what holds the word "forbidden"; can be slow, or talk nonsense."""

    def __init__(self):
        self.mode, self.seen = "right", []
        self.wake = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.seen.append((self.headers.get("x-guard-key"), asked))
                if outer.mode == "slow":
                    outer.wake.wait(5)
                found = [
                    {"rule": "topic.forbidden", "text": at, "score": 0.97}
                    for at, text in enumerate(asked["texts"])
                    if "forbidden" in text["text"]
                ]
                body = json.dumps({"schema": "ostiary.advice/1", "findings": found}).encode()
                if outer.mode == "nonsense":
                    body = b"<html>"
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/v1/advice"

    def stop(self):
        self.wake.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def service():
    made = Service()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def advised(short_dir, upstreams, service):
    def write(directory):
        (directory / "guard.key").write_text("g-secret")
        (directory / "guard.key").chmod(0o600)
        (directory / "advisers.yaml").write_text(
            f"outside: {{url: '{service.url}', credential: {{file: guard.key, header: x-guard-key}}, deadline_ms: 2000}}\n"
        )

        root = json.loads((directory / "policy.yaml").read_text())
        root["guards"]["request"]["advice.outside"] = "block"
        (directory / "policy.yaml").write_text(json.dumps(root))

    with Stack(short_dir(), upstreams, Options(policy=write)) as running:
        yield running


def say(running, text, **more):
    body = {"model": "gpt-test", "messages": [{"role": "user", "content": text}], **more}
    return running.client().post(CHAT, body)


def test_its_word_refuses_before_the_provider_hears_a_byte(advised, service, upstream):
    service.mode = "right"
    marker = upstream.script()
    answer = say(advised, f"{marker} something forbidden")
    assert (answer.status, answer.code) == (403, "request_blocked")
    assert not upstream.seen(marker)
    record = advised.record(answer)
    assert (record["reason"], record["found"][-1]["rule"]) == ("advice.outside", "advice.outside")


def test_it_is_told_what_is_left_after_redaction_with_its_own_credential(advised, service, upstream):
    service.mode = "right"
    marker = upstream.script()
    assert say(advised, f"{marker} write to bob@example.com").status == 200
    key, asked = service.seen[-1]
    assert key == "g-secret"
    assert "bob@example.com" not in json.dumps(asked)
    assert "[EMAIL]" in asked["texts"][0]["text"]
    assert asked["tenant"] == "acme"


@pytest.mark.parametrize("mode", ["slow", "nonsense"])
def test_its_silence_refuses(advised, service, upstream, mode):
    service.mode = mode
    marker = upstream.script()
    answer = say(advised, f"{marker} hello")
    service.mode = "right"
    assert (answer.status, answer.code) == (503, "advice_unavailable")
    assert not upstream.seen(marker)
    assert advised.record(answer)["reason"].startswith("outside: ")
