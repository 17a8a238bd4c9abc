import copy
import os
import pickle
import traceback

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.secrets.reference import LIMIT_BYTES, Secret, SecretError, peppers, read_document, read_secret

HEX = "ab" * 32


@pytest.fixture
def put(tmp_path):
    def write(content: bytes | str, mode: int = 0o600):
        path = tmp_path / "secret"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    return write


def refusal(call, *args):
    with pytest.raises(SecretError) as caught:
        call(*args)
    return str(caught.value), "".join(traceback.format_exception(caught.value))


def test_a_secret_is_shown_by_reveal_only():
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>10}",
        f"{secret!r}",
        repr([secret]),
    ]
    assert all("hunter2" not in text for text in shown)
    assert str(secret) == "***"


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, pickle.dumps, orjson.dumps])
def test_a_secret_cannot_be_copied_or_serialised(copier):
    with pytest.raises(TypeError) as caught:
        copier(Secret("hunter2"))
    assert "hunter2" not in str(caught.value)


def test_relative_paths_start_at_the_base_and_absolute_ones_do_not(put, tmp_path):
    path = put("sk-one\n")
    assert read_secret("secret", tmp_path).reveal() == "sk-one"
    assert read_secret(path, tmp_path / "elsewhere").reveal() == "sk-one"


def test_a_symlink_is_followed_as_kubernetes_needs(put, tmp_path):
    put("sk-one")
    (tmp_path / "link").symlink_to("secret")
    assert read_secret("link", tmp_path).reveal() == "sk-one"


@pytest.mark.parametrize("content", ["value\n", "value\r\n", "value"])
def test_one_trailing_line_break_is_dropped(put, tmp_path, content):
    assert read_secret(put(content), tmp_path).reveal() == "value"


@pytest.mark.parametrize("content", ["", "\n", "\r\n"])
def test_an_empty_secret_is_refused(put, tmp_path, content):
    message, _ = refusal(read_secret, put(content), tmp_path)
    assert "is empty" in message


@pytest.mark.parametrize(
    "content", [b"hunter2\n\n", b"hunter2\nx-evil: 1", b"hunter2\x00", b"hunter2\xff", "hunter2é".encode()]
)
def test_a_secret_that_could_break_a_header_is_refused_and_not_shown(put, tmp_path, content):
    message, shown = refusal(read_secret, put(content), tmp_path)
    assert "ASCII" in message
    assert "hunter2" not in shown


def test_a_document_has_several_lines_and_the_same_care(put, tmp_path):
    assert read_document(put("a\nb\n"), tmp_path).reveal() == "a\nb\n"
    for content in (" \n", "x" * (LIMIT_BYTES + 1), b"hunter2\xff"):
        _, shown = refusal(read_document, put(content), tmp_path)
        assert "hunter2" not in shown
    refusal(read_document, put("a\nb\n", 0o644), tmp_path)


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o644, 0o666, 0o777])
def test_a_file_open_to_every_local_user_is_refused(put, tmp_path, mode):
    message, shown = refusal(read_secret, put("hunter2", mode), tmp_path)
    assert f"{mode:04o}" in message
    assert "chmod" in message
    assert "hunter2" not in shown


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_file_of_owner_and_group_is_accepted(put, tmp_path, mode):
    assert read_secret(put("value", mode), tmp_path).reveal() == "value"


def test_size_is_bounded(put, tmp_path):
    assert len(read_secret(put("a" * LIMIT_BYTES), tmp_path).reveal()) == LIMIT_BYTES
    message, _ = refusal(read_secret, put("a" * (LIMIT_BYTES + 1)), tmp_path)
    assert "longer than" in message


def test_a_missing_file_a_directory_and_a_pipe_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "cannot open" in refusal(read_secret, "none", tmp_path)[0]
    assert "regular file" in refusal(read_secret, ".", tmp_path)[0]
    assert "regular file" in refusal(read_secret, "pipe", tmp_path)[0]
    assert "not a path" in refusal(read_secret, "nul\0", tmp_path)[0]


def test_peppers_are_read_by_version(put):
    path = put(f"# rotated in March\nv1: {HEX}\n\n  2024.b:{HEX.upper()}ff\r\n")
    assert peppers(path) == {"v1": bytes.fromhex(HEX), "2024.b": bytes.fromhex(HEX + "ff")}


def test_every_bad_line_is_told_by_number_and_none_is_shown(put):
    path = put(f"v1: {HEX}\nv2: {HEX[:-2]}\nv1: {HEX}\nhunter2\nv3: hunter2\n: {HEX}\nv4: {HEX}a\n")
    message, shown = refusal(peppers, path)
    assert [f"line {number}" in message for number in range(1, 8)] == [False] + [True] * 6
    assert "hunter2" not in shown
    assert HEX not in shown


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing yet\n"])
def test_a_file_without_a_pepper_is_refused(put, content):
    assert "no pepper" in refusal(peppers, put(content))[0]


def test_peppers_open_to_every_local_user_are_refused(put):
    assert "0644" in refusal(peppers, put(f"v1: {HEX}", 0o644))[0]


_versions = st.text("abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=32)


@given(st.dictionaries(_versions, st.binary(min_size=32, max_size=64), min_size=1, max_size=5))
def test_what_is_written_is_what_is_read(tmp_path_factory, keys):
    path = tmp_path_factory.mktemp("peppers") / "file"
    path.write_text("".join(f"{version}: {key.hex()}\n" for version, key in keys.items()))
    path.chmod(0o600)
    assert peppers(path) == keys
