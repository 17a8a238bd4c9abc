"""How Envoy reaches the secrets of control: one cluster where there are any, and patience without end."""

from dataclasses import replace

from control.edge.issued import Issued
from control.edge.spec import Tls
from edge_rendered import SPEC, rendered, tls
from gateway import contract
from vaulting import VAULT

ISSUED = replace(SPEC, tls=Tls(issued=Issued(vault=VAULT, mount="pki", role="r", names=("a.example",))))


def clusters(data):
    return {each["name"]: each for each in data["static_resources"]["clusters"]}


def test_the_cluster_is_there_where_control_hands_secrets_out_and_speaks_http2_to_its_socket():
    assert contract.SECRETS_CLUSTER not in clusters(rendered())
    cluster = clusters(rendered(ISSUED))[contract.SECRETS_CLUSTER]
    host = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
    assert host == {"pipe": {"path": ISSUED.secrets_socket}}
    (options,) = cluster["typed_extension_protocol_options"].values()
    assert "http2_protocol_options" in options["explicit_http_config"]


def test_without_a_certificate_the_port_stays_closed_however_long_that_takes():
    (secret,) = tls(rendered(ISSUED))["common_tls_context"]["tls_certificate_sds_secret_configs"]
    assert secret["sds_config"]["initial_fetch_timeout"] == "0s"
    asked = secret["sds_config"]["api_config_source"]["grpc_services"][0]["envoy_grpc"]
    assert asked["cluster_name"] == contract.SECRETS_CLUSTER
    assert asked["retry_policy"]["retry_back_off"]["max_interval"] == "5s"
