"""What may become policy: Rego that compiles, that is pure, that reads what there is and what is declared."""

import pytest

import rego
from authz.opa import build, library
from gateway.policy.model import Opa

pytestmark = rego.needs_library
HEAD = 'package ostiary.authz\n\nimport rego.v1\n\ndefault decision := {"allow": false}\n\n'


def faults(body, **changes):
    return [f"{one.mark.file}:{one.mark.line} {one.message}" for one in build.check(rego.opa(HEAD + body, **changes))]


#: Every way to mention a function that is not allowed. None of them may come through.
IMPURE = {
    "a call": ("x := http.send({})", "http.send"),
    "a call in brackets": ('x := http["send"]({})', "http.send"),
    "an alias by with": ("f(a) := a\n\nx if f(1) with f as http.send", "http.send"),
    "a mock of it": ("f(a) := a\n\nx if input.time with http.send as f", "http.send"),
    "under another's name": ("import data.q as http\n\nx := http.send(1)", "http.send"),
    "by a variable": ("x := http[input.caller.tenant]", "http[...] could be http.send"),
    "the environment": ("x := opa.runtime()", "opa.runtime"),
    "a template string": ('x := $"at {time.now_ns()}"', "time.now_ns"),
    "an else": ('x := 1 if {\n\tfalse\n} else := uuid.rfc4122("k")', "uuid.rfc4122"),
    "an every": ('x if {\n\tevery k in [1] {\n\t\trand.intn("a", 9) > k\n\t}\n}', "rand.intn"),
    "a comprehension": ('x := {k: v | some k, v in net.lookup_ip_addr("a.test")}', "net.lookup_ip_addr"),
    "a key of a set": ('x contains uuid.rfc4122("a")', "uuid.rfc4122"),
    "a key of a rule": ('x[uuid.rfc4122("a")] := 1', "uuid.rfc4122"),
    "an argument": ('x := count(io.jwt.decode_verify("a.b.c", {}))', "io.jwt.decode_verify"),
    "a remote schema": ('x := json.match_schema({}, {"$ref": "http://127.0.0.1:9/"})', "json.match_schema"),
    "a local variable of its name": ('x := y if {\n\topa := {"runtime": 1}\n\ty := opa.runtime\n}', "opa.runtime"),
    "a default argument": ('f(a) := a\n\nx := f(net.cidr_expand("0.0.0.0/0"))', "net.cidr_expand"),
    "one that nobody knows": ("x := quantum.leap(1)", "quantum.leap"),
}


@pytest.mark.parametrize("case", IMPURE)
def test_every_mention_of_an_impure_function_is_refused(case):
    body, name = IMPURE[case]
    (told,) = faults(body)
    assert name in told
    assert told.startswith("rego/authz.rego:")


def test_a_name_in_a_string_or_a_comment_is_no_mention():
    assert faults('# http.send(...) is not used\nx := "http.send"\n\ny := `opa.runtime()`') == []


def test_what_policies_need_is_allowed():
    body = """x if {
	regex.match(`^/v1/`, input.request.path)
	net.cidr_contains("10.0.0.0/8", input.source.address)
	[hour, _, _] := time.clock([input.time * 1000000000, "Europe/Berlin"])
	hour < 18
	some scope in input.caller.scopes
	startswith(scope, "llm:")
	glob.match("gpt-*", [], sprintf("%s", [lower(scope)]))
	not "x" in input.caller.groups
	print("seen", x)
}"""
    assert faults(body.replace(", x)", ", hour)")) == []


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("package ostiary.authz\n\ndecision := {", 3, "unexpected eof"),
        ("package ostiary.authz\n\ndecision := nope(1)\n", 3, "nope"),
        ("package ostiary.authz\n\ndecision := y\n", 3, "var y is unsafe"),
        ("package ostiary.authz\n\ndecision if decision\n", 3, "recursive"),
        ("package ostiary.authz\n\ndecision := 1 { true }\n", 3, "`if` keyword is required"),
    ],
)
def test_rego_that_does_not_compile_is_told_with_its_line(source, line, words):
    (fault, *_) = build.check(rego.opa(source))
    assert (fault.mark.file, fault.mark.line) == ("rego/authz.rego", line)
    assert words in fault.message


def test_rules_and_data_of_one_name_are_refused():
    assert "conflicting" in faults("x := 1", data='{"ostiary":{"authz":{"x":2}}}')[0]


@pytest.mark.parametrize("source", ["package other\n\ndecision := 1\n", "package ostiary.authz\n\nallow := true\n"])
def test_a_package_without_a_decision_is_refused(source):
    (fault,) = build.check(rego.opa(source))
    assert "no rule" in fault.message.replace("no source has a rule", "no rule")


def test_input_that_there_never_is_is_refused_with_what_may_be_meant():
    (fault,) = build.check(rego.opa(HEAD + 'x if input.caller.tenants == "acme"'))
    assert "caller.tenants" in fault.message
    assert "caller.tenant" in fault.hint


@pytest.mark.parametrize(
    ("body", "lost"),
    [
        ("x := input.caller.principal", "caller.principal"),
        ("x := input.caller", "caller.principal"),
        ("x := count(input)", "source.address"),
        ("x := [v | some v in input.caller]", "caller.groups"),
        ("x := input[y] if some y in [1]", "request.path"),
        ("import input.caller as c\n\nx := c.tenant", "caller.key_id"),
        ("x if input.time > 5", "what depends on time cannot be remembered"),
    ],
)
def test_rego_that_reads_more_than_decisions_are_remembered_by_is_refused(body, lost):
    assert any(lost in told for told in faults(body, cache_on=("caller.tenant",)))
    assert faults(body) == []


def test_rego_that_reads_only_declared_fields_may_be_remembered():
    declared = ("caller.tenant", "caller.scopes")
    assert faults("x if input.caller.tenant == input.caller.scopes[0]", cache_on=declared) == []


def test_tests_are_held_to_the_same_functions():
    sources = {"rego/authz.rego": rego.ALLOW}
    pure = 'package t\n\nimport data.ostiary.authz\n\ntest_it if authz.decision.allow with input as {"any": 1}\n'
    assert list(build.check_tests(sources, {"rego/a_test.rego": pure})) == []
    (fault,) = build.check_tests(sources, {"rego/a_test.rego": pure.replace("any", "x") + "\ny := opa.runtime()\n"})
    assert (fault.mark.file, fault.mark.line) == ("rego/a_test.rego", 7)


def test_without_the_library_rego_is_refused_as_that(monkeypatch):
    def missing():
        raise library.MissingError("missing", "no wheel")

    monkeypatch.setattr(library, "_native", missing)
    (fault,) = build.check(Opa(package="p", sources={"rego/a.rego": "package p\n"}))
    assert "OPA library is not there" in fault.message
    assert "url" in fault.hint
