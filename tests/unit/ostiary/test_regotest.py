"""`ostiary policy test`: Rego's unit tests by the library, with file and line, and why one failed."""

import shutil
import subprocess

import pytest

import rego
from ostiary import regotest
from ostiary.cli import main
from ostiary.problem import Problem

pytestmark = rego.needs_library


@pytest.fixture
def example(tmp_path):
    shutil.copytree(rego.EXAMPLE, tmp_path / "policy")
    return tmp_path / "policy"


def change(directory, old, new):
    file = directory / "rego/authz_test.rego"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_example_passes_its_own_tests(example, capsys):
    assert regotest.run(example) == 0
    told = capsys.readouterr().out
    assert "PASS rego/authz_test.rego:20 test_a_researcher_may_use_the_models_of_the_group" in told
    assert told.endswith("6 of 6 passed\n")


def test_a_failure_is_told_with_the_line_that_did_not_hold_and_its_variables(example, capsys):
    change(example, '"max_tokens": 100,\n', '"max_tokens": 101,\n')
    assert regotest.run(example) == 1
    told = capsys.readouterr().out
    assert "FAIL rego/authz_test.rego:20 test_a_researcher" in told
    assert "rego/authz_test.rego:23: found.obligations == " in told
    assert "found = {'allow': True" in told
    assert told.endswith("5 of 6 passed\n")


@pytest.mark.parametrize(("body", "words"), [("1 / 0 == 1", "divide by zero"), ("false", "rego/authz_test.rego")])
def test_a_test_that_cannot_be_true_fails(example, capsys, body, words):
    change(example, "test_an_unknown_tenant_is_refused if {", f"test_an_unknown_tenant_is_refused if {{\n\t{body}")
    assert regotest.run(example) == 1
    assert words in capsys.readouterr().out


def refused(directory):
    with pytest.raises(Problem) as caught:
        regotest.run(directory)
    return str(caught.value)


def test_tests_that_ask_the_network_are_not_run(example):
    change(example, "tenants := ", 'x := http.send({"method": "get", "url": "http://127.0.0.1:9"})\n\ntenants := ')
    assert "rego/authz_test.rego:5:6: http.send is not allowed" in refused(example)


def test_tests_that_do_not_compile_are_told(example):
    change(example, "tenants := ", "x := nobody\n\ntenants := ")
    assert refused(example) == "rego/authz_test.rego:5: var nobody is unsafe"


def test_a_policy_without_tests_is_told_where_to_write_them(example):
    (example / "rego/authz_test.rego").unlink()
    assert "no test_* rules" in refused(example)


def test_a_policy_without_rego_has_nothing_to_test(example):
    shutil.rmtree(example / "rego")
    (example / "policy.yaml").write_text("name: test\n")
    assert "no Rego of its own" in refused(example)


def test_the_commands_take_the_example_as_it_is_shipped(capsys):
    assert main(["policy", "check", str(rego.EXAMPLE)]) == 0
    assert main(["policy", "test", str(rego.EXAMPLE)]) == 0
    assert "opa-example" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("opa") is None, reason="no `opa` on the PATH to compare with")
def test_opa_itself_says_the_same():
    done = subprocess.run(["opa", "test", str(rego.EXAMPLE / "rego"), "-v"], capture_output=True, text=True, check=True)
    assert "PASS: 6/6" in done.stdout
