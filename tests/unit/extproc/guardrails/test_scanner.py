"""Findings are local and decided ones stay: the two properties on which streaming rests."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guarded
from extproc.detectors.banned import Banned
from extproc.detectors.catalogue import RULE_IDS, RULES
from extproc.detectors.leak import Canary
from extproc.guardrails import scanner as scanner_module
from extproc.guardrails.finding import Finding
from extproc.guardrails.scanner import Scanner, ScannerPool
from extproc.guardrails.width import narrow
from gateway.errors import GatewayError, Kind

EXAMPLES = settings(max_examples=600, deadline=None, derandomize=True)
SCANNER = guarded.POOL.scanner(RULE_IDS)
ALONE = [guarded.POOL.scanner([rule.id]) for rule in RULES]


@EXAMPLES
@given(guarded.texts, st.integers(0, 400), st.sampled_from([SCANNER, *ALONE]))
def test_what_is_decided_stays_whatever_follows(text, cut, scanner):
    seen = text[:cut]
    decided = scanner.undecided_from(seen)
    assert 0 <= decided <= len(seen)
    assert before(scanner.scan(text), decided) == before(scanner.scan(seen), decided)


def before(findings, end):
    return [finding for finding in findings if finding.start < end]


def open_from(text, shape):
    """Where a span of that shape may begin, as its definition says."""
    tail = text[-shape.limit_chars :]
    start = len(text) - len(tail) + len(tail.rstrip(shape.alphabet))
    starts = [at for at in range(start, len(text)) if text[at] in shape.opens]
    if not starts or shape.opening is None:
        return starts[0] if starts else len(text)
    found = shape.opening.search(text, starts[0])
    return found.start() if found else len(text)


@EXAMPLES
@given(guarded.texts, st.integers(0, 400), st.sampled_from([SCANNER, *ALONE]))
def test_a_text_is_open_from_where_the_first_shape_says_so(text, cut, scanner):
    seen = narrow(text[:cut])
    shapes = [shape for rule in scanner.rules.values() for shape in rule.shapes]
    assert scanner.undecided_from(seen) == min((open_from(seen, shape) for shape in shapes), default=len(seen))


@EXAMPLES
@given(guarded.texts, st.integers(0, 400), st.sampled_from([SCANNER, *ALONE]))
def test_findings_depend_on_no_more_left_context_than_the_rules_say(text, cut, scanner):
    cut = min(cut, len(text))
    clear = cut + scanner.before_chars
    late = [Finding(f.rule, f.start + cut, f.end + cut) for f in scanner.scan(text[cut:])]
    assert [f for f in late if f.start >= clear] == [f for f in scanner.scan(text) if f.start >= clear]


@EXAMPLES
@given(guarded.texts, st.sampled_from([SCANNER, *ALONE]))
def test_findings_keep_to_the_shapes_of_their_rules(text, scanner):
    for finding in scanner.scan(text):
        span = text[finding.start : finding.end]
        shapes = scanner.rules[finding.rule].shapes
        assert any(
            set(span) <= set(shape.alphabet) and span[0] in shape.opens and len(span) <= shape.limit_chars
            for shape in shapes
        )


@EXAMPLES
@given(st.lists(guarded.texts, min_size=1, max_size=4))
def test_texts_joined_by_a_control_character_hide_nothing_from_each_other(parts):
    joined = SCANNER.scan("\x1f".join(parts))
    offset, apart = 0, []
    for part in parts:
        apart += [Finding(f.rule, f.start + offset, f.end + offset) for f in SCANNER.scan(part)]
        offset += len(part) + 1
    assert list(joined) == apart


@EXAMPLES
@given(guarded.texts)
def test_a_rule_finds_the_same_alone_and_among_others(text):
    apart = [finding for scanner in ALONE for finding in scanner.scan(text)]
    assert sorted(apart, key=lambda f: (f.start, -f.end, f.rule)) == list(SCANNER.scan(text))


def test_offsets_are_characters_also_behind_other_scripts():
    text = "💥é中 joe@example.com 中 203.0.113.7"
    spans = [text[f.start : f.end] for f in SCANNER.scan(text)]
    assert spans == ["joe@example.com", "203.0.113.7"]


def test_a_lone_surrogate_does_not_stop_the_guard():
    assert [f.rule for f in SCANNER.scan("\ud800 joe@example.com")] == ["pii.email"]


@pytest.mark.parametrize(
    ("text", "open_part"),
    [
        ("", ""),
        ("Hello, wor", "wor"),
        ("Hello, world.", "world."),
        ("Hello, world. ", ""),
        ("ask joe@exam", "joe@exam"),
        ("pay 4111 1111 ", "4111 1111 "),
        ("HELLO WORLD ", ""),
        ("IBAN DE89 3704 ", "DE89 3704 "),
        ("rule\n---", "---"),
        ("see https://user:pa", "https://user:pa"),
        ("text - ", ""),
        ("a" * 500, "a" * 200),
    ],
)
def test_only_what_may_still_grow_is_undecided(text, open_part):
    assert text[SCANNER.undecided_from(text) :] == open_part


def test_a_scanner_without_rules_finds_nothing_and_holds_nothing():
    empty = Scanner([])
    assert (list(empty.scan("joe@example.com")), empty.undecided_from("joe@"), empty.limit_chars) == ([], 4, 0)


def test_too_many_places_are_refused(monkeypatch):
    monkeypatch.setattr(scanner_module, "HITS_MAX", 10)
    SCANNER.scan("joe@example.com " * 10)
    with pytest.raises(GatewayError) as refused:
        SCANNER.scan("joe@example.com " * 11)
    assert refused.value.kind is Kind.JSON_TOO_COMPLEX
    assert len(SCANNER.scan("joe@example.com")) == 1


def test_a_pool_compiles_each_set_once_and_forgets_the_oldest():
    pool = ScannerPool(RULES[:2])
    first = pool.scanner(["pii.email"])
    assert pool.scanner(iter(["pii.email"])) is first
    assert set(pool.scanner(["pii.email", "pii.card"]).rules) == {"pii.email", "pii.card"}
    with pytest.raises(KeyError):
        pool.scanner(["pii.nothing"])


def test_a_pool_is_bounded(monkeypatch):
    monkeypatch.setattr(scanner_module, "POOL_SCANNERS", 2)
    pool = ScannerPool(RULES[:3])
    first = pool.scanner(["pii.email"])
    pool.scanner(["pii.card"])
    pool.scanner(["pii.email"])
    pool.scanner(["pii.iban"])
    assert pool.scanner(["pii.email"]) is first


@pytest.mark.parametrize("watching", [{"prompts": ("a " * 60,)}, {"banned": {"x": ("a",)}}])
def test_too_many_places_of_what_no_trigger_tells_are_refused_as_well(monkeypatch, watching):
    """An answer that says one word of the prompt for ever would keep a worker busy for seconds."""
    banned = Banned(watching.get("banned", {}))
    scanner = Scanner([]).banning(banned) if banned.rules else Scanner([]).watching(Canary(watching["prompts"]))
    monkeypatch.setattr(scanner_module, "HITS_MAX", 10)
    assert len(scanner.scan("a " * 10 + "b " * 60)) <= 10
    with pytest.raises(GatewayError) as refused:
        scanner.scan("a " * 60)
    assert refused.value.kind is Kind.JSON_TOO_COMPLEX
