"""Code that a reviewer would stop: what is found, what is not, and that nothing waits for it in prose."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guarded
from extproc.core.escape import EscapedHoldBack
from extproc.core.holdback import HoldBack
from extproc.detectors.code import CODE
from extproc.guardrails.guard import Guard
from extproc.guardrails.scanner import Scanner
from gateway.policy.model import Action, RuleSetting

SCANNER = Scanner(CODE)

FOUND = {
    "code.shell_injection": [
        "subprocess.run(cmd, shell=True)", "subprocess.Popen(c, shell = True, cwd=d)", 'os.system(f"rm {name}")', "os.system(cmd)",
        "os.popen(command)", "exec(`git log ${branch}`)", "child_process.exec(cmd)", "shell_exec($cmd)", "system( $x )",
    ],
    "code.eval": ["eval(input())", "exec(code, env)", "eval(request.args)", "new Function(body)", "eval($_GET['x'])", 'eval(f"{x}")'],
    "code.sql_injection": [
        '"SELECT * FROM t WHERE id = " + x', 'f"SELECT * FROM t WHERE id = {x}"', "\"SELECT a FROM t WHERE n = '\" + n + \"'\"",
        "'SELECT a FROM t WHERE id = ' + x", '"DELETE FROM t WHERE a LIKE " . $x', '"INSERT INTO t VALUES (" + v', "`UPDATE t SET a = ${a}`",
    ],
    "code.tls_verification_off": [
        "requests.get(url, verify=False)", "ctx.check_hostname = False", "ssl._create_unverified_context()", "ssl.CERT_NONE",
        "{ rejectUnauthorized: false }", "InsecureSkipVerify: true", "curl -k https://x", "curl --insecure https://x", "curl -sk https://x",
        "wget --no-check-certificate x", "ssh -o StrictHostKeyChecking=no h", "NODE_TLS_REJECT_UNAUTHORIZED=0",
        "curl_setopt($c, CURLOPT_SSL_VERIFYPEER, false)",
    ],
    "code.unsafe_deserialisation": [
        "pickle.load(f)", "pickle.loads(data)", "yaml.load(f)", "yaml.load(f.read())", "yaml.unsafe_load(x)", "unserialize($data)",
        "marshal.loads(b)", "jsonpickle.decode(s)",
    ],
    "code.weak_password_hash": ["hashlib.md5(password.encode())", "sha1(user.password)", "md5($pwd)", "md5(newPassword)"],
}  # fmt: skip
PASSED = [
    'os.system("clear")', "subprocess.run(args)", "model.eval()", "ast.literal_eval(x)", "re.exec(s)", "cursor.execute(sql)", "pickle.dumps(x)",
    "yaml.safe_load(f)", "yaml.load(f, Loader=yaml.SafeLoader)", "md5(content)", "verify=True", "verify=Falsehood", "rejectUnauthorized: true",
    "curl -L https://x", "SELECT a FROM b WHERE c = 1;", '"SELECT * FROM t WHERE id = %s", (x,)', '"SELECT * FROM t WHERE id = ?"',
    "Please verify that False alarms are rare, select a shell, and evaluate (briefly) the system.",
]  # fmt: skip


@pytest.mark.parametrize(("rule", "code"), [(rule, code) for rule, codes in FOUND.items() for code in codes])
def test_what_a_reviewer_would_stop_is_found(rule, code):
    for text in (code, f"```python\n    {code}\n```", f"Use {code} here."):
        assert {finding.rule for finding in SCANNER.scan(text)} == {rule}


@pytest.mark.parametrize("code", PASSED)
def test_other_code_passes(code):
    assert list(SCANNER.scan(f"x = {code}")) == []


def test_every_rule_has_examples():
    assert set(FOUND) == {rule.id for rule in CODE}


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ("Please verify that", ""),
        ("the system shell is", ""),
        ("we sel", ""),
        ("we ver", "ver"),
        ("curl -s", "curl -s"),
        ("md5(us", "md5(us"),
    ],
)
def test_only_the_beginning_of_an_expression_waits(text, waits):
    assert text[SCANNER.undecided_from(text) :] == waits


PIECES = st.sampled_from(
    [*(code for codes in FOUND.values() for code in codes), *PASSED, "verify", "=", "False", "SELECT ", "eval(", " ", "\n", '"', "'", "x",
     "{", "$", "os.", "curl -", "md5(", "passw", "é", "yaml.load(", ")", "-", "."]
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_any_chunking_gives_the_same_text_verdict_and_tally(data):
    text = "".join(data.draw(st.lists(PIECES, max_size=10)))
    wanted = {rule.id: RuleSetting(rule=rule.id, action=data.draw(st.sampled_from(list(Action)))) for rule in CODE}
    guard = Guard.of(guarded.POOL, wanted)
    channel = data.draw(st.sampled_from([HoldBack, EscapedHoldBack]))
    whole = guarded.stream(channel, guard, [text])
    assert guarded.stream(channel, guard, list(text)) == whole
    assert guarded.stream(channel, guard, data.draw(guarded.cuts(text))) == whole
