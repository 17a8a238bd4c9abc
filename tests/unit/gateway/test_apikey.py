"""API keys: their form, minting, and what never shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.apikey import Peppers, mint, new_id
from gateway.secrets.reference import peppers as read

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PEPPERS = Peppers(current="v2", secrets={"v1": OLD, "v2": NEW})
KEY_ID = "acme00000001"


def counting(count: int) -> bytes:
    return bytes(range(1, count + 1))


@pytest.fixture
def minted():
    return mint(KEY_ID, counting, PEPPERS)


def test_minted_key_has_the_documented_form(minted):
    prefix, key_id, secret = minted.text.split("_")
    assert (prefix, key_id, len(secret)) == ("osk", KEY_ID, 43)
    assert secret.isalnum()
    assert minted.pepper == "v2"


@given(first=st.binary(min_size=32, max_size=32), second=st.binary(min_size=32, max_size=32))
def test_different_secrets_give_different_keys(first, second):
    texts = {mint(KEY_ID, lambda _, secret=secret: secret, PEPPERS).text for secret in (first, second)}
    assert len(texts) == len({first, second})


@given(random=st.binary(min_size=16, max_size=16))
def test_new_ids_fit_the_form(random):
    assert mint(new_id(lambda _: random), counting, PEPPERS).id


@pytest.mark.parametrize("key_id", ["", "short", "ACME00000001", "acme0000000_", "acme000000012"])
def test_bad_id_cannot_be_minted(key_id):
    with pytest.raises(ValueError, match="key id"):
        mint(key_id, counting, PEPPERS)


def test_nothing_secret_shows(minted):
    assert minted.text not in repr(minted)
    assert repr(NEW) not in repr(PEPPERS)
    assert "secrets" not in repr(PEPPERS)


def test_the_last_pepper_listed_is_current(tmp_path):
    file = tmp_path / "peppers"
    file.touch(0o600)
    file.write_text(f"v1: {OLD.hex()}\nv2: {NEW.hex()}\n")
    assert Peppers.of(read(file)) == PEPPERS
