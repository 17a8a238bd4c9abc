"""Tokens of each issuer go whole and look-alikes stay."""

import pytest

import guarded
from extproc.detectors.secrets import SECRETS
from extproc.guardrails.guard import Tally
from extproc.guardrails.scanner import Scanner
from gateway.policy.model import Action

SCANNER = Scanner(SECRETS)
GUARD = guarded.guard({rule.id: Action.REDACT for rule in SECRETS})

TOKENS = [
    ("secrets.openai", guarded.OPENAI_KEY),
    ("secrets.openai", "sk-" + "abcdefghij0123456789" * 2),
    ("secrets.openai", "sk-" + "or-v1-" + "0123456789abcdef" * 4),
    ("secrets.anthropic", guarded.ANTHROPIC_KEY),
    ("secrets.aws_access_key", guarded.AWS_KEY),
    ("secrets.aws_access_key", "ASIA" + "IOSFODNN7EXAMPLE"),
    ("secrets.github", guarded.GITHUB_TOKEN),
    ("secrets.github", "gho_" + "a1B2c3D4e5F6" * 3),
    ("secrets.github", "ghs_" + "a1B2c3D4e5F6" * 7),
    ("secrets.github", guarded.GITHUB_PAT),
    ("secrets.slack", guarded.SLACK_TOKEN),
    ("secrets.slack", "xapp-" + "1-A0123456789-1234567890-abcdef0123456789" * 3),
    ("secrets.google_api", guarded.GOOGLE_KEY),
    ("secrets.stripe", guarded.STRIPE_KEY),
    ("secrets.stripe", "rk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc" * 4),
    ("secrets.jwt", guarded.JWT),
    ("secrets.jwt", guarded.LONG_JWT),
    ("secrets.jwt", "eyJ" + "hbGciOiJub25lIn0." + "eyJzdWIiOiIxIn0."),
    ("secrets.vendor_token", guarded.GITLAB_TOKEN),
    ("secrets.vendor_token", guarded.SENDGRID_KEY),
    ("secrets.vendor_token", "hf_" + "aBcDeFgHiJ" * 4),
    ("secrets.vendor_token", "npm_" + "a1B2c3D4e5F6" * 3),
    ("secrets.vendor_token", "pypi-" + "AgEIcHlwaS5vcmc" + "aB3dE6gH9jK2" * 9),
    ("secrets.vendor_token", "ya29." + "a0AfB_byC3dE6gH9jK2mN5pQ8sT"),
    ("secrets.vendor_token", "GOCSPX-" + "aB3dE6gH9jK2mN5pQ8sTuV1wX4yZ"),
    ("secrets.vendor_token", "hvs." + "CAESIJ3dE6gH9jK2mN5pQ8sTuV1wX4yZ7" * 3),
    ("secrets.vendor_token", "dop_v1_" + "0123456789abcdef" * 4),
    ("secrets.vendor_token", "shpat_" + "0123456789abcdef" * 2),
    ("secrets.vendor_token", "dapi" + "0123456789abcdef" * 2),
    ("secrets.vendor_token", "SK" + "0123456789abcdef" * 2),
    ("secrets.vendor_token", "gsk_" + "aB3dE6gH9jK2mN5pQ8sT" * 2),
]
#: What is assigned, how, and to what.
VALUES = [
    "hV7kQ2xZ9pLm4Rt",
    "Xk29!fjQ2pz",
    "q3f7tG1C",
    "pU%NkEuQDV!Rgau",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "0123abcd4567ef89",
]
ASSIGNMENTS = [
    ('password = "{}"', '"'), ("DB_PASSWORD={}", ""), ("api_key: {}", ""), ('"client_secret": "{}"', '"'), ("access token is {}", ""),
    ("Server=db;Password={};Encrypt=yes", ";Encrypt=yes"), ("AccountKey={};", ";"), ("IDENTIFIED BY '{}'", "'"), ("aws_secret_access_key = {}", ""),
]  # fmt: skip


def rules(text):
    return sorted({finding.rule for finding in SCANNER.scan(text)})


@pytest.mark.parametrize(("rule", "token"), TOKENS)
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("", ""),
        (" ", " "),
        ("KEY=", "\n"),
        ('"', '"'),
        ("'", "',"),
        ("key: ", ", ok"),
        ("\\n", "\\n"),
        ("(", ")"),
        ("Bearer ", ";"),
    ],
)
def test_a_token_is_removed_whole_whatever_stands_around_it(rule, token, left, right):
    text = f"{left}{token}{right}"
    assert rules(text) == [rule]
    assert GUARD.apply(text, Tally()).text == f"{left}[SECRET]{right}"


@pytest.mark.parametrize(
    "text",
    [
        "sk-", "sk-short", "task-0123456789abcdefghijkl", "risk-assessment-2024-final-version", "disk-usage-monitor-0123456789",
        "sk-loading-spinner-container-wrapper", "sk-step-2-container-wrapper-large", "sk-ant-", "sk_test_0123456789abcdefghij",
        "AKIA", "AKIAIOSFODNN7EXAMPL", "AKIAIOSFODNN7EXAMPLEX", "AKIAIOSFODNN7exampLE", "NAKIAIOSFODNN7EXAMPLE",
        "ghp_short", "ghp_" + "-" * 36, "github_pat_x", "xoxb-", "xoxo-hugs-and-kisses", "xoxb-hugs-and-kisses-to-all",
        "AIzaShort", "AIza is a prefix", "eyJ", "eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9.", "eyJhbGci.x.y", "aeyJhbGciOiJIUzI1NiJ9.abcd.abcd",
        "-----BEGIN CERTIFICATE-----\nMIID", "-----BEGIN PUBLIC KEY-----\nMIIB", "BEGIN PRIVATE KEY", "-----BEGIN PRIVATE KEY",
        "https://example.com/a:b@c", "https://user@example.com", "git@github.com:a/b.git", "https://example.com:8080/x",
        "http://localhost:3000", "postgres://user:${PASSWORD}@db/x", "https://user:<password>@host", "https://user:****@host",
        "https://u:xxxx@host", "see http://a.example and b@c", "550e8400-e29b-41d4-a716-446655440000", "rk_live_", "://:@",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_secret_is_not_found(text):
    assert rules(text) == []


@pytest.mark.parametrize("label", ["", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED "])
def test_every_kind_of_private_key_is_removed(label):
    key = f"-----BEGIN {label}PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{guarded.PEM_BODY}-----END {label}PRIVATE KEY-----"
    assert GUARD.apply(f"key:\n{key}\ndone", Tally()).text == "key:\n[SECRET]\ndone"


def test_the_armour_of_openpgp_and_ssh2_is_known():
    pgp = f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{guarded.PEM_BODY}=abcd\n-----END PGP PRIVATE KEY BLOCK-----"
    ssh = f"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n{guarded.PEM_BODY}---- END SSH2 ENCRYPTED PRIVATE KEY ----"
    assert GUARD.apply(f"{pgp}\n{ssh}\n", Tally()).text == "[SECRET]\n[SECRET]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://app:s3cr3t@db/x", "postgres://[SECRET]@db/x"),
        ("redis://:s3cr3t@cache:6379/0", "redis://[SECRET]@cache:6379/0"),
        ("https://u:p@ss:w@rd@host/x", "https://[SECRET]@host/x"),
        ("amqp://u:p%40ss@[::1]/", "amqp://[SECRET]@[::1]/"),
        ("https://u:" + "p" * 500 + "@host/x", "https://[SECRET]@host/x"),
        ("two https://a:b1@h and https://c:d2@h", "two https://[SECRET]@h and https://[SECRET]@h"),
    ],
)
def test_of_a_url_only_user_and_password_go(text, expected):
    assert GUARD.apply(text, Tally()).text == expected


def test_one_token_counts_once_however_long():
    tally = Tally()
    GUARD.apply(f"{guarded.LONG_JWT} {guarded.JWT} https://u:p@ss@host", tally)
    assert tally.counts == {"secrets.jwt": 2, "secrets.url_password": 1}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(("form", "right"), ASSIGNMENTS)
def test_a_random_value_that_is_assigned_to_a_secrets_name_goes_whole(value, form, right):
    text = form.format(value)
    assert GUARD.apply(text, Tally()).text == text.replace(value, "[SECRET]")
    assert text.endswith(value + right)
    assert rules(text) == ["secrets.assigned"]


def test_a_value_that_is_longer_than_the_window_goes_to_its_end():
    text = f"token: {'aB3dE6gH' * 40} end"
    assert GUARD.apply(text, Tally()).text == "token: [SECRET] end"


@pytest.mark.parametrize(
    "text",
    [
        "hV7kQ2xZ9pLm4Rt", "id = hV7kQ2xZ9pLm4Rt", "password = correct horse battery", "password: hunter2", "token = getToken2(user)",
        "secret = settings.API_SECRET_KEY2", "token: refreshTokenHandler", 'password = "your-password-123"', "api_key = ${API_KEY}",
        "password=xxxxxxxx1A!", "the token Optimization** of models", "the secret now.&#8221;", "password: joe@example.com",
        "token count 1234567890", "api key: AKIA", "password: ********", "the secret is 20241122", "commit e3b0c44298fc1c149afbf4c8996fb924",
    ],
)  # fmt: skip
def test_what_nobody_drew_at_random_or_no_name_tells_is_left_alone(text):
    assert rules(text) == []
