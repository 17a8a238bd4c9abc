"""What of a question may leave this process for an index that others hold: names, signs, a sealed rest. No I/O.

Texts can be guessed from their vectors, so no vector leaves in the clear. What finds a question are the signs of its
vector after a turn that only who has the pepper knows, another one for each place. Likeness inside a place stays
visible, or nothing could be found by it. The rest (text, vectors, when it ends) is encrypted with AES-256-GCM under a
key of the tenant, bound to place and name.
"""

import base64
import binascii
import hmac
import secrets
import struct
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from analysis.head import WEIGHTS_SHA256, Floats
from analysis.neighbours import LAYERS, WIDTH, stepped

#: Separates these uses of a pepper from all others (RFC 5869 section 3.2). Other weights give other vectors, so they
#: have other names and keys: nothing of one model is ever compared with what is of another.
_NAMES: Final = f"ostiary similar names 1 {WEIGHTS_SHA256} ".encode()
_SEALS: Final = f"ostiary similar seals 1 {WEIGHTS_SHA256} ".encode()
_TURNS: Final = f"ostiary similar turns 1 {WEIGHTS_SHA256} ".encode()
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12  # random, for fewer than 2^32 questions of one key (NIST SP 800-38D section 8.3)
_TENANTS: Final = 4096  # whose keys are remembered
_HEAD: Final = struct.Struct(f"<Q{LAYERS}f")  # when it ends, what a step of each vector is worth
_STEPS: Final = LAYERS * WIDTH
_WORD: Final = 8  # bytes of a random number
#: Of a turn: other signs, another order, and all numbers mixed. After three, turns of vectors are as good as any
#: (Yu et al. 2016, "Orthogonal random features"), and cost a fiftieth of drawing a matrix.
_ROUNDS: Final = 3
_ROUND_BYTES: Final = WIDTH * _WORD + WIDTH // 8
_SIDE: Final = 128


@dataclass(frozen=True, slots=True)
class Veiled:
    """What is sealed."""

    text: str = field(repr=False)
    ends_ms: int  # unix: hosts share nothing else
    vectors: Floats = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Keys:
    names: bytes = field(repr=False)
    sealing: AESGCM = field(repr=False)
    turns: bytes = field(repr=False)


class Veil:
    """Hides and shows with one pepper. With another one everything has other names: the index begins anew."""

    __slots__ = ("_keys", "_pepper")

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper
        self._keys: dict[str, _Keys] = {}

    def place(self, tenant: str, partition: str) -> str:
        """The name of the place out there: not even that of the partition in entries of the cache is the same."""
        return hmac.digest(self._of(tenant).names, partition.encode(), "sha256").hex()

    def signs(self, tenant: str, place: str, vector: Floats) -> bytes:
        """Signs of the vector, turned: 1 and -1 as floats of four bytes, which is how Redis reads vectors."""
        drawn = _stream(hmac.digest(self._of(tenant).turns, place.encode(), "sha256"), _ROUNDS * _ROUND_BYTES)
        turned = vector
        for start in range(0, len(drawn), _ROUND_BYTES):
            order = np.argsort(np.frombuffer(drawn, dtype="<u8", count=WIDTH, offset=start), kind="stable")
            bits = np.frombuffer(drawn, dtype=np.uint8, count=WIDTH // 8, offset=start + WIDTH * _WORD)
            turned = _mixed(np.where(np.unpackbits(bits), turned, -turned)[order])
        signs: bytes = np.where(turned > 0, 1, -1).astype("<f4").tobytes()
        return signs

    def close(self, tenant: str, place: str, name: str, said: Veiled) -> bytes:
        """The rest, sealed: a string of JSON, since that is what attributes of an element are."""
        steps, scales = stepped(said.vectors)
        plain = _HEAD.pack(said.ends_ms, *scales.tolist()) + steps.tobytes() + said.text.encode()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._of(tenant).sealing.encrypt(nonce, plain, _bound(place, name))
        return b'"%b"' % base64.b64encode(sealed)

    def open(self, tenant: str, place: str, name: str, sealed: bytes) -> Veiled | None:
        """What was closed for that place under that name; None for anything else."""
        try:
            raw = base64.b64decode(sealed[1:-1], validate=True)
            plain = self._of(tenant).sealing.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound(place, name))
        except (InvalidTag, ValueError, binascii.Error):
            return None
        ends_ms, *scales = _HEAD.unpack_from(plain)
        steps = np.frombuffer(plain, dtype=np.int8, count=_STEPS, offset=_HEAD.size).reshape(LAYERS, WIDTH)
        vectors = steps.astype(np.float32) * np.array(scales, dtype=np.float32)[:, None]
        return Veiled(plain[_HEAD.size + _STEPS :].decode(), ends_ms, vectors)

    def _of(self, tenant: str) -> _Keys:
        found = self._keys.get(tenant)
        if found is None:
            if len(self._keys) >= _TENANTS:
                self._keys.clear()
            names, seals, turns = (_derive(self._pepper, use + tenant.encode()) for use in (_NAMES, _SEALS, _TURNS))
            found = self._keys[tenant] = _Keys(names, AESGCM(seals), turns)
        return found


def _hadamard(side: int) -> Any:
    """Rows of 1 and -1, each at right angles to the others (Sylvester 1867), of unit length."""
    rows = np.ones((1, 1), dtype=np.float32)
    while len(rows) < side:
        rows = np.block([[rows, rows], [rows, -rows]])
    return rows / np.sqrt(np.float32(side))


_SQUARE: Final = _hadamard(_SIDE)
_BLOCKS: Final = np.eye(WIDTH // _SIDE, dtype=np.float32) - np.float32(
    2 * _SIDE / WIDTH
)  # a reflection (Householder 1958)


def _mixed(vector: Floats) -> Any:
    """Each number of the result is made of all numbers; lengths and angles stay."""
    return (_BLOCKS @ vector.reshape(-1, _SIDE) @ _SQUARE).ravel()


def _stream(key: bytes, count: int) -> bytes:
    """Bytes that cannot be guessed, the same for the same key. No key is used for two streams."""
    return Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(count))


def _bound(place: str, name: str) -> bytes:
    return b"%b:%b" % (place.encode(), name.encode())


def _derive(pepper: bytes, info: bytes) -> bytes:
    # No salt: a pepper is random and as long as the digest (RFC 5869 section 3.1 allows it).
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(pepper)
