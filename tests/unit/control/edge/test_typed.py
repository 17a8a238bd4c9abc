"""From typed messages to Envoy's YAML: names, `@type` and durations."""

import pytest
from envoy_data_plane.envoy.extensions.filters.http.buffer.v3 import Buffer

from control.edge import typed
from edge_rendered import render  # noqa: F401 - defines envoy-data-plane's classes without their warning


def test_an_extension_carries_its_type_and_proto_field_names():
    assert typed.plain(typed.extension("b", Buffer(max_request_bytes=7))) == {
        "name": "b",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
            "max_request_bytes": 7,
        },
    }


def test_a_misspelt_field_fails_at_once():
    with pytest.raises(ValueError, match="max_request_byte"):
        Buffer(max_request_byte=7)


def test_sidecar_calls_are_retried_and_told_who_asks():
    service = typed.plain(typed.sidecar(timeout=typed.milliseconds(1500), told=(("a", "b"),)))
    assert service["timeout"] == "1.500s"
    assert service["initial_metadata"] == [{"key": "a", "value": "b"}]
    retries = service["retry_policy"]
    assert retries["num_retries"] == typed.SIDECAR_RETRIES
    assert retries["retry_on"] == "connect-failure,reset,refused-stream,unavailable"


def test_a_retry_goes_to_another_worker_long_before_the_deadline():
    """Envoy's own back-off starts at one second, and a dead socket is chosen again as readily as before.

    Its longest back-off is the timeout of each try too, so that must be longer than any Check.
    """
    retries = typed.plain(typed.sidecar())["retry_policy"]
    assert retries["retry_back_off"] == {"base_interval": "0.010s", "max_interval": "10s"}
    assert [each["name"] for each in retries["retry_host_predicate"]] == ["envoy.retry_host_predicates.previous_hosts"]
    assert int(retries["host_selection_retry_max_attempts"]) == typed.SIDECAR_HOST_CHOICES


def test_always_has_no_runtime_key():
    assert typed.plain(typed.always()) == {"default_value": {"numerator": 100}}
