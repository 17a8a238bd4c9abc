"""A provider's key out of AWS Secrets Manager through real Envoy: rotated, refused, kept in an outage, found nowhere."""

import json
import threading
from functools import partial

import pytest

import aws
import managing
import scanning
import vaulted
from asking import CHAT, chat
from stack import Options, Stack, until

pytestmark = pytest.mark.slow
REFRESH_S = 1


@pytest.fixture(scope="module")
def endpoint():
    with managing.SecretsManagerEndpoint() as running:
        put(running, vaulted.new_key())
        yield running


def put(endpoint, key):
    endpoint.put(json.dumps({"key": key, "user": "gateway"}))
    return key


def into_policy(directory, url):
    managing.write_key(directory)
    root = json.loads((directory / "policy.yaml").read_text())
    root["secrets_manager"] = managing.section(url, refresh_s=REFRESH_S)
    (directory / "policy.yaml").write_text(json.dumps(root))
    backends = json.loads((directory / "backends.yaml").read_text())
    backends["main"]["credential"] = {"secrets_manager": {"secret": managing.NAME, "field": "key"}}
    (directory / "backends.yaml").write_text(json.dumps(backends))


@pytest.fixture(scope="module")
def gateway(short_dir, upstreams, endpoint):
    change = partial(into_policy, url=endpoint.url)
    with Stack(short_dir(), upstreams, Options(workers=1, policy=change)) as running:
        yield running
        assert "Traceback" not in running.logs()


def sent_by(gateway, upstream):
    """The status of one exchange, and what the provider was sent as its key."""
    marker = upstream.script()
    status = gateway.client().post(CHAT, chat(f"hello {marker}")).status
    return status, [seen.header("authorization") for seen in upstream.seen(marker)]


def rotate(gateway, endpoint, upstream):
    key = put(endpoint, vaulted.new_key())
    until("the new key at the provider", lambda: sent_by(gateway, upstream) == (200, [f"Bearer {key}"]), 30)
    return key


def test_a_key_that_is_rotated_under_load_fails_no_request(gateway, endpoint, upstream):
    old = rotate(gateway, endpoint, upstream)
    marker, stop, statuses = upstream.script(), threading.Event(), []

    def load():
        client = gateway.client()
        while not stop.is_set():
            statuses.append(client.post(CHAT, chat(f"hello {marker}")).status)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        until("some requests with the old key", lambda: len(upstream.seen(marker)) >= 10)
        new = put(endpoint, vaulted.new_key())
        sent = lambda: [seen.header("authorization") for seen in upstream.seen(marker)]  # noqa: E731
        until("some with the new one", lambda: sent().count(f"Bearer {new}") >= 10, 30)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert set(statuses) == {200}
    assert len(sent()) == len(statuses)
    assert set(sent()) == {f"Bearer {old}", f"Bearer {new}"}
    assert sent()[0] == f"Bearer {old}"
    assert endpoint.refusals == []


def test_while_aws_throttles_the_key_serves_on_and_the_next_one_comes_by_itself(gateway, endpoint, upstream):
    key = rotate(gateway, endpoint, upstream)
    endpoint.faults[""] = (400, "ThrottlingException")
    try:
        put(endpoint, vaulted.new_key())
        until("the log of the outage", lambda: "ThrottlingException" in gateway.logs(), 30)
        assert sent_by(gateway, upstream) == (200, [f"Bearer {key}"])
    finally:
        endpoint.faults.clear()
    rotate(gateway, endpoint, upstream)


def test_no_key_of_the_secrets_manager_is_found_anywhere(gateway, endpoint, upstream):
    hidden = [each.encode() for each in (rotate(gateway, endpoint, upstream), rotate(gateway, endpoint, upstream))]
    hidden.append(aws.SECRET.encode())
    found = scanning.places(gateway, {gateway.bundle.directory / "aws.key"})
    assert len(found) > 15
    assert [
        (place, number) for place, data in found.items() for number, each in enumerate(hidden) if each in data
    ] == []
