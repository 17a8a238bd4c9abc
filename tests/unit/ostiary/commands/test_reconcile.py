"""`ostiary reconcile`: what is asked of control, in what order, and what people are told."""

import json

import pytest

from gateway.audit.record import Record, Usage
from gateway.clock import SystemClock
from ostiary import cli, operator, reconcile

POLICY = {
    "policy.yaml": "name: test\n",
    "backends.yaml": "demo: {url: 'http://127.0.0.1:8091'}\n",
    "models.yaml": "gpt: demo\n",
    "tenants.yaml": """
acme: {models: '*', routes: '*', budgets: {limits: {hour: {tokens: 1000, window_s: 3600}, minute: {tokens: 9, per: minute}}}}
globex: {models: '*', routes: '*', budgets: {limits: {each: {tokens: 1000, window_s: 3600, scope: key}}}}
""",
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Files, and a control whose ledger has used 60 tokens of every limit."""
    for name, text in POLICY.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "audit").mkdir()
    now_s = SystemClock().now()
    lines = [
        Record(
            writer="inspect", request_id=f"r{tenant}{number}", started_at=now_s - 60, duration_s=1.0, tenant=tenant,
            key_id="=cmd()", model="gpt", backend="demo", usage=Usage(input_tokens=50, output_tokens=5),
        ).line()
        for tenant in ("acme", "globex")
        for number in range(2)
    ]  # fmt: skip
    (tmp_path / "audit" / "worker-0.jsonl").write_bytes(b"".join(lines))
    asked = []

    def ask(arguments, method, path, body=None):
        asked.append((method, path, body["apply"], [one["limit"] for one in body["claims"]]))
        json.dumps(body)
        return {
            "limits": [
                {"limit": one["limit"], "subject": one["subject"], "counts": "tokens", "amount": 1000, "used": 60,
                 "recorded": (said := sum(amount for _, amount in one["uses"])),
                 "restored": max(said - 60, 0) if body["apply"] else 0}
                for one in body["claims"]
            ]
        }  # fmt: skip

    monkeypatch.setattr(operator, "ask", ask)
    monkeypatch.setattr(reconcile, "SETTLING_S", 0.0)

    def run(*words):
        return cli.main(["reconcile", "--policy", str(tmp_path), "--audit", str(tmp_path / "audit"), *words])

    run.asked, run.directory = asked, tmp_path
    return run


def path(tenant):
    return f"/admin/v1/budgets/{tenant}/reconcile"


def test_a_comparison_asks_for_nothing_to_be_changed_and_fails_where_something_is_lacking(site, capsys):
    assert site() == 1
    assert site.asked == [("POST", path("acme"), False, ["hour"]), ("POST", path("globex"), False, ["each"])]
    head, acme, globex = capsys.readouterr().out.splitlines()
    assert head.split() == ["TENANT", "LIMIT", "OF", "COUNTS", "RECORDED", "LEDGER", "LACKING", "RESTORED"]
    assert acme.split() == ["acme", "hour", "-", "tokens", "110", "60", "50", "0"]
    assert globex.split()[:3] == ["globex", "each", "key==cmd()"]


def test_with_apply_it_compares_waits_and_restores(site, capsys):
    assert site("--apply", "--tenant", "acme", "--json") == 0
    assert [one[2] for one in site.asked] == [False, True]
    told = capsys.readouterr()
    assert "waiting" in told.err
    assert [one["restored"] for one in json.loads(told.out)["limits"]] == [50]


def test_a_ledger_that_lacks_nothing_is_left_alone(site):
    (site.directory / "audit" / "worker-0.jsonl").write_bytes(b"")
    assert site("--apply") == 0
    assert {one[2] for one in site.asked} == {False}


def test_a_copy_of_the_files_counts_nothing_twice(site, capsys):
    copy = site.directory / "copy"
    copy.mkdir()
    (copy / "worker-0.jsonl").write_bytes((site.directory / "audit" / "worker-0.jsonl").read_bytes())
    assert site("--audit", str(copy), "--limit", "hour", "--json") == 1
    assert [one["recorded"] for one in json.loads(capsys.readouterr().out)["limits"]] == [110]


def test_lines_that_cannot_be_read_are_named_and_fail(site, capsys):
    with (site.directory / "audit" / "worker-0.jsonl").open("ab") as file:
        file.write(b"{\n")
    assert site("--limit", "each", "--since", "1s") == 1
    assert "worker-0.jsonl:5: not a record" in capsys.readouterr().err


def test_an_unknown_tenant_is_a_problem(site, capsys):
    assert site("--tenant", "nobody") == 1
    assert "nobody" in capsys.readouterr().err
