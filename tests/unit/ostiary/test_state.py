"""The state directory: made once, kept where a person may edit, rewritten where it follows from something else."""

import re
import secrets
from pathlib import Path

import pytest
import yaml

from authz import apikey
from control.kek import LocalKek
from gateway.secrets import reference
from ostiary import bundle, state
from ostiary.problem import Problem
from ostiary.state import Edge

# Envoy's types are imported when first rendered, and their models use an old spelling of pydantic's.
pytestmark = pytest.mark.filterwarnings("ignore:Using `@model_validator`:DeprecationWarning")
URL = "http://127.0.0.1:9"
RUN = Path("/run/ostiary")
EDGE = Edge(address="127.0.0.1", port=8443, workers=2, run=RUN, admin=RUN / "a.sock", access_log="stdout")


@pytest.fixture
def here(tmp_path):
    return state.create(tmp_path / "state")


def test_secrets_are_private_and_survive_a_second_start(here):
    private = (here.peppers, here.kek, here.credential)
    before = [path.read_bytes() for path in private]
    keys = state.write_policy(here, URL, here.credential, port=8443)
    again = state.create(here.root)
    assert [path.read_bytes() for path in private] == before
    assert state.write_policy(again, URL, again.credential, port=8443) == keys
    for path in (*private, here.keys):
        assert path.stat().st_mode & 0o777 == 0o600
    assert here.root.stat().st_mode & 0o777 == 0o700


def test_the_policy_admits_the_demo_keys_and_holds_none_of_them(here):
    keys = state.write_policy(here, URL, here.credential, port=8443)
    policy = bundle.load(here.policy)
    peppers = apikey.Peppers.of(reference.peppers(here.peppers))
    for tenant, text in keys.items():
        found = apikey.check(text, policy.keys, peppers)
        assert found.tenant == tenant
        assert all(text not in file.read_text() for file in here.policy.rglob("*.yaml"))
    assert set(keys) == {"acme", "globex"}


def test_the_backend_that_is_signed_for_has_the_demo_models_key(here):
    state.write_policy(here, URL, here.credential, port=8443)
    policy = bundle.load(here.policy)
    assert policy.backends["nova"].credential.aws.file == str(here.aws_credential)
    assert policy.backends["demo-gemini"].credential.header == "x-goog-api-key"
    assert here.aws_credential.read_text().endswith(f":{here.credential.read_text()}")
    assert here.aws_credential.stat().st_mode & 0o077 == 0
    here.aws_credential.unlink()
    state.write_policy(here, URL, here.credential.with_name("of-a-real-provider"), port=8443)
    assert not here.aws_credential.exists()
    assert bundle.load(here.policy).backends["nova"].credential is None


def test_edits_of_the_policy_are_kept_and_the_backend_is_not(here):
    state.write_policy(here, URL, here.credential, port=8443)
    models = here.policy / "models.yaml"
    models.write_text(models.read_text() + "mine: demo\n")
    state.write_policy(here, "http://127.0.0.1:10", None, port=8443)
    policy = bundle.load(here.policy)
    assert "mine" in policy.models
    assert (policy.backends["demo"].port, policy.backends["demo"].credential) == (10, None)


def test_backends_that_somebody_added_are_kept(here):
    state.write_policy(here, URL, here.credential, port=8443)
    backends = here.policy / "backends.yaml"
    backends.write_text(backends.read_text() + "mine: {url: 'http://127.0.0.1:11'}\n")
    state.write_policy(here, URL, here.credential, port=8443)
    assert bundle.load(here.policy).backends["mine"].port == 11
    backends.write_text("{")
    with pytest.raises(Problem, match="is no YAML"):
        state.write_policy(here, URL, here.credential, port=8443)


def test_lost_demo_keys_are_made_anew(here):
    keys = state.write_policy(here, URL, here.credential, port=8443)
    here.keys.write_text("torn\n")
    assert state.write_policy(here, URL, here.credential, port=8443).keys() == keys.keys()


def test_mangled_peppers_are_told_without_their_text(here):
    here.peppers.write_text("v1: 00hidden\n")
    with pytest.raises(Problem) as failure:
        state.write_policy(here, URL, here.credential, port=8443)
    assert "hidden" not in str(failure.value)


def test_envoys_configuration_names_every_socket_and_no_secret(here):
    keys = state.write_policy(here, URL, here.credential, port=8443)
    policy = state.write_envoy(here, EDGE)
    text = here.envoy.read_text()
    assert policy.version in text
    assert set(re.findall(r"worker-\d+\.sock", text)) == {"worker-0.sock", "worker-1.sock"}
    assert yaml.safe_load(text)["static_resources"]
    assert not any(secret in text for secret in (*keys.values(), here.credential.read_text().strip()))


def test_plaintext_to_another_host_is_refused_with_the_line(here):
    state.write_policy(here, "http://provider.example.com", None, port=8443)
    with pytest.raises(Problem, match=r"backends\.yaml:3:"):
        state.write_envoy(here, EDGE)


def test_sockets_move_to_a_short_path_when_the_directory_is_deep(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    deep = state.create(tmp_path / ("d" * 100))
    assert deep.run.parent == tmp_path / "t"
    deep.run.rmdir()
    assert state.create(deep.root).run.is_dir()  # cleaned away, for example by a reboot


def test_without_the_demo_policy_the_advice_is_to_reinstall(here, monkeypatch, tmp_path):
    monkeypatch.setattr(state, "__file__", str(tmp_path / "a" / "b.py"))
    with pytest.raises(Problem, match="demo policy"):
        state.write_policy(here, URL, None, port=8443)
    assert Path(bundle.__file__).exists()


def test_the_token_services_issuer_follows_the_port_unless_somebody_chose_another(here):
    state.write_policy(here, URL, here.credential, port=9443)
    assert bundle.load(here.policy).token_service.issuer == "https://localhost:9443"
    rules = here.policy / "policy.yaml"
    rules.write_text(rules.read_text().replace("https://localhost:9443", "https://gateway.example"))
    state.write_policy(here, URL, here.credential, port=8443)
    assert bundle.load(here.policy).token_service.issuer == "https://gateway.example"


def test_the_key_of_the_signing_keys_is_private_and_apart_from_what_workers_see(here):
    assert here.kek.stat().st_mode & 0o777 == 0o600
    assert here.kek.parent.stat().st_mode & 0o777 == 0o700
    assert here.kek.parent not in {here.peppers.parent, here.policy, here.credential.parent, here.envoy.parent}
    LocalKek.read(here.kek, secrets.token_bytes)
