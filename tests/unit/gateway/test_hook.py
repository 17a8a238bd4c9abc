"""Signatures: what the standard publishes as an example, and every way in which a message is not to be believed."""

import base64
import hashlib
import hmac

import pytest

from gateway import hook

#: Example of the Standard Webhooks specification and of its reference libraries' tests.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
NOW = 1_614_265_330


def signed(body=BODY, at=NOW):
    return hook.sign(hook.key_of(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)


def test_the_published_example_comes_out():
    assert signed()[hook.SIGNATURE] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_reckons_the_same_from_the_words_of_the_manual():
    headers = signed(b"[]", 7)
    content = b".".join([headers[hook.ID].encode(), headers[hook.TIME].encode(), b"[]"])
    mac = hmac.new(base64.b64decode(SECRET[6:]), content, hashlib.sha256).digest()
    assert headers[hook.SIGNATURE] == "v1," + base64.b64encode(mac).decode()


def test_a_message_is_believed_for_five_minutes():
    key = hook.key_of(SECRET)
    assert hook.verify(key, signed(), BODY, NOW + 300) == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    for now in (NOW + 301, NOW - 301):
        with pytest.raises(hook.HookError, match="time"):
            hook.verify(key, signed(), BODY, now)


@pytest.mark.parametrize(
    "change",
    [
        {hook.ID: "msg_other"},
        {hook.TIME: str(NOW + 1)},
        {hook.TIME: "x"},
        {hook.TIME: ""},
        {hook.SIGNATURE: "v1,AAAA"},
        {hook.SIGNATURE: ""},
        {hook.SIGNATURE: signed()[hook.SIGNATURE].replace("v1", "v2")},
    ],
)
def test_a_changed_message_is_not_believed(change):
    with pytest.raises(hook.HookError):
        hook.verify(hook.key_of(SECRET), {**signed(), **change}, BODY, NOW)


def test_a_changed_body_or_another_secret_is_not_believed():
    with pytest.raises(hook.HookError):
        hook.verify(hook.key_of(SECRET), signed(), BODY + b" ", NOW)
    with pytest.raises(hook.HookError):
        hook.verify(hook.key_of("another secret of 24 bytes"), signed(), BODY, NOW)


def test_while_secrets_change_one_of_two_signatures_is_enough():
    headers = signed()
    both = {**headers, hook.SIGNATURE: f"v1,AAAA {headers[hook.SIGNATURE]}"}
    assert hook.verify(hook.key_of(SECRET), both, BODY, NOW)


@pytest.mark.parametrize("secret", ["short", "whsec_", "whsec_AAAA", "whsec_*******************************", ""])
def test_a_weak_secret_is_refused_and_not_told(secret):
    with pytest.raises(hook.HookError) as failure:
        hook.key_of(secret)
    assert not secret or secret not in str(failure.value)
