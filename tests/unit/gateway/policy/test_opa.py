"""policy.yaml's `opa:` and the files of rego/: read into an `Opa`, or refused with the place. Compiles nothing."""

import pytest

from gateway.policy.load import load
from gateway.policy.model import Opa
from gateway.policy.opa import Fault
from gateway.policy.problem import Mark, PolicyError

FILES = {
    "policy.yaml": "name: test\nopa:\n  package: ostiary.authz\n",
    "tenants.yaml": "acme: {models: '*', routes: '*'}\n",
    "backends.yaml": "demo: {url: 'http://127.0.0.1:8091'}\n",
    "models.yaml": "gpt: demo\n",
    "rego/authz.rego": "package ostiary.authz\n",
}
SERVER = "name: test\nopa:\n  package: a.b\n  url: https://opa.example.com:8181\n"


def read(directory, compiled=None, **changes):
    named = {
        name.replace("__", "/").replace("_yaml", ".yaml").replace("_", "."): text for name, text in changes.items()
    }
    for name, body in (FILES | named).items():
        if body is not None:
            path = directory / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(body)
    return load(directory, rules=["pii.email"], compiled=compiled)


def problems(directory, compiled=None, **changes):
    with pytest.raises(PolicyError) as refused:
        read(directory, compiled, **changes)
    return "\n".join(map(str, refused.value.problems))


def test_the_least_section(tmp_path):
    assert read(tmp_path).opa == Opa(package="ostiary.authz", sources={"rego/authz.rego": "package ostiary.authz\n"})


def test_every_field_for_the_library(tmp_path):
    opa = read(
        tmp_path,
        policy_yaml="name: test\nopa:\n  package: a.b_2\n  cache_on: [caller.tenant, request.path, caller.tenant]\n  deadline_ms: 7\n",
        rego__data_json='{"b": 1,\n "a": {"c": [2]}}',
    ).opa
    assert (opa.package, opa.deadline_ms) == ("a.b_2", 7)
    assert opa.cache_on == ("caller.tenant", "request.path")
    assert opa.data == '{"a":{"c":[2]},"b":1}'


def test_every_field_for_a_server(tmp_path):
    text = SERVER + "  ca_file: ca.pem\n  cert_file: own.pem\n  key_file: own.key\n"
    opa = read(tmp_path, policy_yaml=text, rego__authz_rego=None).opa
    assert opa == Opa(
        package="a.b",
        sources={},
        url="https://opa.example.com:8181",
        ca_file="ca.pem",
        cert_file="own.pem",
        key_file="own.key",
    )


def test_a_policy_without_the_section_has_no_opa(tmp_path):
    assert read(tmp_path, policy_yaml="name: test\n", rego__authz_rego=None).opa is None


def test_tests_are_no_part_of_the_version(tmp_path):
    before = read(tmp_path).version
    (tmp_path / "rego/authz_test.rego").write_text("package t\n")
    after = load(tmp_path, rules=["pii.email"])
    assert (after.version, list(after.opa.sources)) == (before, ["rego/authz.rego"])


def test_sources_and_data_are_part_of_the_version(tmp_path):
    sources = FILES["rego/authz.rego"] + "\nx := 1\n"
    changed = [{}, {"rego__authz_rego": sources}, {"rego__data_json": '{"x": 1}'}, {"rego__data_json": '{"x": 2}'}]
    assert len({read(tmp_path, **one).version for one in changed}) == len(changed)


def test_how_data_is_written_is_no_part_of_the_version(tmp_path):
    written = ('{"x": 1, "y": 2}', '{"y":2,\n"x":1}')
    assert len({read(tmp_path, rego__data_json=text).version for text in written}) == 1


REFUSED = {
    "rego without the section": ({"policy_yaml": "name: test\n"}, "rego/authz.rego:1:1: not evaluated"),
    "data without the section": (
        {"policy_yaml": "name: test\n", "rego__authz_rego": None, "rego__data_json": "{}"},
        "rego/data.json:1:1: not evaluated",
    ),
    "no rego": ({"rego__authz_rego": None}, "opa: no Rego to evaluate"),
    "no package": ({"policy_yaml": "name: test\nopa: {deadline_ms: 5}\n"}, "opa.package: missing"),
    "a package that is none": ({"policy_yaml": "name: test\nopa: {package: a-b}\n"}, "expected a package"),
    "a misspelt field": (
        {"policy_yaml": "name: test\nopa: {package: a, deadline: 5}\n"},
        'unknown field "deadline"; did you mean "deadline_ms"?',
    ),
    "a deadline of a minute": (
        {"policy_yaml": "name: test\nopa: {package: a, deadline_ms: 60000}\n"},
        "a whole number from 1 to 1000",
    ),
    "an unknown field to remember by": (
        {"policy_yaml": "name: test\nopa: {package: a, cache_on: [caller.tenants]}\n"},
        'unknown field "caller.tenants"; did you mean "caller.tenant"?',
    ),
    "the time to remember by": (
        {"policy_yaml": "name: test\nopa: {package: a, cache_on: [time]}\n"},
        "depends on the time cannot be remembered",
    ),
    "a file that nobody reads": ({"rego__notes_txt": "hm"}, "rego/notes.txt:1:1: not read"),
    "data that is no JSON": ({"rego__data_json": '{\n "a": }'}, "rego/data.json:2:"),
    "data that is no object": ({"rego__data_json": "[1]"}, "expected a JSON object"),
    "a NUL that hides the rest": ({"rego__authz_rego": "package a\n\0\nx := 1\n"}, "rego/authz.rego:2:1: holds a NUL"),
    "a source that is a book": ({"rego__authz_rego": "#" * 262_145}, "larger than 256 KiB"),
    "a key in a comment": (
        {"rego__authz_rego": "package a\n# sk-abcdefghijklmnopqrstu\n"},
        "rego/authz.rego:2:3: holds what looks",
    ),
    "a key in data": ({"rego__data_json": '{"k": "sk-abcdefghijklmnopqrstu"}'}, "holds what looks like a live key"),
    "files for the library's server": (
        {"policy_yaml": "name: t\nopa: {package: a, ca_file: ca.pem}\n"},
        "means nothing without `url`",
    ),
    "rego beside a server": ({"policy_yaml": SERVER}, "rego/ would never be evaluated"),
    "data beside a server": (
        {"policy_yaml": SERVER, "rego__authz_rego": None, "rego__data_json": "{}"},
        "rego/ would never be evaluated",
    ),
    "a server's decisions remembered": (
        {"policy_yaml": SERVER + "  cache_on: [caller.tenant]\n", "rego__authz_rego": None},
        "decisions of a server are not remembered",
    ),
    "a certificate without its key": (
        {"policy_yaml": SERVER + "  cert_file: own.pem\n", "rego__authz_rego": None},
        "cert_file and key_file belong together",
    ),
    "plain http to another machine": (
        {"policy_yaml": "name: t\nopa: {package: a, url: 'http://10.0.0.9:8181'}\n", "rego__authz_rego": None},
        "opa.url: plaintext http goes to loopback only",
    ),
    "a path": (
        {
            "policy_yaml": "name: t\nopa: {package: a, url: 'https://opa.example.com/v1/data'}\n",
            "rego__authz_rego": None,
        },
        "without a path",
    ),
    "trust for plain http": (
        {
            "policy_yaml": "name: t\nopa: {package: a, url: 'http://127.0.0.1:1', ca_file: a}\n",
            "rego__authz_rego": None,
        },
        "means nothing without https",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused_with_its_place(case, tmp_path):
    changes, words = REFUSED[case]
    assert words in problems(tmp_path, **changes)


def test_what_the_compiler_finds_is_a_problem_like_any_other(tmp_path):
    def compiled(opa):
        assert opa.package == "ostiary.authz"
        yield Fault(Mark("rego/authz.rego", 3, 1), "does not compile", "mend it")

    assert "rego/authz.rego:3:1: does not compile; mend it" in problems(tmp_path, compiled)


def never(opa):
    raise AssertionError(opa.package)


def test_the_compiler_is_not_asked_about_what_is_refused_already(tmp_path):
    assert "unknown field" in problems(tmp_path, never, policy_yaml="name: test\nopa: {package: a, cache_on: [x]}\n")


def test_the_compiler_is_not_asked_about_what_a_server_holds(tmp_path):
    assert read(tmp_path, never, policy_yaml=SERVER, rego__authz_rego=None).opa.sources == {}
