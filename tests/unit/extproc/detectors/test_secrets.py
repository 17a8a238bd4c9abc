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
]


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
