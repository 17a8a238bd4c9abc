"""The short ostiary.yaml: what it accepts, and how it tells mistakes."""

import pytest

from control.edge.mapping import SpecError
from control.edge.spec import ClientCertificates, Control, Door, EdgeSpec, Tls, read

LEAST = """\
tls: {cert: c.pem, key: k.pem}
workers: {run_dir: run}
admin: {socket: run/admin.sock}
policy_dir: policy
"""


def written(tmp_path, text):
    path = tmp_path / "ostiary.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(tmp_path, text):
    path = written(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        read(path)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


def test_least_spec_has_safe_defaults(tmp_path):
    spec = read(written(tmp_path, LEAST))
    assert spec.address == "127.0.0.1"
    assert spec.tls.client_certificates is ClientCertificates.OFF
    assert spec.xff_trusted_hops == 0
    assert spec.body_bytes is None
    assert spec.worker_sockets == (f"{tmp_path}/run/worker-0.sock",)


def test_relative_paths_are_relative_to_the_file_and_absolute_ones_stay(tmp_path):
    spec = read(written(tmp_path, LEAST.replace("k.pem", "/keys/k.pem").replace("policy\n", "../policy\n")))
    assert spec.tls.cert == f"{tmp_path}/c.pem"
    assert spec.tls.key == "/keys/k.pem"
    assert spec.policy_dir == f"{tmp_path.parent}/policy"


@pytest.mark.parametrize("word", ["off", "optional", "required"])
def test_client_certificates_are_words_not_yaml_booleans(tmp_path, word):
    trusted = "" if word == "off" else "client_ca: ca, "
    tls = f"tls: {{cert: c, key: k, {trusted}client_certificates: {word}}}"
    spec = read(written(tmp_path, LEAST.replace("tls: {cert: c.pem, key: k.pem}", tls)))
    assert spec.tls.client_certificates == word


def test_every_section_is_read(tmp_path):
    spec = read(
        written(
            tmp_path,
            LEAST.replace("run_dir: run", "run_dir: run, count: 3")
            + "listener: {address: '::', port: 443, xff_trusted_hops: 1}\n"
            + "access_log: {path: a.log}\nhosts: [a.example, b.example]\nbody_bytes: 1_048_576\nca_file: roots.pem\n"
            + "door: {requests_per_s: 10, burst: 20, address_requests_per_s: 5, address_burst: 6}\n"
            + "bounds: {connections: 7, exchanges: 8, heap_bytes: 67108864, backend_requests: 9}\n"
            + "control: {enabled: true, tokens: {requests_per_s: 2, burst: 3}}\n"
            + "deadlines: {authz_ms: 100, message_ms: 200, request_s: 3, headers_s: 4, connect_s: 5}\n",
        )
    )
    assert (spec.address, spec.port, spec.xff_trusted_hops, spec.workers) == ("::", 443, 1, 3)
    assert spec.access_log == f"{tmp_path}/a.log"
    assert spec.hosts == ("a.example", "b.example")
    assert spec.body_bytes == 1024 * 1024
    assert spec.ca_file == f"{tmp_path}/roots.pem"
    assert spec.door == Door(requests_per_s=10, burst=20, address_requests_per_s=5, address_burst=6)
    assert (spec.control.enabled, spec.control.remote_admin) == (True, False)
    assert (spec.control.tokens.requests_per_s, spec.control.tokens.burst) == (2, 3)
    assert spec.control.tokens.address_burst == Control().tokens.address_burst
    assert spec.control_socket == f"{spec.run_dir}/control.sock"
    assert (spec.bounds.connections, spec.bounds.exchanges, spec.bounds.backend_requests) == (7, 8, 9)
    assert (spec.deadlines.authz_ms, spec.deadlines.message_ms, spec.deadlines.connect_s) == (100, 200, 5)


def test_all_mistakes_are_told_at_once_each_with_its_line(tmp_path):
    told = problems(
        tmp_path,
        "tls:\n  cert: c.pem\n  client_certificates: maybe\n"
        "workers: {run_dir: run, count: 0}\nlistener:\n  port: 70000\n  adress: 0.0.0.0\n"
        "admin: {socket: s}\npolicy_dir: p\n",
    )
    assert sorted(told) == [
        "2: tls.key is missing",
        "3: client_certificates must be off, optional or required",
        "4: workers.count must be a whole number, 1 to 256",
        "6: listener.port must be a whole number, 1 to 65535",
        "7: listener.adress is not a known key",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: tls is missing"),
        ("- a\n", "1: the file must be a mapping"),
        ("tls: [\n", "2: not YAML: "),
        (LEAST + "policy_dir: other\n", "5: policy_dir is given twice"),
        (LEAST + "hosts: []\n", "5: hosts must be a list with an entry"),
        (LEAST + "body_bytes: 1e6\n", "5: body_bytes must be a whole number"),
        (LEAST + "body_bytes: ١٠٢٤\n", "5: body_bytes must be a whole number"),
        (LEAST + "listener: {address: localhost}\n", "5: address must be an IP address"),
        (LEAST + "door: {requests_per_s: 10, burst: 5}\n", "1: a burst of a door must be at least"),
        (LEAST + "control: {enabled: yes}\n", "5: enabled must be true or false"),
        (LEAST + "control: {remote_admin: true}\n", "1: control.remote_admin needs control.enabled"),
        (LEAST + "control: {tokens: {burst: 5}}\n", "1: a burst of a door must be at least"),
        (LEAST.replace("key: k.pem", "key: k.pem, client_certificates: required"), "1: client_certificates needs"),
        (LEAST.replace("key: k.pem", "key: k.pem, client_ca: ca.pem"), "1: tls.client_ca means nothing while"),
        (
            LEAST.replace("key: k.pem", "key: k.pem, client_ca: ca.pem, client_certificates: off"),
            "1: tls.client_ca means nothing while tls.client_certificates is off",
        ),
        (LEAST.replace("run_dir: run", f"run_dir: /{'r' * 100}"), "1: socket path is longer than 107 bytes"),
        ("#" * 70_000, "1: file is larger than 65536 characters"),
    ],
)
def test_mistake_is_refused_and_located(tmp_path, text, problem):
    assert any(told.startswith(problem) for told in problems(tmp_path, text))


def test_client_certificates_need_a_ca_also_without_a_file():
    with pytest.raises(ValueError, match="client_ca"):
        EdgeSpec(
            tls=Tls(cert="c", key="k", client_certificates=ClientCertificates.REQUIRED),
            run_dir="/r",
            admin_socket="/a",
            policy_dir="/p",
        )
