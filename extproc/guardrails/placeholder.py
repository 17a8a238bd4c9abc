"""What stands in the place of a found text: nothing of it, its end, or a pseudonym. Pure; keeps no text.

Only capitals, digits, underscores and brackets are written, so that no rule fires on it and JSON stays JSON.
"""

import hmac
from collections.abc import Callable
from typing import Final

from gateway.policy.model import Action

#: A span and what replaces it.
Replace = Callable[[str], str]

_SHOWN_CHARS: Final = 4  # what card receipts show (PCI DSS 4.0, requirement 3.4.1, allows it)
_HIDDEN_CHARS: Final = 5  # of a shorter value, the last four letters would be the better half
_CREDENTIAL: Final = "[SECRET]"
_HASH_DIGITS: Final = 12  # 48 bits: a tenant's million values collide once in two hundred


def replacing(action: Action, placeholder: str, key: bytes) -> Replace | None:
    """How `action` replaces a span; None for actions that replace nothing. Without a key, no pseudonym: redacted."""
    if action is Action.MASK:
        return lambda span: _masked(span, placeholder)
    if action is Action.HASH and key:
        return lambda span: f"{placeholder[:-1]}_X{_digest(span, placeholder, key)}]"
    if action in {Action.REDACT, Action.HASH, Action.TOKENISE}:  # outside of an exchange nothing is to come back
        return lambda _span: placeholder
    return None


def _masked(span: str, placeholder: str) -> str:
    if placeholder == _CREDENTIAL:
        span = span.rpartition(":")[2]  # of "user:password", the password alone must be long
    shown = [char for char in span if char.isascii() and char.isalnum()]
    if len(shown) < _SHOWN_CHARS + _HIDDEN_CHARS:
        return placeholder
    return f"{placeholder[:-1]}_{''.join(shown[-_SHOWN_CHARS:]).upper()}]"


def _digest(span: str, placeholder: str, key: bytes) -> str:
    """The same value written with other gaps is the same person."""
    plain = "".join(char for char in span.casefold() if char.isalnum() or char in "@.+")
    return (
        hmac.digest(key, f"{placeholder}\0{plain}".encode("utf-8", "surrogatepass"), "sha256")
        .hex()[:_HASH_DIGITS]
        .upper()
    )
