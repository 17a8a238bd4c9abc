"""A tenant's lists of hosts, and scanners for the rules on URLs with and without them."""

from extproc.detectors.urls.rules import URLS, finds
from extproc.guardrails.scanner import Scanner
from gateway.policy.model import Urls

LISTS = Urls(
    allow=frozenset({"example.com", "*.example.com", "good.evil.com", "mybank.de"}),
    deny=frozenset({"evil.com", "*.evil.com", "*.internal", "xn--e1afmkfd.example"}),
)
PLAIN = Scanner(URLS)
LISTED = PLAIN.finding_by(finds(LISTS))
ENCODED = "dGhlIHVzZXIgaXMg" * 4


def found(text, scanner=LISTED):
    return {(finding.rule, text[finding.start : finding.end]) for finding in scanner.scan(text)}


def rules(text, scanner=LISTED):
    return {rule for rule, _ in found(text, scanner)}
