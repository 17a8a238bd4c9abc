"""The `secrets_manager` section and its places: defaults, and each mistake with its path."""

import json

import pytest

from gateway.policy.load import load
from gateway.policy.model import Credential, ManagedSecret, SecretsManager
from gateway.policy.problem import PolicyError
from gateway.policy.version import canonical

LEAST = {"region": "eu-central-1", "key": {"file": "aws.key"}}
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:llm/openai-AbCdEf"


def write(directory, section, place=None, **credential):
    place = {"secret": "llm/openai"} if place is None else place
    content = {
        "policy": {"name": "test"} | ({} if section is None else {"secrets_manager": section}),
        "tenants": {"acme": {"models": "*", "routes": "*"}},
        "keys": {},
        "backends": {"demo": {"url": "http://127.0.0.1:8091", "credential": {"secrets_manager": place, **credential}}},
        "models": {"gpt": "demo"},
    }
    for name, value in content.items():
        (directory / f"{name}.yaml").write_text(json.dumps(value))
    return load(directory, rules=["pii.email"])


def problems(directory, section, place=None, **credential):
    with pytest.raises(PolicyError) as refused:
        write(directory, section, place, **credential)
    return [str(problem) for problem in refused.value.problems]


def test_the_least_section_has_the_defaults(tmp_path):
    read = write(tmp_path, LEAST)
    url = "https://secretsmanager.eu-central-1.amazonaws.com"
    assert read.secrets_manager == SecretsManager(
        region="eu-central-1", file="aws.key", url=url, refresh_s=300, stale_s=3600
    )
    place = ManagedSecret(path="llm/openai")
    assert read.backends["demo"].credential == Credential(secrets_manager=place)
    assert read.backends["demo"].credential.stored == place


def test_chinas_regions_have_a_domain_of_their_own(tmp_path):
    read = write(tmp_path, LEAST | {"region": "cn-north-1"})
    assert read.secrets_manager.url == "https://secretsmanager.cn-north-1.amazonaws.com.cn"


def test_an_endpoint_of_a_private_network_and_its_ca_are_taken(tmp_path):
    url = "https://vpce-1.secretsmanager.eu-central-1.vpce.amazonaws.com"
    read = write(tmp_path, LEAST | {"url": f"{url}/", "ca_file": "ca.pem", "refresh_s": 60, "stale_s": 60})
    assert read.secrets_manager == SecretsManager(
        region="eu-central-1", file="aws.key", url=url, ca_file="ca.pem", refresh_s=60, stale_s=60
    )


@pytest.mark.parametrize("secret", ["llm/openai", "a", "team+x=y.z@w-1_2", ARN, ARN.replace("aws:", "aws-us-gov:")])
def test_names_and_arns_are_places_with_or_without_a_field(tmp_path, secret):
    read = write(tmp_path, LEAST, {"secret": secret, "field": "key"}, header="x-api-key")
    place = ManagedSecret(path=secret, field="key")
    assert read.backends["demo"].credential == Credential(secrets_manager=place, header="x-api-key", prefix="")


@pytest.mark.parametrize("secret", ["", "a b", "a:b", "a\nb", "x" * 513, ARN.replace("secretsmanager", "s3"), "ключ"])
def test_what_is_neither_is_refused_with_its_path(tmp_path, secret):
    assert any(
        "demo.credential.secrets_manager.secret: " in each for each in problems(tmp_path, LEAST, {"secret": secret})
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"region": "Frankfurt"}, "secrets_manager.region: expected a region"),
        ({"url": "http://secrets.example.com"}, "secrets_manager.url: plaintext"),
        ({"url": "https://user:pw@secrets.example.com"}, "secrets_manager.url: "),
        ({"url": "https://169.254.169.254"}, "secrets_manager.url: "),
        ({"url": "https://secrets.example.com/path"}, "secrets_manager.url: has a path"),
        ({"url": "https://secrets.example.com?x=1"}, "secrets_manager.url: has a path or a query"),
        ({"url": "http://127.0.0.1:1", "ca_file": "ca.pem"}, "secrets_manager.ca_file: certificates mean nothing"),
        ({"key": {}}, "secrets_manager.key.file: missing"),
        ({"key": {"file": "a", "id": "b"}}, "secrets_manager.key.id: unknown field"),
        ({"key": "AKIAIOSFODNN7EXAMPLE"}, "secrets_manager.key: "),
        ({"refresh_s": 0}, "secrets_manager.refresh_s: "),
        ({"refresh_s": 600, "stale_s": 300}, "secrets_manager.stale_s: shorter than refresh_s"),
        ({"profile": "x"}, "secrets_manager.profile: unknown field"),
    ],
)
def test_each_mistake_is_told_with_its_path(tmp_path, change, told):
    found = problems(tmp_path, LEAST | change)
    assert len(found) == 1
    assert told in found[0]
    assert "AKIA" not in found[0]
    assert "pw" not in found[0]


@pytest.mark.parametrize("missing", ["region", "key"])
def test_region_and_key_are_required(tmp_path, missing):
    section = {name: value for name, value in LEAST.items() if name != missing}
    assert any(f"secrets_manager.{missing}: missing" in each for each in problems(tmp_path, section))


def test_a_place_needs_the_section(tmp_path):
    found = problems(tmp_path, None)
    assert "demo.credential.secrets_manager: policy.yaml has no `secrets_manager:` section" in found[0]


@pytest.mark.parametrize("more", [{"file": "a.key"}, {"vault": {"path": "kv/x", "field": "key"}}])
def test_a_secret_lies_in_one_place(tmp_path, more):
    found = problems(tmp_path, LEAST, **more)
    assert any("demo.credential.secrets_manager: the secret lies in another place too" in each for each in found)


def test_the_section_and_the_place_are_part_of_the_name_and_without_them_it_stays(tmp_path):
    names = {
        write(tmp_path, section, place).version
        for section, place in (
            (LEAST, {"secret": "a"}),
            (LEAST, {"secret": "b"}),
            (LEAST, {"secret": "a", "field": "key"}),
            (LEAST | {"refresh_s": 60}, {"secret": "a"}),
        )
    }
    assert len(names) == 4
    backends = {"demo": {"url": "http://127.0.0.1:8091", "credential": {"file": "a.key"}}}
    (tmp_path / "policy.yaml").write_text(json.dumps({"name": "test"}))
    (tmp_path / "backends.yaml").write_text(json.dumps(backends))
    assert b"secrets_manager" not in canonical(load(tmp_path, rules=["pii.email"]))
