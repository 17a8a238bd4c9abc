"""A ledger that lost what it knew, and a worker that died between record and charge: the records make both good."""

import concurrent.futures
import contextlib
import json
import os
import signal

import pytest

import provider
import valkey_server
from ostiary import reconcile
from ostiary.cli import main
from stack import Options, Stack, until
from upstream import Gate

CHAT = "/v1/chat/completions"
EACH = 57  # tokens of the scripted answer, as it reports them
LIMITS = {
    "day": {"tokens": 20_000, "per": "day"},
    "hours": {"tokens": 20_000, "window_s": 21_600},
    "each": {"tokens_out": 9_000, "per": "month", "scope": ["key", "model"]},
}


async def answered(call):
    usage = {"prompt_tokens": 10, "completion_tokens": EACH - 10, "total_tokens": EACH}
    await call.json(provider.chat() | {"usage": usage})


class Ledger:
    """A Valkey for budgets alone, so that the registry stays where it is. What it acknowledged outlives a kill."""

    def __init__(self, directory):
        self.directory, self.valkey, self._life = directory, None, contextlib.ExitStack()

    def start(self):
        running = valkey_server.running(self.directory, "--appendonly", "yes", "--appendfsync", "always")
        self.valkey = self._life.enter_context(running)

    def kill(self):
        os.kill(self.valkey.process.pid, signal.SIGKILL)
        self.close()

    def close(self):
        self._life.close()

    async def forget(self):
        client = self.valkey.client()
        await client.flushall()
        await client.aclose()


@pytest.fixture(params=["exact", "leased"])
def gateway(request, short_dir, upstreams):
    def write(directory):
        tenants = json.loads((directory / "tenants.yaml").read_text())
        tenants["acme"]["budgets"] = {"limits": LIMITS}
        (directory / "tenants.yaml").write_text(json.dumps(tenants))

    ledger = Ledger(short_dir())
    ledger.start()
    url = f"unix://{ledger.directory / valkey_server.SOCKET}"
    settings = {"OSTIARY_LEDGER_URL": url, "OSTIARY_LEDGER_MODE": request.param}
    try:
        with Stack(
            short_dir(), upstreams, Options(policy=write, control=True, workers=1, settings=settings)
        ) as running:
            running.ledger = ledger
            yield running
    finally:
        ledger.close()


def ask(gateway, upstream, count):
    for _ in range(count):
        assert chat(gateway, upstream.script(answered)).status == 200


def chat(gateway, marker):
    body = {"model": "gpt-test", "max_tokens": 60, "messages": [{"role": "user", "content": marker}]}
    return gateway.client("acme").post(CHAT, body)


def stand(gateway):
    """Used of the day, of the six hours, and of the key with the model, as soon as nothing is held."""
    limits = gateway.operate("GET", "/admin/v1/budgets/acme")["limits"]
    if any(one["held"] for one in limits):
        return None
    used = {one["limit"]: one["used"] for one in limits}
    return used["day"], used["hours"], used.get("each", 0)


def settled(gateway, exchanges):
    wanted = (exchanges * EACH, exchanges * EACH, exchanges * (EACH - 10))
    until(f"{exchanges} exchanges in the ledger", lambda: stand(gateway) == wanted, 40)
    recorded(gateway, exchanges)  # which may reach the disk later than the ledger


def recorded(gateway, exchanges):
    until("their records", lambda: sum(one["usage"] is not None for one in gateway.audit()) == exchanges)


def reconciled(gateway, capsys, *words):
    """Exit code, and lacking and restored of each limit."""
    capsys.readouterr()
    code = main(
        ["reconcile", "--audit", str(gateway.audit_dir), "--policy", str(gateway.bundle.directory), "--json",
         "--socket", str(gateway.operator_socket), *words]
    )  # fmt: skip
    told = [one for one in json.loads(capsys.readouterr().out)["limits"] if one["tenant"] == "acme"]
    return code, {one["limit"]: (one["recorded"] - one["used"], one["restored"]) for one in told}


@pytest.mark.slow
async def test_a_wiped_ledger_is_made_whole_once_while_exchanges_go_on(gateway, upstream, capsys, monkeypatch):
    # Every settlement below has reached the ledger before it is asked: no need to wait for any.
    monkeypatch.setattr(reconcile, "SETTLING_S", 0.0)
    ask(gateway, upstream, 6)
    settled(gateway, 6)
    assert reconciled(gateway, capsys) == (0, {"day": (0, 0), "hours": (0, 0), "each": (0, 0)})
    await gateway.ledger.forget()
    assert reconciled(gateway, capsys)[0] == 1
    code, told = reconciled(gateway, capsys, "--apply", "--reason", "wiped")
    assert (code, told["day"], told["each"]) == (0, (6 * EACH, 6 * EACH), (6 * (EACH - 10), 6 * (EACH - 10)))
    ask(gateway, upstream, 4)
    settled(gateway, 10)
    assert reconciled(gateway, capsys, "--apply") == (0, {"day": (0, 0), "hours": (0, 0), "each": (0, 0)})
    settled(gateway, 10)
    records = [one for one in gateway.audit() if one["method"] == "budget.reconcile" and one["reason"] == "wiped"]
    assert [one["details"]["subject"] for one in records] == ["restored: 0", "restored: 3"]


@pytest.mark.slow
async def test_what_a_killed_worker_had_on_record_and_not_charged_is_restored(gateway, upstream, capsys, monkeypatch):
    monkeypatch.setattr(reconcile, "SETTLING_S", 0.0)
    ask(gateway, upstream, 3)
    settled(gateway, 3)
    gate = Gate()

    async def late(call):
        await gate.passed()
        await answered(call)

    marker = upstream.script(late)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(chat, gateway, marker)
        upstream.wait_seen(marker)
        gateway.ledger.kill()
        gate.open()
        assert answer.result().status == 200
    recorded(gateway, 4)
    gateway.kill_worker(0)
    gateway.ledger.start()
    gateway.start_worker(0)
    lacking = {"day": (EACH, 0), "hours": (EACH, 0), "each": (EACH - 10, 0)}
    assert reconciled(gateway, capsys) == (1, lacking)
    restored = {name: (much, much) for name, (much, _) in lacking.items()}
    assert reconciled(gateway, capsys, "--apply") == (0, restored)
    assert reconciled(gateway, capsys) == (0, dict.fromkeys(lacking, (0, 0)))
