"""Providers' keys out of a real OpenBao through real Envoy: rotated, missed, revoked, and found nowhere but upstream."""

import threading
from functools import partial
from pathlib import Path

import pytest

import aws
import conversing
import openbao_kept
import vaulted
from asking import CHAT, chat
from stack import Options, Stack, until

pytestmark = pytest.mark.slow
WORKERS = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with openbao_kept.kept(tmp_path_factory.mktemp("bao")) as running:
        yield running


@pytest.fixture(scope="module")
def approle(server):
    made = vaulted.prepare(server.bao)
    vaulted.put(server.bao, vaulted.new_key())
    return made


@pytest.fixture(scope="module")
def guarded(short_dir, upstreams, server, approle):
    change = partial(vaulted.into_policy, address=server.bao.url, approle=approle)
    with Stack(short_dir(), upstreams, Options(workers=WORKERS, policy=change)) as running:
        yield running
        assert "Traceback" not in running.logs()


def ask(stack, marker):
    return stack.client().post(CHAT, chat(f"hello {marker}"))


def answered_by(stack, answers):
    """The workers that judged these exchanges: each writes a trail of its own, and Envoy chooses by chance."""
    ids = {answer.header("x-request-id").encode() for answer in answers}
    trails = {index: (stack.audit_dir / f"worker-{index}.jsonl").read_bytes() for index in range(WORKERS)}
    return {index for index, trail in trails.items() if any(one in trail for one in ids)}


def served(stack, upstream, key):
    """Wait until every worker was seen to send the key, and none another one."""

    def all_have_it():
        marker = upstream.script()
        answers = [ask(stack, marker) for _ in range(4 * WORKERS)]
        sent = [seen.header("authorization") for seen in upstream.seen(marker)]
        stack.record(answers[-1])  # the last one's record is there, so all of its worker's are
        everyone = answered_by(stack, answers) == set(range(WORKERS))
        return everyone and all(one.status == 200 for one in answers) and set(sent) == {f"Bearer {key}"}

    return until("the key in every worker", all_have_it, 30)


def rotate(server, stack, upstream):
    key = vaulted.new_key()
    vaulted.put(server.bao, key)
    served(stack, upstream, key)
    return key


def test_a_rotation_under_load_fails_no_request_and_the_provider_sees_old_then_new(guarded, server, upstream):
    old, new = rotate(server, guarded, upstream), vaulted.new_key()
    marker, stop, statuses = upstream.script(), threading.Event(), []

    def load():
        client = guarded.client()
        while not stop.is_set():
            statuses.append(client.post(CHAT, chat(f"hello {marker}")).status)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        until("some requests with the old key", lambda: len(upstream.seen(marker)) >= 20)
        vaulted.put(server.bao, new)
        served(guarded, upstream, new)
        after = len(upstream.seen(marker))
        until("some with the new one", lambda: len(upstream.seen(marker)) >= after + 20)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    sent = [seen.header("authorization") for seen in upstream.seen(marker)]
    assert set(statuses) == {200}
    assert len(sent) == len(statuses)
    assert set(sent) == {f"Bearer {old}", f"Bearer {new}"}
    assert sent[0] == f"Bearer {old}"
    assert set(sent[after:]) == {f"Bearer {new}"}


def test_requests_are_signed_with_keys_of_the_vault_and_with_the_new_ones_after_a_rotation(guarded, server, upstream):
    async def answers(call):
        await call.json(conversing.answer({"text": "Hello."}))

    for secret in (f"{vaulted.new_key()}/a", f"{vaulted.new_key()}+b"):
        vaulted.put_aws(server.bao, aws.KEY_ID, secret)
        taken = conversing.signed(answers, secret=secret)  # whoever signs with another one is refused with 403

        def all_sign(taken=taken):
            marker = upstream.script(taken)
            body = chat(f"hello {marker}", model=vaulted.SIGNED_MODEL)
            told = [guarded.client().post(CHAT, body) for _ in range(4 * WORKERS)]
            guarded.record(told[-1])
            assert {answer.status for answer in told} <= {200, 503}
            return answered_by(guarded, told) == set(range(WORKERS)) and all(one.status == 200 for one in told)

        until("signatures of every worker", all_sign, 30)
        assert secret.encode() not in guarded.admin("/config_dump")
        assert secret not in guarded.logs()


def test_while_the_vault_is_sealed_the_key_counts_until_it_is_stale_and_then_nothing_leaves(guarded, server, upstream):
    rotate(server, guarded, upstream)
    server.seal()
    try:
        assert ask(guarded, upstream.script()).status == 200

        def refused():
            marker = upstream.script()
            answers = [ask(guarded, marker) for _ in range(4 * WORKERS)]
            if any(answer.status != 503 for answer in answers) or upstream.seen(marker):
                return None
            guarded.record(answers[-1])
            return answers[0] if answered_by(guarded, answers) == set(range(WORKERS)) else None

        answer = until("the end of the key", refused, 30)
        assert answer.code == "backend_unavailable"
        assert answer.header("retry-after")
        assert "no credential for backend main" in guarded.record(answer)["reason"]
    finally:
        server.unseal()
    rotate(server, guarded, upstream)  # comes back by itself


def test_revoked_tokens_are_replaced_by_a_login(guarded, server, upstream):
    rotate(server, guarded, upstream)
    before = guarded.logs().count("vault_login")
    server.bao.call("sys/leases/revoke-prefix/auth/approle/login", {})
    # The vault revokes a prefix in the background: a worker may read once more with a token that is about to end.
    until("a login of each worker", lambda: guarded.logs().count("vault_login") >= before + WORKERS)
    rotate(server, guarded, upstream)


def test_workers_that_start_without_their_vault_serve_once_it_is_there(guarded, server, upstream):
    key = rotate(server, guarded, upstream)
    server.stop()
    for index in range(WORKERS):
        assert guarded.workers[index].end()
        guarded.start_worker(index)
    try:
        marker = upstream.script()
        answer = until("an answer", lambda: (found := ask(guarded, marker)).code == "backend_unavailable" and found, 30)
        assert answer.status == 503
        assert not upstream.seen(marker)
    finally:
        server.start()
        server.unseal()
    served(guarded, upstream, key)


def test_no_key_and_no_token_of_the_vault_is_found_anywhere(guarded, server, approle, upstream):
    keys = [rotate(server, guarded, upstream) for _ in range(2)]
    marker = upstream.script()
    ask(guarded, marker)
    secrets = [key.encode() for key in keys] + [approle.secret_id.encode(), server.bao.token.encode()]
    assert upstream.one(marker).header("authorization") == f"Bearer {keys[-1]}"
    places = {f"envoy {path}": guarded.admin(path) for path in ("/config_dump", "/clusters", "/stats", "/server_info")}
    own = {child.name: child.pid for child in (guarded.envoy, *guarded.workers.values())}
    for name, pid in own.items():
        for file in ("environ", "cmdline"):
            places[f"{name} {file}"] = Path(f"/proc/{pid}/{file}").read_bytes()
    inputs = {guarded.bundle.directory / "secret-id"}
    for file in guarded.root.rglob("*"):
        if file.is_file() and file not in inputs:
            places[str(file)] = file.read_bytes()
    assert len(places) > 20
    found = [
        (place, number) for place, data in places.items() for number, secret in enumerate(secrets) if secret in data
    ]
    assert found == []
    for index in range(WORKERS):
        limits = Path(f"/proc/{guarded.workers[index].pid}/limits").read_text()
        assert "Max core file size        0                    0" in limits
