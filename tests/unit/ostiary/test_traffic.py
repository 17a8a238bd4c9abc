"""Recorded requests under a new policy, as the CI gate of a policy's repository runs it."""

import base64
import json
import shutil
from pathlib import Path

import pytest

from ostiary import bundle, traffic
from ostiary.cli import main
from ostiary.problem import Problem

DEMO = Path(__file__).resolve().parents[3] / "policies" / "demo"
CHAT = "/v1/chat/completions"
SECRET = "do-not-tell"


def body(text="hello", **more):
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}


def call(amount):
    called = {"name": "refund", "arguments": json.dumps({"amount": amount, "why": SECRET})}
    turn = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": called}]}
    return body() | {"messages": [{"role": "user", "content": SECRET}, turn]}


def record(file, *lines):
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copytree(DEMO, tmp_path / "old"))


@pytest.fixture
def new(tmp_path):
    """The demo's policy with a schema that some calls break, and without a route."""
    directory = Path(shutil.copytree(DEMO, tmp_path / "new"))
    (directory / "schemas").mkdir()
    schema = {"properties": {"amount": {"type": "number", "maximum": 100}}}
    (directory / "schemas" / "refund.json").write_text(json.dumps(schema))
    (directory / "tenants.yaml").unlink()
    (directory / "tenants.yaml").write_text(
        "acme:\n"
        "  models: ['*']\n"
        f"  routes: [{CHAT}, /v1/messages]\n"
        "  schemas: {refund: {file: schemas/refund.json, of: arguments, tools: [refund]}}\n"
        "  guards: {request: {schema.refund: block}}\n"
    )
    return directory


RECORDED = [
    {"request_id": "r1", "tenant": "acme", "path": CHAT, "body": body()},
    {"request_id": "r2", "tenant": "acme", "path": CHAT, "body": call(5)},
    {"request_id": "r3", "tenant": "acme", "path": CHAT, "body": call(500)},
    {"request_id": "r4", "tenant": "acme", "path": f"{CHAT}?a=b", "body": json.dumps(call(501))},
    {"request_id": "r5", "tenant": "acme", "path": "/v1/embeddings", "body": {"model": "text-embedding-3-small", "input": "a"}},
    {"request_id": "r6", "tenant": "globex", "path": CHAT, "body": body()},
    {"request_id": "r7", "tenant": "acme", "path": CHAT, "body": body(unknown=1)},
]  # fmt: skip


def check(*words):
    return main(["policy", "check", *map(str, words)])


def test_what_newly_fails_is_counted_by_code_field_and_rule(tmp_path, old, new, capsys):
    file = record(tmp_path / "seen.jsonl", *RECORDED)
    assert check(new, "--traffic", file, "--against", old, "--json") == 1
    text = capsys.readouterr().out
    told = json.loads(text)
    assert {(each["code"], each["param"], each["rule"], each["count"], *each["request_ids"]) for each in told["newly_failing"]} == {
        ("schema_mismatch", "messages[].tool_calls[].function.arguments.amount", "schema.refund", 2, "r3", "r4"),
        ("route_forbidden", "", "", 1, "r5"),
        ("no_such_tenant", "", "", 1, "r6"),
    }  # fmt: skip
    assert (told["requests"], told["refused"], told["refused_before"], told["failing"]) == (7, 5, 1, 4)
    assert SECRET not in text


def test_a_person_reads_a_table(tmp_path, old, new, capsys):
    file = record(tmp_path / "seen.jsonl", *RECORDED)
    assert check(new, "--traffic", file, "--against", old) == 1
    shown = capsys.readouterr().out
    assert "4 of 7 recorded requests would newly fail against p-" in shown
    assert "messages[].tool_calls[].function.arguments.amount" in shown
    assert SECRET not in shown


def test_nothing_newly_fails_under_the_same_policy(tmp_path, old, capsys):
    file = record(tmp_path / "seen.jsonl", *RECORDED)
    assert check(old, "--traffic", file, "--against", old) == 0
    assert "0 of 7" in capsys.readouterr().out


def test_without_an_old_policy_every_refusal_counts(tmp_path, old):
    assert check(old, "--traffic", record(tmp_path / "seen.jsonl", RECORDED[6])) == 1
    assert check(old, "--traffic", record(tmp_path / "seen.jsonl", RECORDED[0])) == 0


def test_changes_and_what_no_longer_fails_are_told(tmp_path, old, new):
    kept = (DEMO / "tenants.yaml").read_text().replace("acme:\n", "acme:\n  schema: warn\n", 1)
    (old / "tenants.yaml").write_text(kept)
    lines = record(tmp_path / "seen.jsonl", RECORDED[6], RECORDED[2])
    seen = traffic.read(lines, tenant="", path=CHAT)
    report = traffic.compare(seen, bundle.load(old), bundle.load(new))
    assert (report.no_longer, report.failing) == (2, 0)


def test_the_field_is_told_in_anthropics_dialect_too(tmp_path, new):
    block = {"type": "tool_use", "id": "t", "name": "refund", "input": {"amount": 900}}
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": [block]}]
    asked = {"model": "claude-demo", "max_tokens": 9, "messages": said}
    line = {"tenant": "acme", "path": "/v1/messages", "body": asked}
    (group,) = traffic.compare(
        traffic.read(record(tmp_path / "a.jsonl", line), tenant="", path=""), bundle.load(new), None
    ).newly_failing
    assert (group.code, group.param) == ("schema_mismatch", "messages[].content[].input.amount")


PINS = f"acme:\n  api_versions: {{{CHAT}: 2025-11}}\n"


def test_a_step_back_to_an_older_version_newly_fails_what_only_the_newer_one_knows(tmp_path, old, capsys):
    new_field = {"request_id": "r8", "tenant": "acme", "path": CHAT, "body": body(moderation={"model": "m"})}
    file = record(tmp_path / "seen.jsonl", *RECORDED, new_field)
    asked = (old, "--traffic", file, "--api-version", f"{CHAT}=2025-11", "--json")
    assert check(*asked) == 1
    (group,) = json.loads(capsys.readouterr().out)["newly_failing"]
    assert (group["code"], group["param"], group["request_ids"]) == ("request_invalid", "moderation", ["r8"])


def test_a_step_to_the_next_version_of_a_policy_that_stayed_behind(tmp_path, old, capsys):
    pinned = (DEMO / "tenants.yaml").read_text().replace("acme:\n", PINS, 1)
    (old / "tenants.yaml").unlink()
    (old / "tenants.yaml").write_text(pinned)
    new_field = {"request_id": "r8", "tenant": "acme", "path": CHAT, "body": body(moderation={"model": "m"})}
    file = record(tmp_path / "seen.jsonl", RECORDED[0], new_field)
    assert check(old, "--traffic", file, "--api-version", f"{CHAT}=2026-11", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["no_longer"], told["failing"], told["policy"] == told["against"]) == (1, 0, False)


def test_a_version_of_anthropics_api_is_the_one_that_was_recorded(tmp_path, old):
    asked = {"model": "claude-demo", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]}
    line = {"tenant": "acme", "path": "/v1/messages", "body": asked}
    lines = [line, {**line, "api_version": "2023-06-01"}, {**line, "api_version": "2023-01-01", "request_id": "late"}]
    seen = traffic.read(record(tmp_path / "a.jsonl", *lines), tenant="", path="")
    (group,) = traffic.compare(seen, bundle.load(old), None).newly_failing
    assert (group.code, group.param, group.request_ids) == ("request_invalid", "anthropic-version", ["late"])


@pytest.mark.parametrize("told", [CHAT, f"{CHAT}=", f"{CHAT}=2024-01", "chat=2026-11"])
def test_a_version_that_is_none_is_told(tmp_path, old, capsys, told):
    assert check(old, "--traffic", record(tmp_path / "seen.jsonl", RECORDED[0]), "--api-version", told) == 1
    assert "/v1/chat/completions=2025-11" in capsys.readouterr().err


def test_a_directory_holds_lines_and_bodies_as_inspect_reads_them(tmp_path):
    seen = tmp_path / "seen"
    seen.mkdir()
    (seen / "one.json").write_text(json.dumps(body()))
    encoded = base64.b64encode(b'{"a":1,"a":2}').decode()
    record(seen / "two.jsonl", {"body_base64": encoded, "tenant": "globex", "path": "/v1/x"}, {"body": "{}"})
    (seen / "README.md").write_text("not a recording")
    assert [(one.id, one.tenant, one.path, one.body) for one in traffic.read(seen, tenant="acme", path=CHAT)] == [
        ("one", "acme", CHAT, json.dumps(body()).encode()),
        ("two:1", "globex", "/v1/x", b'{"a":1,"a":2}'),
        ("two:2", "acme", CHAT, b"{}"),
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("[1]", "not a JSON object"),
        (f'{{"{SECRET}', "not a JSON object"),
        ('{"tenant": "acme"}', "no body"),
        ('{"tenant": "acme", "body_base64": "§"}', "no body"),
        ('{"tenant": 1, "body": {}}', "are texts"),
        ('{"body": {}}', "no tenant"),
        ("", "holds no requests"),
    ],
)
def test_a_recording_that_cannot_be_read_is_told_by_line_without_its_text(tmp_path, line, complaint):
    file = tmp_path / "seen.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(Problem, match=complaint) as caught:
        list(traffic.read(file, tenant="", path=CHAT))
    assert SECRET not in str(caught.value)


def test_a_name_of_a_request_moves_no_cursor(tmp_path, old, capsys):
    line = RECORDED[6] | {"request_id": "\x1b[2J"}
    check(old, "--traffic", record(tmp_path / "seen.jsonl", line))
    assert "\x1b" not in capsys.readouterr().out


def test_options_of_a_comparison_need_traffic(old, capsys):
    assert check(old, "--against", old) == 1
    assert "--traffic" in capsys.readouterr().err
