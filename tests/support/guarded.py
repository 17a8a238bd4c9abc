"""Texts full of planted findings, ways of cutting them, and guards over all rules: shared by the guard's tests."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hypothesis import strategies as st

from extproc.core.holdback import HoldBack
from extproc.detectors.catalogue import RULES
from extproc.guardrails.guard import Guard, Tally
from extproc.guardrails.scanner import ScannerPool
from gateway.policy.model import Action, Mode, RuleSetting

POOL = ScannerPool(RULES)

#: Put together here, so that no scanner of repositories takes them for leaked keys. None opens anything.
OPENAI_KEY = "sk-" + "proj-Ab3" + "dE5fG7hJ9kL2mN4pQ6rS8tV" * 2
ANTHROPIC_KEY = "sk-" + "ant-api03-" + "Zx9-cV8_bN7mQ6wE5rT4yU3" * 4
AWS_KEY = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB_TOKEN = "ghp_" + "a1B2c3D4e5F6" * 3
GITHUB_PAT = "github_" + "pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz"
SLACK_TOKEN = "xoxb-" + "123456789012-1234567890123-abcdefGHIJKL"
GOOGLE_KEY = "AIza" + "SyA1234567890abcdefghijklmnopqrstuv"
STRIPE_KEY = "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc"
JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
LONG_JWT = "eyJ" + "hbGciOiJSUzI1NiIsImtpZCI6I" * 12 + "." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0" * 9 + ".c2lnbmF0dXJl"
PEM_BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n" * 4
PEM = "-----BEGIN PRIVATE " + "KEY-----\n" + PEM_BODY + "-----END PRIVATE " + "KEY-----"
GITLAB_TOKEN = "glpat-" + "aB3dE6gH9jK2mN5pQ8sT"
SENDGRID_KEY = "SG." + "aB3dE6gH9jK2mN5pQ8sT-_" + "." + "uV1wX4yZ7" * 5
ASSIGNED = "password: " + "hV7kQ2xZ9pLm4RtB"
URL = "postgres://app:s3cr3t" + "-pass@db.example.com/orders"

EXFILTRATING = "https://collect.example.net/i.png?d=" + "dGhlIHVzZXIgaXMg" * 4

PLANTS = (
    "joe@example.com", "a.b-c@mail.example.co.uk", "jörg@müller.de", "a@b.com@c.com",
    "4111 1111 1111 1111", "4111111111111111", "3782-822463-10005", "1 5555 5555 5555 4444",
    "DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "gb29nwbk60161331926819",
    "203.0.113.7", "2001:db8::1", "fe80::1%eth0", "::ffff:203.0.113.9",
    "+49 30 1234567", "+1 (749) 843-7937", "(213) 555-2671", "tel: 030 1234567", "219-09-9999", "ssn 219099999", "912-70-1234",
    "Passport no X1234567", "License: DL-D14605-05", "MRN: MRN-1720632", "NPI 2097944615", "DEA: BH8052163", "VIN 1HGBH41JXMN109186",
    "NHS: 943 476 5919", "account 10200564", "BIC: DEUTDEFF500", "EIN 12-3456789", "IMEI: 49-015420-323751-8",
    "1a:ee:01:c2:5e:12", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    "0x52908400098527886E0F7030069857D2E4169EE7", "390.533.447-05", "2 95 10 99 126 111 93", "AB 12 34 56 C", "2341 2341 2346",
    "PESEL: 44051401359", "7753 Hickory Boulevard, Georgetown, FL 37453", "12B N Main St", "40.7128° N, 74.0060° W",
    "52.5200, 13.4050", "DOB: 1964-12-09", "born on March 5, 1985", "MORGA657054SM9IJ", "device: AEBE52E7-03EE-455A-B3C4-E57283966239",
    OPENAI_KEY, ANTHROPIC_KEY, AWS_KEY, GITHUB_TOKEN, GITHUB_PAT, SLACK_TOKEN, GOOGLE_KEY, STRIPE_KEY, JWT, LONG_JWT,
    GITLAB_TOKEN, SENDGRID_KEY, ASSIGNED, "password=" + "q3f7tG1C!" * 9, "AccountKey=" + "Eby8vdM02xNOcqFlqUwJ" * 4 + "==",
    PEM, PEM.replace("\n", "\\n"), PEM[:90], URL, "https://u:p@ss@host.com/x",
    EXFILTRATING, "https://www.paypa1.com/login", "www.\u0440aypal.com",
)  # fmt: skip
#: What stays of a plant whose label tells it.
LABELS = re.compile(r"(?i)(?:[a-z]+(?: no| on)?[:=]? ?)?")
#: What touches, splits, prolongs or imitates a finding.
NOISE = (
    "@", ".", "-", " ", "1", ":", "/", "://", "\n", "\\n", '"', "\\", "x", "é", "💥", "\u00a0", "A" * 30, "0" * 20,
    "DOB: ", "ssn ", "account ", "12 Main ", " Street", "+1", "(", ")", "°", " N", "19", "Mar", ", ",
    "https://", "http:", "www.", "](", "![a](", "](javascript:", "//", "=", "?", "](java&#115;cript:", "<img src='", "]: ",
    "eyJ", "sk-", "-----BEGIN ", "-----END PRIVATE KEY-----", " the ", "Hello, world. ", ". ", "1.2.", "version ", "_",
)  # fmt: skip

#: Few, because each one is compiled: all, personal data, secrets, and each half without what covers its tail.
SUBSETS = (RULES, RULES[:5], RULES[5:], RULES[1::2])

words = st.one_of(st.sampled_from(PLANTS), st.sampled_from(NOISE), st.text("@. -:/ab1", max_size=6))
texts = st.lists(words, max_size=12).map("".join)


@st.composite
def guards(draw: st.DrawFn) -> Guard:
    """Every rule, each with some action and mode; often everything is redacted."""
    if draw(st.booleans()):
        return redacting()
    settings = {}
    for rule in draw(st.sampled_from(SUBSETS)):
        action, mode = draw(st.sampled_from(list(Action))), draw(st.sampled_from([Mode.ENFORCE, Mode.SHADOW]))
        settings[rule.id] = RuleSetting(rule=rule.id, action=action, mode=mode)
    return Guard.of(POOL, settings, b"k" * 32)


@st.composite
def cuts(draw: st.DrawFn, text: str) -> list[str]:
    """`text` in pieces: single characters, or anything else, empty pieces included."""
    if draw(st.booleans()):
        return list(text)
    at = sorted(draw(st.lists(st.integers(0, len(text)), max_size=30)))
    return [text[start:stop] for start, stop in zip([0, *at], [*at, len(text)], strict=True)]


def guard(actions: Mapping[str, Action], mode: Mode = Mode.ENFORCE) -> Guard:
    """A guard that runs only these rules."""
    return Guard.of(POOL, {rule: RuleSetting(rule=rule, action=actions[rule], mode=mode) for rule in actions})


def redacting() -> Guard:
    """A guard that redacts the findings of every rule."""
    return guard({rule.id: Action.REDACT for rule in RULES})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a channel did: all that the streaming invariant speaks of."""

    text: str
    blocked: str | None
    counts: dict[str, int]


def stream(channel: type[HoldBack], over: Guard, pieces: Iterable[str]) -> Outcome:
    """Push the pieces through a fresh channel, watching what it holds."""
    tally = Tally()
    held = channel(over, tally)
    released = []
    for piece in pieces:
        released.append(held.push(piece))
        assert held.held <= over.scanner.limit_chars + 1
    released.append(held.flush())
    assert held.held == 0
    return Outcome("".join(released), held.blocked, tally.counts)
