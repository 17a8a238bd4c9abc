"""What operators see of budgets, through the whole gateway: alerts of a webhook, limits and sums of the admin API."""

import argparse
import json
import ssl

import httpx
import openai
import pytest

import provider
import webhook
from gateway import hook
from gateway.telemetry import metrics
from ostiary import operator
from ostiary.cli import main
from stack import Options, Stack, until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LIMITS = {
    "day": {"tokens": 1000, "per": "day"},
    "each": {"tokens_out": 9000, "per": "month", "scope": ["key", "model"]},
}


@pytest.fixture(scope="module")
def receiver():
    with webhook.receiving(refuses=1) as server:
        yield server


@pytest.fixture(scope="module", params=["exact", "leased"])
def watched(request, short_dir, upstreams, receiver):
    receiver.calls.clear()

    def write(directory):
        tenants = json.loads((directory / "tenants.yaml").read_text())
        tenants["acme"]["budgets"] = {"alerts": [50, 80], "limits": LIMITS}
        (directory / "tenants.yaml").write_text(json.dumps(tenants))
        policy = json.loads((directory / "policy.yaml").read_text())
        url = f"http://127.0.0.1:{receiver.server_port}/api/v2/alerts"
        policy["alert_hook"] = {"url": url, "secret_file": "hook.secret"}
        (directory / "policy.yaml").write_text(json.dumps(policy))
        (directory / "hook.secret").write_text(SECRET)
        (directory / "hook.secret").chmod(0o600)

    with Stack(
        short_dir(), upstreams, Options(policy=write, control=True, settings={"OSTIARY_LEDGER_MODE": request.param})
    ) as running:
        yield running


def answered(tokens):
    """An answer that reports so many tokens of output."""

    async def answer(call):
        usage = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}
        await call.json(provider.chat() | {"usage": usage})

    return answer


def test_a_limit_that_fills_is_told_once_signed_and_again_after_a_failure(watched, receiver, upstream, capsys):
    context = ssl.create_default_context(cafile=str(watched.authority.pem))
    with httpx.Client(verify=context) as web:
        base = f"https://localhost:{watched.port}/v1"
        client = openai.OpenAI(base_url=base, api_key=watched.bundle.keys["acme"], http_client=web, max_retries=5)
        # Of two workers, both see it. In slices some of so small a limit may be with the other: the SDK comes again.
        for _ in range(12):
            marker = upstream.script(answered(47))
            client.chat.completions.create(
                model="gpt-test", messages=[{"role": "user", "content": marker}], max_tokens=60
            )
    until("the alert", lambda: len(receiver.calls) >= 2)
    (first, body, _), (second, again, at_s) = receiver.calls[:2]
    assert (first["webhook-id"], body) == (second["webhook-id"], again)
    assert hook.verify(hook.key_of(SECRET), second, again, at_s) == second["webhook-id"]
    (alert,) = json.loads(again)
    assert alert["labels"] == {
        "alertname": "OstiaryBudget",
        "tenant": "acme",
        "limit": "day",
        "threshold": "50",
        "severity": "warning",
    }
    records = until("its record", lambda: [one for one in watched.audit() if one["method"] == "budget.alert"])
    assert [(one["tenant"], one["details"]["limit"], one["details"]["delivery"]) for one in records] == [
        ("acme", "day", "sent")
    ]
    assert len(receiver.calls) == 2

    arguments = argparse.Namespace(socket=watched.operator_socket, actor="")

    def stand():
        """With slices, what is free in them is held until they have shrunk."""
        found = operator.ask(arguments, "GET", "/admin/v1/budgets/acme")["limits"]
        return found if not any(one["held"] for one in found) else None

    day, each = until("slices to be given back", stand)
    assert (day["used"], day["remaining"]) == (12 * 57, 1000 - 12 * 57)
    assert (each["used"], set(each["subject"])) == (12 * 47, {"key", "model"})
    sums = operator.ask(arguments, "GET", "/admin/v1/usage?by=tenant,key,model,day")
    (group,) = [one for one in sums["groups"] if one["tenant"] == "acme"]
    assert (group["exchanges"], group["tokens_in"] + group["tokens_out"]) == (12, day["used"])
    assert group["key"] == each["subject"]["key"]

    assert main(["budgets", "acme", "--socket", str(watched.operator_socket)]) == 0
    assert "684" in capsys.readouterr().out
    line = 'ostiary_budget_used_ratio{limit="day",tenant="acme"} 0.684'
    assert until("the metric", lambda: line in metrics.render(watched.metrics_dir).decode().splitlines())
