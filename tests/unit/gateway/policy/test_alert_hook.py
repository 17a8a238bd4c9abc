"""`alert_hook` of policy.yaml: what is set counts, and what would send alerts in the clear is refused with its place."""

import pytest

from gateway.policy.load import load
from gateway.policy.model import AlertHook
from gateway.policy.problem import PolicyError

FILES = {
    "tenants.yaml": "acme: {models: '*', routes: '*'}\n",
    "backends.yaml": "demo: {url: 'http://127.0.0.1:8091'}\n",
    "models.yaml": "gpt: demo\n",
}
URL = "https://alerts.example.com/api/v2/alerts"


def read(directory, section):
    for name, text in (FILES | {"policy.yaml": f"name: test\n{section}\n"}).items():
        (directory / name).write_text(text)
    return load(directory, rules=["pii.email"])


def test_a_policy_without_the_section_tells_nobody(tmp_path):
    assert read(tmp_path, "").alert_hook is None


def test_every_field_is_read_and_part_of_the_version(tmp_path):
    least = read(tmp_path, f"alert_hook: {{url: '{URL}', secret_file: hook.secret}}")
    assert least.alert_hook == AlertHook(url=URL, secret_file="hook.secret")
    more = read(tmp_path, f"alert_hook: {{url: '{URL}', secret_file: hook.secret, ca_file: ca.pem}}")
    assert more.alert_hook == AlertHook(url=URL, secret_file="hook.secret", ca_file="ca.pem")
    assert least.version != more.version


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        (f"{{url: '{URL}'}}", "alert_hook.secret_file: missing"),
        ("{secret_file: s}", "alert_hook.url: missing"),
        ("{url: 'http://alerts.example.com/', secret_file: s}", "alert_hook.url: plaintext http goes to loopback only"),
        ("{url: 'https://169.254.169.254/', secret_file: s}", "alert_hook.url: not an address of a server"),
        ("{url: 'https://user:word@alerts.example.com/', secret_file: s}", "alert_hook.url: expected https://"),
        (f"{{url: '{URL}', secret_file: s, secret: x}}", "alert_hook.secret: unknown"),
    ],
)
def test_a_mistake_is_refused_with_its_place(tmp_path, section, problem):
    with pytest.raises(PolicyError) as refused:
        read(tmp_path, f"alert_hook: {section}")
    assert any(problem in str(one) for one in refused.value.problems), refused.value.problems
