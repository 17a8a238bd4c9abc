"""The rules as a set: ids, placeholders, the stated window, and everyday text that passes."""

import re

import pytest

import guarded
from extproc.detectors.catalogue import RULE_IDS, RULES
from extproc.guardrails.guard import Tally


def test_ids_are_unique_and_stable():
    assert len(RULE_IDS) == len(RULES)
    assert {
        "pii.email", "pii.card", "pii.iban", "pii.ipv4", "pii.ipv6", "pii.phone", "pii.national_id", "pii.us_ssn", "pii.us_itin",
        "pii.us_ssn_plain", "pii.passport", "pii.driver_licence", "pii.uk_driver_licence", "pii.medical_record",
        "pii.health_insurance", "pii.us_npi", "pii.us_dea", "pii.uk_nhs", "pii.bank_account", "pii.us_routing", "pii.bic",
        "pii.tax_id", "pii.employee_id", "pii.imei", "pii.device_id", "pii.mac", "pii.vin", "pii.bitcoin", "pii.bitcoin_segwit",
        "pii.ethereum", "pii.street_address", "pii.coordinates", "pii.birth_date", "secrets.openai", "secrets.anthropic",
        "secrets.aws_access_key", "secrets.github", "secrets.slack", "secrets.google_api", "secrets.stripe", "secrets.jwt",
        "secrets.private_key", "secrets.url_password", "secrets.vendor_token", "secrets.assigned",
        "url.forbidden", "url.unknown", "url.homograph", "url.exfiltration", "url.scheme", "leak.system_prompt",
        "code.shell_injection", "code.eval", "code.sql_injection", "code.tls_verification_off", "code.unsafe_deserialisation",
        "code.weak_password_hash",
    } == RULE_IDS  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_placeholders_are_safe_in_json_and_urls_and_trigger_nothing(rule):
    assert re.fullmatch(r"\[[A-Z_]+\]", rule.placeholder)
    assert list(guarded.POOL.scanner(RULE_IDS).scan(rule.placeholder * 3)) == []


def test_what_is_held_stays_within_the_stated_window():
    assert max(rule.limit_chars for rule in RULES) == 200


@pytest.mark.parametrize(
    "text",
    [
        "Dear Ms Smith, your order 2024-001234 (EUR 1,234.56) ships on 2024-11-05 at 10:30; track 1Z999AA10123456784.",
        "def f(x: int) -> str:\n    return f'{x:04d}'  # see issue #1234 and PEP 8, section 3.2\n@decorator\nclass A: ...",
        "git commit 8d89aa0c2f1b6d7e9a0b1c2d3e4f5a6b7c8d9e0f; docker run -p 8080:80 -v /a:/b img:1.2.3",
        "The UUID is 123e4567-e89b-12d3-a456-426614174000, the MD5 d41d8cd98f00b204e9800998ecf8427e.",
        "Open between 9:00 and 17:30, room 301-4567, at 10-12 Uhr, extension 4567. ISBN 978-3-16-148410-0, EAN 4006381333931.",
        "| 4500 | 3200 | 1800 |\n| 2020 | 2021 | 2022 |\n0.1234567890123456 3.14159265358979 1732190000000 6.02214076e23",
        'curl -H "Authorization: Bearer $TOKEN" https://api.example.com:8443/v1/x?a=1&b=2#frag | jq .a.b',
        "npm i left-pad@1.3.0 && pip install 'a[b]==1.2.3.post4'; gcc 13.2.0; kernel 6.1.0-18-amd64; Chrome/120.0.6099.109",
        "std::vector<std::string> v; Foo::Bar::baz(); a ? b : c; 12:34:56.789; 2024-01-15T10:30:00+01:00; fe80 and ::",
        "SELECT * FROM t WHERE a='x' AND b IN (1, 2, 3) -- 100%; a@b; @media print; e.g. i.e. etc.; www.example.com",
        "ÜBERGRÖSSE IM LAGER: 12 STÜCK ZU 4 KARTONS. LIEFERUNG AB WERK DE 2024 NR 4711.",
    ],
)  # fmt: skip
def test_everyday_text_and_code_pass_unchanged(text):
    tally = Tally()
    assert guarded.redacting().apply(text, tally).text == text
    assert tally.counts == {}
