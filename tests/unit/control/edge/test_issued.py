"""The section `tls.vault` of ostiary.yaml: what it accepts, and how it tells mistakes."""

import json

import pytest

from control.edge.mapping import SpecError
from control.edge.spec import ClientCertificates, EdgeSpec, Tls, read
from gateway.policy.model import VaultAuth

REST = {"workers": {"run_dir": "run"}, "admin": {"socket": "admin.sock"}, "policy_dir": "policy"}
LEAST = {
    "address": "https://vault.example:8200",
    "auth": {"token_file": "token"},
    "role": "edge",
    "names": ["a.example"],
}


def write(tmp_path, tls):
    path = tmp_path / "ostiary.yaml"
    path.write_text(json.dumps({"tls": tls, **REST}))
    return path


def issued(tmp_path, **more):
    clients = {"client_certificates": "optional"} if "clients_mount" in more else {}
    return read(write(tmp_path, {"vault": {**LEAST, **more}, **clients})).tls.issued


def problems(tmp_path, tls):
    with pytest.raises(SpecError) as caught:
        read(write(tmp_path, tls))
    return "\n".join(caught.value.problems)


def test_the_least_has_a_day_of_life_and_no_clients(tmp_path):
    found = issued(tmp_path)
    assert (found.mount, found.role, found.names, found.lasts_s) == ("pki", "edge", ("a.example",), 86_400)
    assert found.clients_mount == ""
    assert found.vault.auth == VaultAuth(method="token_file", token_file=f"{tmp_path}/token")


def test_everything_is_read_and_files_start_at_the_spec(tmp_path):
    found = issued(
        tmp_path,
        ca_file="ca.pem",
        namespace="team/a",
        mount="pki/edge",
        names=["*.a.example", "b"],
        addresses=["10.0.0.7", "::1"],
        lasts_s=60,
        clients_mount="pki-clients",
        refresh_s=5,
    )
    assert (found.vault.ca_file, found.vault.namespace, found.vault.refresh_s) == (f"{tmp_path}/ca.pem", "team/a", 5)
    assert (found.mount, found.names, found.addresses) == ("pki/edge", ("*.a.example", "b"), ("10.0.0.7", "::1"))
    assert (found.lasts_s, found.clients_mount) == (60, "pki-clients")


AUTHS = {
    "approle": ({"role_id_file": "r", "secret_id_file": "s"}, {"role_id_file": "r", "secret_id_file": "s"}),
    "kubernetes": (
        {"role": "edge", "mount": "k8s", "jwt_file": "j"},
        {"role": "edge", "mount": "k8s", "jwt_file": "j"},
    ),
    "cert": ({"cert_file": "c", "key_file": "k"}, {"cert_file": "c", "key_file": "k"}),
}


@pytest.mark.parametrize("method", AUTHS)
def test_each_way_to_log_in(tmp_path, method):
    given, wanted = AUTHS[method]
    wanted = {name: f"{tmp_path}/{text}" if name.endswith("_file") else text for name, text in wanted.items()}
    auth = issued(tmp_path, auth={method: given}).vault.auth
    assert auth == VaultAuth(**{"method": method, "mount": method, **wanted})


def test_a_pod_needs_no_file_of_its_own(tmp_path):
    auth = issued(tmp_path, auth={"kubernetes": {"role": "edge"}}).vault.auth
    assert auth.jwt_file == "/var/run/secrets/kubernetes.io/serviceaccount/token"


WRONG = {
    "plaintext": {"address": "http://vault.example:8200"},
    "query": {"address": "https://vault.example:8200?x=1"},
    "tls.vault.auth must have one of": {"auth": {}},
    "must have one of approle": {"auth": {"token_file": "t", "approle": {"role_id_file": "r", "secret_id_file": "s"}}},
    "role_id_file is missing": {"auth": {"approle": {"secret_id_file": "s"}}},
    "A.example is not a DNS name": {"names": ["A.example"]},
    "a.*.example is not a DNS name": {"names": ["a.*.example"]},
    "names must name": {"names": None},
    "10.0.0 is not an IP address": {"addresses": ["10.0.0"]},
    "more than 32": {"names": [f"n{number}" for number in range(33)]},
    "mount may have": {"mount": "pki/../sys"},
    "role may have": {"role": "a/b"},
    "lasts_s must be": {"lasts_s": 9},
    "tls.vault.lasts is not a known key": {"lasts": 9},
    "mean nothing without https": {"address": "http://127.0.0.1:8200", "ca_file": "ca.pem"},
}


@pytest.mark.parametrize("told", WRONG)
def test_a_mistake_is_told(tmp_path, told):
    section = {name: value for name, value in {**LEAST, **WRONG[told]}.items() if value is not None}
    assert told in problems(tmp_path, {"vault": section})


def test_a_certificate_comes_from_files_or_from_a_vault(tmp_path):
    assert "cert and key, or vault" in problems(tmp_path, {"vault": LEAST, "cert": "c", "key": "k"})
    assert "cert and key, or vault" in problems(tmp_path, {"vault": LEAST, "cert": "c"})
    assert "tls.cert is missing" in problems(tmp_path, {})
    paths = {"run_dir": "/r", "admin_socket": "/a", "policy_dir": "/p"}
    for tls in (Tls(), Tls(cert="c"), Tls(key="k")):
        with pytest.raises(ValueError, match="cert and key, or vault"):
            EdgeSpec(tls=tls, **paths)


def test_whoever_signs_clients_certificates_is_named_once(tmp_path):
    section = {**LEAST, "clients_mount": "clients"}
    spec = read(write(tmp_path, {"vault": section, "client_certificates": "required"}))
    assert spec.tls.client_certificates is ClientCertificates.REQUIRED
    assert "both say" in problems(tmp_path, {"vault": section, "client_ca": "ca.pem"})
    assert "needs client_ca" in problems(tmp_path, {"vault": LEAST, "client_certificates": "optional"})


@pytest.mark.parametrize("said", [{}, {"client_certificates": "off"}])
def test_whoever_names_the_clients_engine_is_told_that_nobody_asks_for_certificates(tmp_path, said):
    assert "clients_mount means nothing" in problems(tmp_path, {"vault": {**LEAST, "clients_mount": "clients"}, **said})
