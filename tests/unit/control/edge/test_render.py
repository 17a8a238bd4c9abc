"""The whole bootstrap: current, deterministic, and the few settings that are nobody else's."""

from dataclasses import replace
from pathlib import Path

import pytest

from control.edge import spec
from edge_rendered import NAMED, PLAIN, SPEC, http_filter, manager, policy, render, rendered
from gateway.policy.model import Limits

ENVOY = Path(__file__).resolve().parents[4] / "envoy"


def test_the_committed_reference_is_current():
    from ostiary import bundle  # noqa: PLC0415 - loads every rule, which only this test needs

    wanted = spec.read(ENVOY / "ostiary.yaml")
    text = render(wanted, bundle.load(Path(wanted.policy_dir)))
    assert (ENVOY / "envoy.yaml").read_text() == text, (
        "run: ostiary envoy render --spec envoy/ostiary.yaml -o envoy/envoy.yaml"
    )


def test_the_same_input_gives_the_same_bytes_whatever_the_order_of_backends():
    assert render(SPEC, policy(PLAIN, NAMED)) == render(SPEC, policy(NAMED, PLAIN))


def test_admin_is_a_socket_for_its_owner_only():
    assert rendered()["admin"]["address"] == {"pipe": {"path": "/run/o/a.sock", "mode": 0o600}}


@pytest.mark.parametrize(("asked", "limit"), [(None, 5000), (4000, 4000), (9000, 5000)])
def test_body_limit_is_the_policys_or_a_smaller_one(asked, limit):
    data = rendered(replace(SPEC, body_bytes=asked), limits=Limits(body_bytes=5000))
    assert http_filter(data, "envoy.filters.http.buffer")["max_request_bytes"] == limit
    host = manager(data)["route_config"]["virtual_hosts"][0]
    assert int(host["request_body_buffer_limit"]) >= 2 * limit
