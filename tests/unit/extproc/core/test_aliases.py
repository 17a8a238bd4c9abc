import itertools

from hypothesis import given
from hypothesis import strategies as st

from extproc.core.aliases import BEHIND_CHARS, CODE_CHARS, CONSONANTS, VALUE_CHARS, Aliases
from extproc.detectors.catalogue import RULES
from extproc.guardrails.scanner import Scanner
from gateway.audit.record import Found

MAIL = "bob@example.com"
ALL = Scanner(RULES)


def fixed(size):
    return b"k" * size


def test_a_placeholder_tells_the_kind_and_nothing_of_the_value():
    aliases = Aliases()
    placeholder = aliases.put("pii.email", "[EMAIL]", MAIL)
    assert placeholder.startswith("[EMAIL_T")
    assert placeholder.endswith("]")
    code = placeholder.removeprefix("[EMAIL_T").removesuffix("]")
    assert len(code) == CODE_CHARS
    assert set(code) <= set(CONSONANTS)
    assert aliases.of(code).value == MAIL


def test_the_same_value_has_the_same_placeholder_and_another_kind_another():
    aliases = Aliases()
    one = aliases.put("pii.email", "[EMAIL]", MAIL)
    assert aliases.put("pii.email", "[EMAIL]", MAIL) == one
    assert aliases.put("pii.ipv4", "[IP]", MAIL)[-13:] != one[-13:]
    assert len(aliases) == 2


def test_another_exchange_has_another_placeholder_for_the_same_value():
    one, other = Aliases(), Aliases()
    placeholder = one.put("pii.email", "[EMAIL]", MAIL)
    assert other.put("pii.email", "[EMAIL]", MAIL) != placeholder
    assert other.of(placeholder[-13:-1]) is None


def test_the_code_depends_on_the_key_of_the_exchange_alone():
    one, other = Aliases(fixed), Aliases(fixed)
    assert one.put("pii.email", "[EMAIL]", MAIL) == other.put("pii.email", "[EMAIL]", MAIL)


def test_values_whose_codes_collide_are_told_apart():
    aliases = Aliases(fixed)
    placeholder = aliases.put("pii.email", "[EMAIL]", MAIL)
    code = placeholder[-13:-1]
    # As if the second value's first code were taken: its own code now stands for another value.
    second = Aliases(fixed).put("pii.email", "[EMAIL]", "eve@example.com")[-13:-1]
    aliases._by_code[second] = aliases.of(code)
    again = aliases.put("pii.email", "[EMAIL]", "eve@example.com")
    assert again[-13:-1] not in {second, code}
    assert aliases.of(again[-13:-1]).value == "eve@example.com"


def test_nothing_that_is_printed_shows_a_value():
    aliases = Aliases()
    code = aliases.put("pii.email", "[EMAIL]", MAIL)[-13:-1]
    assert MAIL not in repr(aliases)
    assert MAIL not in repr(aliases.of(code))
    assert repr(aliases) == "Aliases(1 values)"


def test_the_record_says_how_many_came_back_and_how_many_stayed():
    aliases = Aliases()
    alias = aliases.of(aliases.put("pii.email", "[EMAIL]", MAIL)[-13:-1])
    for restored in (True, True, False):
        aliases.count(alias, restored=restored)
    assert aliases.found() == (
        Found(rule="pii.email", direction="response", count=2, action="restore", would="restore"),
        Found(rule="pii.email", direction="response", count=1, action="keep", would="restore"),
    )


@given(st.text(max_size=30), st.sampled_from([rule.placeholder for rule in RULES]), st.binary(min_size=32, max_size=32))
def test_no_rule_fires_on_a_placeholder(value, kind, key):
    placeholder = Aliases(lambda _size: key).put("pii.email", kind, value)
    for around in ("{}", "key: {}", "Passport no {}", "IBAN {}", '"{}"', "account {}", "token={}"):
        assert not ALL.scan(around.format(placeholder)), placeholder


def test_a_head_is_kept_once_and_bounds_what_may_wait():
    aliases = Aliases()
    for number, kind in itertools.product(range(3), ("[EMAIL]", "[DATE_OF_BIRTH]")):
        aliases.put("pii.email", kind, str(number))
    assert aliases.heads == {"EMAIL_T", "DATE_OF_BIRTH_T"}
    assert aliases.limit_chars == len(r"\[DATE\_OF\_BIRTH\_T" + "B" * CODE_CHARS + r"\]") + BEHIND_CHARS


def test_a_value_that_covers_a_placeholder_stands_for_what_that_stood_for():
    aliases = Aliases()
    mail = aliases.put("pii.email", "[EMAIL]", MAIL)
    code = aliases.put("pii.person", "[PERSON]", f"Bob {mail} [EMAIL_TBCDFGHJKLMNP]")[-13:-1]
    assert aliases.of(code).value == f"Bob {MAIL} [EMAIL_TBCDFGHJKLMNP]"


def test_a_value_that_is_too_long_is_redacted():
    aliases = Aliases()
    assert aliases.put("secrets.jwt", "[SECRET]", "x" * (VALUE_CHARS + 1)) == "[SECRET]"
    assert aliases.put("secrets.jwt", "[SECRET]", "x" * VALUE_CHARS) != "[SECRET]"


def test_what_may_be_put_back_is_bounded():
    aliases = Aliases()
    alias = aliases.of(aliases.put("secrets.jwt", "[SECRET]", "x" * VALUE_CHARS)[-13:-1])
    times = 0
    while aliases.affords(alias):
        aliases.count(alias, restored=True)
        times += 1
    assert times == 8 * 1024 * 1024 // VALUE_CHARS


def test_nothing_is_left_once_it_is_forgotten():
    aliases = Aliases()
    code = aliases.put("pii.email", "[EMAIL]", MAIL)[-13:-1]
    aliases.forget()
    assert aliases.of(code) is None
    assert not aliases
