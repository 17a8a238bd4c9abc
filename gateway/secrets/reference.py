"""Secrets by reference: policy and settings name files, this reads them. Keeps no cache, watches nothing.

What is read is wrapped so that it cannot reach a log by being formatted, and no error tells a byte of it.
"""

import os
import re
import stat
from pathlib import Path
from typing import Final, NoReturn

#: No credential of a provider is near this long; more is a wrong file, and must not be read into memory.
LIMIT_BYTES: Final = 64 * 1024
#: HMAC keys shorter than the digest lose strength (RFC 2104, section 3): SHA-256 gives 32 bytes.
PEPPER_BYTES: Final = 32
_OTHERS: Final = 0o007
_PEPPER_LINE: Final = re.compile(r"([A-Za-z0-9._-]{1,32}):[ \t]*([0-9A-Fa-f]*)")


class SecretError(Exception):
    """Why a secret cannot be used: names the file and the remedy, never its content."""


class Secret:
    """A string that only `reveal` shows. Compare and store nothing; call `reveal` where the value leaves."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself: for the one line that puts it on the wire."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        # Pickles and copies travel to places that nobody reviews.
        raise TypeError("a Secret is not copied or pickled")


def read_secret(path: Path | str, base_dir: Path) -> Secret:
    """The one-line secret in a file; a relative `path` starts at `base_dir`.

    Raises:
        SecretError: unreadable, open to every local user, empty, too long, or not one line of visible ASCII.
    """
    file = base_dir / path
    text = _text(file)
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SecretError(f"{file} is empty; write the secret into it")
    if not (text.isascii() and text.isprintable()):
        # It becomes a header value: a line break in it would be a second header (RFC 9110, section 5.5).
        raise SecretError(f"{file} is not one line of visible ASCII; it must hold the secret and nothing else")
    return Secret(text)


def read_document(path: Path | str, base_dir: Path) -> Secret:
    """A secret of several lines, such as a key in PEM: never for a header. As `read_secret` otherwise."""
    text = _text(base_dir / path)
    if not text.strip():
        raise SecretError(f"{base_dir / path} is empty; write the secret into it")
    return Secret(text)


def peppers(path: Path) -> dict[str, bytes]:
    """Pepper versions and keys, as `versions` reads them."""
    return versions(path, "pepper")


def versions(path: Path, what: str) -> dict[str, bytes]:
    """Keys by version from lines `version: hex`; blank lines and `#` comments are skipped.

    Raises:
        SecretError: with the number of each bad line, and never its text.
    """
    found: dict[str, bytes] = {}
    problems: list[str] = []
    for number, raw in enumerate(_text(path).split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _PEPPER_LINE.fullmatch(line)
        if match is None:
            problems.append(f"line {number} is not `version: hex`")
            continue
        version, digits = match.groups()
        if len(digits) % 2 or len(digits) < 2 * PEPPER_BYTES:
            problems.append(f"line {number} holds fewer than {PEPPER_BYTES} whole bytes of hex")
        elif version in found:
            problems.append(f"line {number} repeats a version")
        else:
            found[version] = bytes.fromhex(digits)
    if problems:
        raise SecretError(f"{path}: {'; '.join(problems)}")
    if not found:
        raise SecretError(f"{path} holds no {what}; add a line such as `v1: $(openssl rand -hex 32)`")
    return found


def _text(path: Path) -> str:
    data = _read(path)
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        # `from None`: the original error carries the bytes.
        raise SecretError(f"{path} is not ASCII text") from None


def _read(path: Path) -> bytes:
    """Content of a regular file that not everybody may read; mode and content are of the same open file."""
    try:
        # Symlinks are followed: Kubernetes mounts secrets behind two. O_NONBLOCK: a FIFO must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise SecretError(f"cannot open {path}: {getattr(error, 'strerror', 'not a path')}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SecretError(f"{path} is not a regular file")
        if status.st_mode & _OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            raise SecretError(
                f"{path} has mode {mode:04o}, open to every local user; chmod o-rwx it (Kubernetes: defaultMode 0440)",
            )
        return _content(path, descriptor)
    finally:
        os.close(descriptor)


def _content(path: Path, descriptor: int) -> bytes:
    data = b""
    try:
        while len(data) <= LIMIT_BYTES and (more := os.read(descriptor, LIMIT_BYTES + 1)):
            data += more
    except OSError as error:
        raise SecretError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > LIMIT_BYTES:
        raise SecretError(f"{path} is longer than {LIMIT_BYTES} bytes; is it the right file?")
    return data
