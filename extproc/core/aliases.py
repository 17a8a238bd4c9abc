"""The placeholders of one exchange and what they stand for. Lives in its memory and nowhere else; finds nothing.

A placeholder reads `[EMAIL_TBCDFGHJKLMNP]`: what kind of value, then a code. The code is a checksum, an HMAC of kind
and value under a key that is drawn for this exchange. So the same value has the same placeholder, nobody can make one
up who has not seen it, and text of this form that a prompt brings along stands for nothing. Twenty consonants spell
it: no digits, so that no rule takes it for a number, no vowels, so that it is no word, and case does not matter.
"""

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.audit.record import Found

#: What codes are spelt with, in any case.
CONSONANTS: Final = "BCDFGHJKLMNPQRSTVWXZ"
#: 52 bits. A guess that hits shows the caller a value of their own in another place, no more.
CODE_CHARS: Final = 12
#: Longest value that comes back; an RSA key of 4,096 bits has 3,300. What is longer is redacted: a model that repeats a
#: short placeholder must not make a long answer.
VALUE_CHARS: Final = 4096
#: Put back in one exchange; a thousand times what answers of real conversations hold. Then placeholders stay.
_RESTORED_CHARS: Final = 8 * 1024 * 1024
#: Characters read behind a placeholder: the rest of a host's label (RFC 1035, section 2.3.4), and what tells of it.
BEHIND_CHARS: Final = 63 + 2
#: Between the kind and the code.
MARK: Final = "_T"
_OWN: Final = re.compile(rf"\[[A-Z_]{{1,40}}{MARK}([{CONSONANTS}]{{{CODE_CHARS}}})\]")
KEY_BYTES: Final = 32  # as long as the digest (RFC 2104, section 3)


@dataclass(frozen=True, slots=True, repr=False)
class Alias:
    """One value that did not leave the gateway."""

    rule: str
    kind: str  # "EMAIL"
    value: str


class Aliases:
    """What the placeholders of one exchange stand for, and how often they came back."""

    __slots__ = ("_by_code", "_key", "_left_chars", "escapes", "heads", "kept", "limit_chars", "restored")

    def __init__(self, entropy: Callable[[int], bytes] = secrets.token_bytes, *, escapes: bool = False) -> None:
        """`escapes`: the answer's words are JSON, and a value must not end the string that it stands in."""
        self.escapes: Final = escapes
        self._key = entropy(KEY_BYTES)
        self._by_code: dict[str, Alias] = {}
        self._left_chars = _RESTORED_CHARS
        self.heads: frozenset[str] = frozenset()  # "EMAIL_T": how placeholders of this exchange begin
        self.limit_chars = 0  # of the longest placeholder as a model may write it, with what is read behind it
        self.restored: Final[dict[str, int]] = {}  # by rule
        self.kept: Final[dict[str, int]] = {}  # placeholders that stayed because of where they stood

    def __repr__(self) -> str:
        return f"Aliases({len(self._by_code)} values)"

    def __len__(self) -> int:
        return len(self._by_code)

    def put(self, rule: str, placeholder: str, value: str) -> str:
        """What stands for `value`, which `rule` found; `placeholder` is the one of its kind, "[EMAIL]"."""
        kind = placeholder[1:-1]
        value = _OWN.sub(self._expanded, value)  # a later finding may cover an earlier placeholder
        if len(value) > VALUE_CHARS:
            return placeholder
        code = self._code(kind, value)
        if code not in self._by_code:
            self._by_code[code] = Alias(rule, kind, value)
            head = kind + MARK
            if head not in self.heads:
                self.heads |= {head}
                # A backslash before each underscore and bracket, both brackets, and what is read behind.
                longest = len(head) + head.count("_") + CODE_CHARS + 2 * len("\\[") + BEHIND_CHARS
                self.limit_chars = max(self.limit_chars, longest)
        return f"[{kind}{MARK}{code}]"

    def of(self, code: str) -> Alias | None:
        """What a code in capitals stands for, or None when it is not of this exchange."""
        return self._by_code.get(code)

    def affords(self, alias: Alias) -> bool:
        """Whether one more value may be put back."""
        return len(alias.value) <= self._left_chars

    def forget(self) -> None:
        """The exchange is over; whoever still holds this holds no value."""
        self._by_code.clear()
        self._key = b""

    def count(self, alias: Alias, *, restored: bool) -> None:
        """A placeholder came back and was replaced, or stayed."""
        if restored:
            self._left_chars -= len(alias.value)
        counts = self.restored if restored else self.kept
        counts[alias.rule] = counts.get(alias.rule, 0) + 1

    def found(self) -> tuple[Found, ...]:
        """The audit's view: how many came back, never which."""
        return tuple(
            Found(rule=rule, direction="response", count=counts[rule], action=action, would="restore")
            for action, counts in (("restore", self.restored), ("keep", self.kept))
            for rule in sorted(counts)
        )

    def _expanded(self, placeholder: re.Match[str]) -> str:
        alias = self._by_code.get(placeholder.group(1))
        return placeholder.group() if alias is None else alias.value

    def _code(self, kind: str, value: str) -> str:
        """The checksum. Two values that share one are told apart by a suffix, tried in turn."""
        turn = 0
        while True:
            told = f"{kind}\0{turn}\0{value}".encode("utf-8", "surrogatepass")
            code = _spelt(int.from_bytes(hmac.digest(self._key, told, "sha256")))
            other = self._by_code.get(code)
            if other is None or (other.kind, other.value) == (kind, value):
                return code
            turn += 1


def _spelt(number: int) -> str:
    letters = []
    for _ in range(CODE_CHARS):
        number, digit = divmod(number, len(CONSONANTS))
        letters.append(CONSONANTS[digit])
    return "".join(letters)
