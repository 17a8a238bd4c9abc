"""Faults as values; test_upstream.py shows them on the wire."""

import pytest

from ostiary.demo import answer, fault
from ostiary.demo.fault import Delivery

BODY = b'{"model":"demo","messages":[{"role":"user","content":"x"}]}'
STREAM = BODY[:-1] + b',"stream":true,"stream_options":{"include_usage":true}}'


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503, 599])
def test_every_error_status_can_be_asked_for(status):
    reply, _ = fault.apply(str(status), answer.chat(BODY, 8), Delivery())
    assert reply.status == status
    assert (("retry-after", "7") in reply.headers) == (status in {429, 503})


@pytest.mark.parametrize("name", ["", "nonsense", "200", "600", "٤٠٤", "4000"])
def test_other_names_are_unknown(name):
    with pytest.raises(fault.UnknownFaultError):
        fault.apply(name, answer.chat(BODY, 8), Delivery())


@pytest.mark.parametrize("name", sorted(fault.TABLE))
@pytest.mark.parametrize("body", [BODY, STREAM])
def test_faults_keep_what_was_asked_of_the_delivery(name, body):
    _, delivery = fault.apply(name, answer.chat(body, 8), Delivery(pause_s=0.5, slice_bytes=3))
    assert delivery.pause_s in {0.5, fault.SLOW_PAUSE_S}
    assert delivery.slice_bytes in {1, 3}


def test_headers_that_a_client_must_not_see_are_there_to_be_removed():
    reply, _ = fault.apply("headers", answer.chat(BODY, 8), Delivery())
    assert {"set-cookie", "openai-organization", "x-ostiary-error-code"} <= {name for name, _ in reply.headers}
