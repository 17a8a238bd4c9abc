"""The cache when others have a hand in it: entries that were changed or moved, a Valkey that is away, a policy that turns."""

import asyncio
import json
import signal

import pytest

import provider
from asking import CHAT, chat
from stack import Options, Stack, until

HIT, MISS = "hit", "miss"
#: Looks may take as long as a loaded machine does.
CACHED = {"models": ["*"], "routes": ["*"], "cache": {"wait_ms": 30000, "deadline_ms": 5000}}
TENANTS = {
    "acme": CACHED,
    "narrow": CACHED,
    "strict": CACHED | {"cache": {"ttl_s": 1}},
    "watched": CACHED | {"cache": {"deadline_ms": 100}},
}


@pytest.fixture(scope="module")
def caching(short_dir, upstreams):
    def write(directory):
        tenants = json.loads((directory / "tenants.yaml").read_text())
        (directory / "tenants.yaml").write_text(json.dumps(tenants | TENANTS))

    with Stack(short_dir(), upstreams, Options(policy=write, control=True, workers=1)) as running:
        yield running
        assert "Traceback" not in running.logs()
        assert "task_crashed" not in running.logs()


@pytest.fixture
def ask(caching):
    def ask(text, key="acme"):
        answer = caching.client(key).post(CHAT, chat(text))
        assert answer.status == 200, answer.body
        assert answer.json["choices"][0]["message"]["content"] == provider.REPLY
        return answer.header("x-ostiary-cache")

    return ask


@pytest.fixture
async def valkey(caching):
    client = caching.valkey.client()
    yield client
    await client.aclose()


async def entries(valkey, tenant):
    return {name async for name in valkey.scan_iter(match=f"ostiary:{{{tenant}}}:cache:entry:*", count=1000)}


async def kept(valkey, ask, text, tenant="acme"):
    """Ask twice; the name of the entry that this makes."""
    before = await entries(valkey, tenant)
    assert [ask(text, tenant) for _ in range(2)] == [MISS, HIT]
    (name,) = await entries(valkey, tenant) - before
    return name


async def until_kept(valkey, name, before):
    """Wait until the gateway has put its own entry where `before` was."""
    async with asyncio.timeout(20):
        while await valkey.get(name) in (before, None):
            await asyncio.sleep(0.01)


async def test_whoever_writes_to_valkey_can_plant_nothing(caching, ask, upstream, valkey):
    marker, other = upstream.script(), upstream.script()
    mine = await kept(valkey, ask, f"mine {marker}")
    theirs = await kept(valkey, ask, f"theirs {other}")
    elsewhere = await kept(valkey, ask, f"mine {marker}", "narrow")
    sealed = await valkey.get(mine)
    forged = [
        sealed[:-1] + bytes([sealed[-1] ^ 1]),  # a changed byte
        sealed[:13] + await valkey.getrange(theirs, 13, -1),  # another answer of the same tenant
        await valkey.get(theirs),
        await valkey.get(elsewhere),  # the same question of another tenant
        b"%013d" % (int(sealed[:13]) + 60_000) + sealed[13:],  # made younger, past a mark
        sealed[:20],
        b"x",
        b"",
    ]
    asked = len(upstream.seen(marker))
    for number, value in enumerate(forged, 1):
        await valkey.set(mine, value, px=60_000)
        assert ask(f"mine {marker}") == MISS, value[:20]
        assert len(upstream.seen(marker)) == asked + number
        # The answer that was fetched instead takes its place, a little after its caller has it: the next
        # forgery has to come after that, or what is found is the gateway's own.
        await until_kept(valkey, mine, value)
    assert caching.logs().count("cache_entry_refused") == len(forged)
    assert ask(f"theirs {other}") == HIT


def test_an_entry_ends_with_its_life(ask, upstream):
    marker = upstream.script()
    text = f"short {marker}"
    assert ask(text, "strict") == MISS
    until("the end of the entry", lambda: ask(text, "strict") == MISS)
    assert len(upstream.seen(marker)) == 2


async def test_a_new_policy_begins_with_an_empty_cache(caching, ask, upstream, valkey):
    marker = upstream.script()
    text = f"policy {marker}"
    await kept(valkey, ask, text)
    file = caching.bundle.directory / "tenants.yaml"
    tenants = json.loads(file.read_text())
    tenants["acme"]["guards"] = {"response": {"pii.email": "block"}}
    file.write_text(json.dumps(tenants))
    for worker in caching.workers.values():
        worker.process.send_signal(signal.SIGHUP)
    until("the new policy", lambda: caching.logs().count("policy_activated") >= len(caching.workers))
    assert [ask(text), ask(text)] == [MISS, HIT]
    assert len(upstream.seen(marker)) == 2


def test_without_valkey_every_request_reaches_its_provider(caching, ask, upstream):
    marker = upstream.script()
    caching.valkey.process.send_signal(signal.SIGSTOP)
    try:
        assert [ask(f"away {marker}", "watched") for _ in range(12)] == [MISS] * 12
    finally:
        caching.valkey.process.send_signal(signal.SIGCONT)
    assert len(upstream.seen(marker)) == 12
    assert "cache_not_asked" in caching.logs()
    until("hits again", lambda: ask(f"back {marker}", "watched") == HIT, 60)
