"""The loader: a good directory becomes a policy; each mistake is reported with its line and a way out."""
# one mistake a line, so that the table can be read

import os
from pathlib import Path

import pytest

from gateway.policy.load import load
from gateway.policy.model import Action, Mode, Policy
from gateway.policy.problem import MAX_PROBLEMS, PolicyError

RULES = frozenset({"pii.email", "pii.card", "pii.iban", "secrets.aws", "secrets.openai"})
DIGEST = "0123456789abcdef" * 4
GOOD = {
    "policy.yaml": "name: test\n",
    "tenants.yaml": "acme:\n  models: [gpt]\n  routes: ['*']\n",
    "keys.yaml": f"abcdefghijkl:\n  tenant: acme\n  principal: alice\n  digest: {DIGEST}\n  pepper: v1\n",
    "backends.yaml": "demo:\n  url: http://127.0.0.1:8091\n",
    "models.yaml": "gpt: demo\n",
}


def write(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return directory


def read(directory: Path, **changes: str) -> Policy:
    files = GOOD | {name.replace("__", "/") + ".yaml": text for name, text in changes.items()}
    return load(write(directory, files), rules=RULES)


def problems(directory: Path, **changes: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        read(directory, **changes)
    return [str(problem) for problem in caught.value.problems]


def test_a_good_directory_becomes_a_policy(tmp_path):
    policy = read(
        tmp_path,
        keys=f"abcdefghijkl: {{tenant: acme, principal: alice, scopes: [chat, admin], digest: {DIGEST},"
        " pepper: v1, expires_at: 2030-01-31T00:00:00Z, disabled: true, rate: {requests: 5, window_s: 1}}",
        backends="demo:\n  url: https://API.example.com/openai/\n  ca_file: ca.pem\n  sni: api.internal\n"
        "  credential: {file: secrets/demo, header: api-key}\n",
    )
    key = policy.keys["abcdefghijkl"]
    assert (key.tenant, key.scopes, key.expires_at, key.disabled) == (
        "acme",
        ("chat", "admin"),
        1896048000,
        True,
    )
    assert key.rate is not None
    assert (key.rate.requests, key.rate.window_s) == (5, 1)
    backend = policy.backends["demo"]
    assert (backend.host, backend.port, backend.tls) == ("api.example.com", 443, True)
    assert (backend.base_path, backend.ca_file, backend.sni) == ("/openai", "ca.pem", "api.internal")
    assert backend.credential is not None
    assert (backend.credential.header, backend.credential.prefix) == ("api-key", "")
    assert policy.tenants["acme"].may_use("gpt")
    assert policy.credential_dir == str(tmp_path)
    assert policy.name == "test"


def test_the_age_of_revocations_has_a_default_and_can_be_set(tmp_path):
    assert read(tmp_path / "a").revocation_max_age_s == 60
    assert read(tmp_path / "b", policy="name: x\nrevocation_max_age_s: 5").revocation_max_age_s == 5


def test_keys_may_be_missing_and_tenants_may_be_spread_over_files(tmp_path):
    files = {name: text for name, text in GOOD.items() if name not in {"keys.yaml", "tenants.yaml"}}
    files |= {"tenants/a.yaml": GOOD["tenants.yaml"], "tenants/b.yaml": "globex: {models: '*', routes: '*'}"}
    policy = load(write(tmp_path, files), rules=RULES)
    assert set(policy.tenants) == {"acme", "globex"}
    assert not policy.keys


def test_yaml_11_does_not_retype_values(tmp_path):
    policy = read(
        tmp_path,
        keys=f"111111111111: {{tenant: acme, principal: 12e3, digest: {'1' * 64}, pepper: 010, expires_at: 1893456000}}",
        tenants="acme: {models: '*', routes: '*', guards: {request: {pii.card: {action: block, mode: off}}}}",
    )
    key = policy.keys["111111111111"]
    assert (key.principal, key.digest, key.pepper, key.expires_at) == ("12e3", "1" * 64, "010", 1893456000)
    assert policy.tenants["acme"].request["pii.card"].mode is Mode.OFF


def test_the_policy_cannot_be_changed(tmp_path):
    policy = read(tmp_path)
    for mapping in (
        policy.tenants,
        policy.keys,
        policy.models,
        policy.backends,
        policy.tenants["acme"].request,
    ):
        assert not hasattr(mapping, "__setitem__")


TENANT = "acme:\n  models: '*'\n  routes: '*'\n"
KEY = "abcdefghijkl:\n  tenant: acme\n  principal: alice\n  pepper: v1\n"
MISTAKES = [
    # policy.yaml
    ("policy", "nmae: x\nname: y", 'policy.yaml:1:1: nmae: unknown field "nmae"; did you mean "name"?'),
    ("policy", "limits: {}", "policy.yaml:1:1: name: missing; expected a name of up to 64"),
    ("policy", "name: x\nlimits:\n  body_bytes: 10MB", "policy.yaml:3:15: limits.body_bytes: expected a whole number"),
    ("policy", "name: x\nlimits: {json_depth: 999}", "policy.yaml:2:22: limits.json_depth: expected a whole number from 4"),
    ("policy", "name: x\nlimits: {string_chars: 9}", "policy.yaml:2:24: limits.string_chars: expected a whole number from 1024"),
    ("policy", "name: x\nlimits: {body_byte: 1}", 'did you mean "body_bytes"?'),
    ("policy", "name: x\nname: y", 'policy.yaml:2:1: name: duplicate field "name"; it is already set on line 1'),
    ("policy", "name: x\nrevocation_max_age_s: 1", "revocation_max_age_s: expected a whole number from 2 to 86400"),
    ("policy", "name: x\nlimits: 3", 'policy.yaml:2:9: limits: expected fields, found "3"'),
    ("policy", "name: x\nguards: {request: {pii.emial: block}}", 'did you mean "pii.email"?'),
    ("policy", 'name: x\nguards: {request: {"pi.*": block}}', 'unknown wildcard that covers no rule "pi.*"; did you mean "pii.*"?'),
    ("policy", "name: x\nguards: {reqest: {}}", 'did you mean "request"?'),
    ("policy", "name: x\nguards:\n  request:\n    pii.card: deny", 'policy.yaml:4:15: guards.request."pii.card": unknown value "deny"; known: allow, block'),
    ("policy", "name: x\nguards: {request: {pii.card: {mode: dry}}}", "known: enforce, off, shadow"),
    ("policy", "name: x\nguards: {request: {pii.card: {}}}", "expected an action; known: allow"),
    ("policy", "name: [x]", "policy.yaml:1:7: name: expected a name of up to 64 letters, digits, spaces, . _ -, found a list"),
    ("policy", "name:", "policy.yaml:1:6: name: expected a name"),
    ("policy", "name: x\n---\nname: y", "policy.yaml:2:1: expected one YAML document, found a second one"),
    ("policy", "name: !!str x", "policy.yaml:1:7: name: YAML tags are refused"),
    ("policy", "name: &a x", "policy.yaml:1:7: name: anchors are refused"),
    ("policy", "name: x\nlimits: *a", "policy.yaml:2:9: limits: aliases are refused"),
    ("policy", "name: x\n? [a]\n: b", "policy.yaml:2:3: expected a name, found a list or mapping used as a name"),
    ("policy", "name: [x\nb: c", "policy.yaml:2:2: not valid YAML"),
    ("policy", "a: " + "[" * 5000, "nested deeper than 12 levels"),
    ("policy", "- name", "policy.yaml:1:1: expected `name: value` lines"),
    ("policy", "name: x\nb\x07", "policy.yaml:2:2: not valid YAML: control characters are not allowed"),
    ("policy", "name: x\n# \udcff", "policy.yaml:2:3: not UTF-8: byte 0xff"),
    ("policy", "", "policy.yaml:1:1: name: missing"),
    # tenants.yaml
    ("tenants", "acme:\n  routes: '*'", "tenants.yaml:2:3: acme.models: missing; expected a list"),
    ("tenants", "acme:\n  models: [gtp]\n  routes: '*'", 'tenants.yaml:2:12: acme.models.[0]: unknown model "gtp"; did you mean "gpt"?'),
    ("tenants", "acme:\n  models: '*'\n  routes: [/v1/chat/completion]", 'tenants.yaml:3:12: acme.routes.[0]: unknown route "/v1/chat/completion"; did you mean "/v1/chat/completions"?'),
    ("tenants", "Acme: {models: '*', routes: '*'}", "tenants.yaml:1:1: Acme: expected 1 to 63 of a-z"),
    ("tenants", TENANT + "  rate: {requests: 0}", 'tenants.yaml:4:20: acme.rate.requests: expected a whole number from 1 to 600000, found "0"'),
    ("tenants", TENANT + "  rate: {request: 9}", "acme.rate.requests: missing"),
    ("tenants", TENANT + "  rate: 600", 'tenants.yaml:4:9: acme.rate: expected fields, found "600"'),
    ("tenants", TENANT + "  rate: {requests: 1, window_s: 0}", "acme.rate.window_s: expected a whole number from 1 to 86400"),
    ("tenants", TENANT + "  guards: [pii.card]", "tenants.yaml:4:11: acme.guards: expected fields, found a list"),
    ("tenants", TENANT + "  models_allowed: x", "tenants.yaml:4:3: acme.models_allowed: unknown field"),
    ("tenants", "", "tenants.yaml:1:1: no entries; a policy names at least one of its tenants"),
    # keys.yaml
    ("keys", KEY + "  digest: abc", 'keys.yaml:5:11: abcdefghijkl.digest: expected the HMAC-SHA-256 of the key, 64 hex digits in lower case, found "abc"'),
    ("keys", KEY, "keys.yaml:2:3: abcdefghijkl.digest: missing"),
    ("keys", KEY.replace("acme", "acne") + f"  digest: {DIGEST}", 'keys.yaml:2:11: abcdefghijkl.tenant: unknown tenant "acne"; did you mean "acme"?'),
    ("keys", KEY + f"  digest: {DIGEST}\n  expires_at: tomorrow", "keys.yaml:6:15: abcdefghijkl.expires_at: expected unix seconds"),
    ("keys", KEY + f"  digest: {DIGEST}\n  expires_at: 2030-01-31T00:00:00", "has no time zone; end it in Z for UTC"),
    ("keys", KEY + f"  digest: {DIGEST}\n  expires_at: 2030-02-31T00:00:00Z", "expected unix seconds or a time such as"),
    ("keys", KEY + f"  digest: {DIGEST}\n  disabled: yes", 'keys.yaml:6:13: abcdefghijkl.disabled: unknown value "yes"; known: false, true'),
    ("keys", KEY + f"  digest: {DIGEST}\n  scopes: {{a: b}}", "keys.yaml:6:11: abcdefghijkl.scopes: expected a list, each a scope"),
    ("keys", f"ABC: {{tenant: acme, principal: a, pepper: v, digest: {DIGEST}}}", "keys.yaml:1:1: ABC: expected the 12 characters"),
    # backends.yaml
    ("backends", "Demo: {url: 'https://a.example'}", "backends.yaml:1:1: Demo: expected 1 to 40 of a-z, 0-9 and -"),
    ("backends", "demo: {}", "backends.yaml:1:7: demo.url: missing"),
    ("backends", "demo: {url: api.example.com}", "backends.yaml:1:13: demo.url: expected scheme://host"),
    ("backends", "demo: {url: 'ftp://api.example.com'}", "demo.url: expected scheme://host"),
    ("backends", "demo: {url: 'https://a.example/?x=1'}", "no user, query or fragment"),
    ("backends", "demo: {url: 'http://a.example'}", "plaintext http goes to loopback only: prompts and provider keys would cross"),
    ("backends", "demo: {url: 'http://localhost.example'}", "plaintext http goes to loopback only"),
    ("backends", "demo: {url: 'http://127.0.0.1:0'}", "expected a port from 1 to 65535, found 0"),
    ("backends", "demo: {url: 'https://a.example:65536'}", "expected a port from 1 to 65535"),
    ("backends", "demo: {url: 'https://a.example/v1'}", "the base path ends in /v1; leave /v1 away"),
    ("backends", "demo: {url: 'https://a.example/x/../y'}", "the base path holds an empty, `.` or `..` segment"),
    ("backends", "demo: {url: 'https://169.254.169.254'}", "not an address of a server"),
    ("backends", "demo: {url: 'https://2130706433'}", "not a host name or address"),
    ("backends", "demo: {url: 'https://a..example'}", "not a host name or address"),
    ("backends", "demo: {url: 'https://a.example', dialect: openia}", 'demo.dialect: unknown value "openia"; did you mean "openai"?'),
    ("backends", "demo: {url: 'https://a.example', responses: maybe}", 'demo.responses: unknown value "maybe"'),
    ("backends", "demo: {url: 'https://a.example', dialect: gemini, responses: own}", "demo.responses: for gemini, responses are always translated"),
    ("backends", "demo:\n  url: https://a.example\n  allow_plaintext: true", "demo.allow_plaintext: there is no such switch"),
    ("backends", "demo: {url: 'https://a.example', credential: {}}", "demo.credential.file: missing"),
    ("backends", "demo: {url: 'https://a.example', credential: {file: f, header: Host}}", "expected a header name in lower case"),
    ("backends", "demo: {url: 'https://a.example', credential: {file: f, header: host}}", '"host" cannot carry a credential'),
    ("backends", "demo: {url: 'https://a.example', credential: {file: f, header: x-envoy-x}}", "cannot carry a credential"),
    ("backends", "demo: {url: 'https://a.example', credential: {fiel: f}}", 'did you mean "file"?'),
    # models.yaml
    ("models", "gpt: dmo", 'models.yaml:1:6: gpt: unknown backend "dmo"; did you mean "demo"?'),
    ("models", "gpt: {backend: dmo}", "models.yaml:1:16: gpt.backend: unknown backend"),
    ("models", "gpt: {backend: demo, create: 1}", 'models.yaml:1:22: gpt.create: unknown field "create"; did you mean "created"?'),
    ("models", "'gpt 4': demo\ngpt: demo", 'models.yaml:1:1: "gpt 4": expected a model name'),
    ("models", "gpt:", "models.yaml:1:5: gpt.backend: missing"),
    # files
    ("tenant", TENANT, 'tenant.yaml:1:1: not a file of a policy; did you mean "tenants.yaml"?'),
    ("tenants__b", TENANT, "tenants/b.yaml:1:1: acme: defined a second time; the first one is at tenants.yaml:1"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "text", "expected"), MISTAKES, ids=range(len(MISTAKES)))
def test_each_mistake_is_told_with_its_place_and_a_way_out(tmp_path, file, text, expected):
    found = problems(tmp_path, **{file: text})
    assert any(expected in problem for problem in found), found


def test_every_mistake_is_told_at_once_in_file_order(tmp_path):
    found = problems(
        tmp_path,
        tenants="acme: {models: [gtp], routes: /x}",
        models="gpt: nobody",
        keys="abcdefghijkl: {tenant: who}",
        policy="name: x\nzzz: 1",
    )
    places = [problem.split(": ")[0] for problem in found]
    assert places == sorted(places)
    assert {place.split(":")[0] for place in places} == {
        "keys.yaml",
        "models.yaml",
        "policy.yaml",
        "tenants.yaml",
    }
    assert len(found) == 8


def test_one_unreadable_file_does_not_make_every_reference_to_it_a_mistake(tmp_path):
    assert problems(tmp_path, backends="demo: [") == [
        "backends.yaml:2:1: not valid YAML: did not find expected node content",
    ]


def test_a_bomb_of_aliases_is_refused_without_being_expanded(tmp_path):
    lines = ["name: x", "a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    found = problems(tmp_path, policy="\n".join(lines))
    assert sum("aliases are refused" in one for one in found) == 72
    assert sum("anchors are refused" in one for one in found) == 9


def test_a_flood_of_mistakes_is_cut_and_says_so(tmp_path):
    found = problems(tmp_path, models="".join(f"m{n}: nobody\n" for n in range(1000)))
    assert len(found) == MAX_PROBLEMS + 1
    assert "further problems are not shown" in found[-1]


SECRETS = [
    "osk_" + "abcdefghijkl_" + "A" * 43,
    "ocs_" + "A" * 43,
    "sk-" + "proj-" + "a1" * 20,
    "sk-" + "ant-api03-" + "a1" * 20,
    "gh" + "p_" + "a1" * 18,
    "AKIA" + "ABCDEFGHIJKLMNOP",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
    "Bearer " + "abcdef0123456789abcdef",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("keys", "abcdefghijkl:\n  digest: '{}'\n"),
        ("backends", "demo:\n  url: https://a.example\n  credential:\n    file: '{}'\n"),
        ("backends", "demo:\n  url: https://a.example\n  credential: {{file: f, prefix: '{}'}}\n"),
        ("models", "'{}': demo\n"),
        ("policy", "name: x\n# {}\n"),
        ("policy", "name: x\nlimits: {{'{}': 1}}\n"),
        ("tenants", "acme: {{models: ['{}'], routes: '*'}}\n"),
    ],
)
def test_a_live_secret_anywhere_is_refused_and_never_repeated(tmp_path, secret, file, text):
    found = problems(tmp_path, **{file: text.format(secret)})
    assert any("looks like a live key or secret" in problem for problem in found), found
    assert secret not in "".join(found)
    assert secret[-12:] not in "".join(found)


def test_values_of_secret_length_are_described_not_shown(tmp_path):
    value = "Zq9" * 20
    found = problems(
        tmp_path, keys=KEY + f"  digest: {value}", tenants=f"acme: {{models: '*', routes: '*', {value}: 1}}"
    )
    assert "a text of 60 characters" in "".join(found)
    assert value not in "".join(found)


def test_a_user_and_password_in_a_url_are_refused_and_not_repeated(tmp_path):
    found = problems(tmp_path, backends="demo: {url: 'https://user:hunter2@a.example'}")
    assert "no user, query or fragment" in found[0]
    assert "hunter2" not in "".join(found)


def test_files_beyond_the_size_limit_are_not_read(tmp_path):
    found = problems(tmp_path, keys="# " + "x" * (4 * 1024 * 1024))
    assert found == ["keys.yaml:1:1: larger than 4 MiB; split it"]


def test_too_many_files_are_refused(tmp_path):
    found = problems(tmp_path, **{f"tenants__t{n}": f"t{n}: {{models: '*', routes: '*'}}" for n in range(256)})
    assert "261 files, at most 256 are read; merge some" in found[0]


def test_a_pipe_in_place_of_a_file_does_not_block_the_start(tmp_path):
    write(tmp_path, GOOD)
    (tmp_path / "keys.yaml").unlink()
    os.mkfifo(tmp_path / "keys.yaml")
    with pytest.raises(PolicyError, match=r"keys\.yaml:1:1: not a regular file"):
        load(tmp_path, rules=RULES)


def test_a_missing_directory_is_one_problem(tmp_path):
    with pytest.raises(PolicyError) as caught:
        load(tmp_path / "nowhere", rules=RULES)
    assert [problem.message for problem in caught.value.problems] == ["no such directory"]


def test_a_missing_root_file_is_told_by_name(tmp_path):
    with pytest.raises(PolicyError, match=r"policy\.yaml:1:1: missing; every policy has this file"):
        load(write(tmp_path, {name: text for name, text in GOOD.items() if name != "policy.yaml"}), rules=RULES)


def test_yml_files_are_an_error_because_nobody_would_read_them(tmp_path):
    write(tmp_path, {"keys.yml": "", "tenants/a.yml": "", "README.md": "", ".hidden.yaml": ""})
    found = problems(tmp_path)
    assert [problem.split(":")[0] for problem in found] == ["keys.yml", "tenants/a.yml"]


def test_a_demo_policy_ships_that_loads_without_keys():
    policy = load(Path(__file__).parents[4] / "policies" / "demo", rules=(*RULES, "injection.model"))
    acme, globex = policy.tenants["acme"], policy.tenants["globex"]
    judged = acme.request["injection.model"]
    rest = [setting for setting in acme.request.values() if setting is not judged]
    assert judged.action is Action.FLAG
    assert globex.request["injection.model"].action is Action.BLOCK
    assert {each.action for each in rest} == {Action.REDACT}
    assert {acme.response[rule].action for rule in RULES} == {Action.REDACT}
    assert globex.request["pii.card"].action is Action.BLOCK
    assert globex.response["secrets.aws"].action is Action.BLOCK
    assert globex.response["pii.iban"].mode is Mode.SHADOW
    spoken = {policy.backends[model.backend].dialect for model in policy.models.values()}
    assert spoken == {"openai", "anthropic", "bedrock", "gemini"}
    assert not policy.keys


@pytest.mark.parametrize(
    ("said", "own"),
    [
        ("", True),
        (", responses: own", True),
        (", responses: translated", False),
        (", dialect: azure", False),
        (", dialect: azure, responses: own", True),
        (", dialect: anthropic", False),
    ],
)
def test_a_backend_is_asked_in_responses_where_it_speaks_them(tmp_path, said, own):
    policy = read(tmp_path, backends=f"demo: {{url: 'https://a.example'{said}}}")
    assert policy.backends["demo"].speaks_responses is own


def test_names_at_providers_are_pseudonyms_unless_a_tenant_says_otherwise(tmp_path):
    tenant = "acme:\n  models: [gpt]\n  routes: ['*']\n"
    assert read(tmp_path).tenants["acme"].identities is None
    salted = read(tmp_path, tenants=f"{tenant}  identities: salted\n")
    assert salted.tenants["acme"].identities is None
    assert salted.version == read(tmp_path).version
    assert read(tmp_path, tenants=f"{tenant}  identities: as_sent\n").tenants["acme"].identities == "as_sent"
    (told,) = problems(tmp_path, tenants=f"{tenant}  identities: plain\n")
    assert "identities" in told
