"""The listener: TLS 1.3, client certificates, and whom it takes for internal."""

from dataclasses import replace

import pytest

from control.edge.issued import Issued
from control.edge.spec import ClientCertificates, Tls
from edge_rendered import SPEC, http_filter, manager, rendered, tls
from gateway import contract
from vaulting import VAULT


def test_no_client_address_counts_as_internal():
    internal = manager(rendered())["internal_address_config"]["cidr_ranges"]
    assert internal == [{"address_prefix": "255.255.255.255", "prefix_len": 32}]


def test_listener_speaks_tls_1_3_only():
    parameters = tls(rendered())["common_tls_context"]["tls_params"]
    assert parameters["tls_minimum_protocol_version"] == parameters["tls_maximum_protocol_version"] == "TLSv1_3"


@pytest.mark.parametrize(
    ("asked", "required", "verified"),
    [
        (ClientCertificates.OFF, False, False),
        (ClientCertificates.OPTIONAL, False, True),
        (ClientCertificates.REQUIRED, True, True),
    ],
)
def test_client_certificates(asked, required, verified):
    trusted = "/ca" if verified else None
    data = rendered(replace(SPEC, tls=Tls(cert="/c", key="/k", client_ca=trusted, client_certificates=asked)))
    assert tls(data)["require_client_certificate"] is required
    assert ("validation_context" in tls(data)["common_tls_context"]) is verified
    assert http_filter(data, contract.AUTHZ_NAMESPACE).get("include_peer_certificate", False) is verified
    # The header is removed and never written. SANITIZE is the default of the enum and therefore left out.
    assert manager(data).get("forward_client_cert_details", "SANITIZE") == "SANITIZE"
    assert "set_current_client_cert_details" not in manager(data)
    # A resumed session would skip what proves the client.
    for kind in ("stateless", "stateful"):
        assert tls(data).get(f"disable_{kind}_session_resumption", False) is verified


ISSUED = Issued(vault=VAULT, mount="pki", role="r", names=("a.example",))


@pytest.mark.parametrize("asked", [ClientCertificates.OFF, ClientCertificates.REQUIRED])
def test_an_issued_certificate_and_its_clients_authorities_are_asked_of_control(asked):
    mutual = asked is ClientCertificates.REQUIRED
    issued = replace(ISSUED, clients_mount="clients" if mutual else "")
    data = rendered(replace(SPEC, tls=Tls(issued=issued, client_certificates=asked)))
    common = tls(data)["common_tls_context"]
    names = [each["name"] for each in common["tls_certificate_sds_secret_configs"]]
    assert names == [contract.LISTENER_CERTIFICATE]
    assert "tls_certificates" not in common
    assert "validation_context" not in common
    assert common.get("validation_context_sds_secret_config", {}).get("name") == (
        contract.CLIENT_AUTHORITIES if mutual else None
    )
    assert tls(data)["require_client_certificate"] is mutual


def test_beside_an_issued_certificate_clients_authorities_may_lie_in_a_file():
    asked = Tls(issued=ISSUED, client_ca="/ca", client_certificates=ClientCertificates.OPTIONAL)
    common = tls(rendered(replace(SPEC, tls=asked)))["common_tls_context"]
    assert common["validation_context"] == {"trusted_ca": {"filename": "/ca"}}
    assert "validation_context_sds_secret_config" not in common
