"""The local key-encryption key: what it wraps is unreadable, bound to its name, and survives a change of the key."""

import base64
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.kek import LocalKek
from control.wrapper import WrapError
from gateway.secrets.reference import SecretError

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
PLAIN = b'{"kty":"EC","d":"the private part"}'


def kek(**keys):
    return LocalKek(keys or {"v1": OLD}, secrets.token_bytes)


@given(st.binary(max_size=4096))
async def test_what_is_wrapped_is_unwrapped(plain):
    assert await kek().unwrap("kid-1", await kek().wrap("kid-1", plain)) == plain


async def test_wrapped_text_shows_nothing_and_never_repeats():
    first, second = await kek().wrap("kid-1", PLAIN), await kek().wrap("kid-1", PLAIN)
    assert first != second
    assert "private" not in first


async def test_a_wrapped_key_cannot_take_the_place_of_another_one():
    with pytest.raises(WrapError):
        await kek().unwrap("kid-2", await kek().wrap("kid-1", PLAIN))


async def test_after_a_change_of_the_key_the_old_text_still_unwraps_and_is_known_to_be_old():
    before, after = kek(v1=OLD), kek(v1=OLD, v2=NEW)
    old, new = await before.wrap("kid-1", PLAIN), await after.wrap("kid-1", PLAIN)
    assert await after.unwrap("kid-1", old) == PLAIN
    assert (after.is_current(old), after.is_current(new)) == (False, True)
    with pytest.raises(WrapError, match="not in the file"):
        await before.unwrap("kid-1", new)


async def test_the_version_in_the_text_is_part_of_what_is_sealed():
    both = kek(v1=OLD, v2=OLD)
    wrapped = await both.wrap("kid-1", PLAIN)
    with pytest.raises(WrapError):
        await both.unwrap("kid-1", wrapped.replace(".v2.", ".v1."))


@pytest.mark.parametrize(
    "text", ["", "kek1", "kek1.v1", "kek1.v1.", "kek1.v1.*", "kek1.v1.AAAA", "vault:v1:AAAA", "kek2.v1.AA"]
)
async def test_anything_else_is_refused_without_being_shown(text):
    with pytest.raises(WrapError) as refused:
        await kek().unwrap("kid-1", text)
    assert "AAAA" not in str(refused.value)
    assert not kek().is_current("vault:v1:AAAA")


@given(st.integers(0, 10_000), st.integers(1, 255))
async def test_a_changed_byte_is_noticed(at, by):
    wrapped = await kek().wrap("kid-1", PLAIN)
    head, _, body = wrapped.rpartition(".")
    raw = bytearray(base64.b64decode(body))
    raw[at % len(raw)] ^= by
    with pytest.raises(WrapError):
        await kek().unwrap("kid-1", f"{head}.{base64.b64encode(bytes(raw)).decode()}")


def test_the_file_holds_versions_and_the_last_one_is_current(tmp_path):
    path = tmp_path / "kek"
    path.write_text(f"# changed in May\nv1: {OLD.hex()}\nv2: {NEW.hex()}\n")
    path.chmod(0o600)
    assert LocalKek.read(path, secrets.token_bytes).is_current("kek1.v2.x")


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("", 0o600, "holds no key-encryption key"),
        ("v1: abcd\n", 0o600, "fewer than 32"),
        (f"v1: {'ab' * 33}\n", 0o600, "33 bytes, not 32"),
        (f"v1: {'ab' * 32}\n", 0o644, "open to every local user"),
    ],
)
def test_a_file_that_is_no_key_is_refused_without_being_shown(tmp_path, text, mode, why):
    path = tmp_path / "kek"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(SecretError, match=why) as refused:
        LocalKek.read(path, secrets.token_bytes)
    assert "abab" not in str(refused.value)
