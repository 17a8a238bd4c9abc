"""Signatures of messages to a webhook, as Standard Webhooks 1.0 has them: made here, and checked as receivers should.

HMAC-SHA-256 over id, time and body: who reads it knows that it is ours, whole and not from yesterday. Sends nothing.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Final

ID: Final = "webhook-id"
TIME: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
#: How far a message's time may be off; the reference libraries of the standard use the same.
REPLAY_S: Final = 300
LEAST_BYTES: Final = 24  # of a secret; the standard asks for 24 to 64
_PREFIX: Final = "whsec_"


class HookError(ValueError):
    """A secret that is none, or a message that is not to be believed. Holds neither."""


def key_of(secret: str) -> bytes:
    """The key in a secret: `whsec_` and base64, or any text.

    Raises:
        HookError: too short, or not base64.
    """
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise HookError("the webhook's secret is not base64 behind whsec_") from None
    else:
        key = secret.encode()
    if len(key) < LEAST_BYTES:
        raise HookError(f"the webhook's secret has fewer than {LEAST_BYTES} bytes")
    return key


def sign(key: bytes, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The three headers of a message."""
    return {ID: message_id, TIME: str(at_s), SIGNATURE: "v1," + _mac(key, message_id, str(at_s), body)}


def verify(key: bytes, headers: Mapping[str, str], body: bytes, now_s: float) -> str:
    """The id of a message that is ours and new. A receiver keeps ids for `REPLAY_S`, and drops those that come again.

    Raises:
        HookError: it is not.
    """
    message_id, at, signatures = (headers.get(name, "") for name in (ID, TIME, SIGNATURE))
    if not (at.isascii() and at.isdigit() and len(at) <= 12) or abs(now_s - int(at)) > REPLAY_S:
        raise HookError("not of this time")
    expected = ("v1," + _mac(key, message_id, at, body)).encode()
    # All of them: how long it takes must not tell which one came near.
    if not sum(hmac.compare_digest(one.encode(), expected) for one in signatures.split(" ")):
        raise HookError("not signed with this secret")
    return message_id


def _mac(key: bytes, message_id: str, at: str, body: bytes) -> str:
    return base64.b64encode(hmac.digest(key, f"{message_id}.{at}.".encode() + body, "sha256")).decode()
