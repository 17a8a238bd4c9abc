"""TLS of a hop that this process opens: 1.3, a checked name, an own certificate; files that change count at once.

A client context for any library that takes one. Speaks no protocol itself; Envoy's TLS is Envoy's.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

_log: Final = structlog.get_logger(__name__)
_OTHERS: Final = 0o007


class HopError(Exception):
    """Certificates that cannot be used: names the files and the remedy, never their content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HopFiles:
    """Whom to believe and as whom to speak. Without `ca_file` the host's authorities count."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None  # comes with `cert_file`


#: What tells that a file was replaced: a rename gives a new inode, a write in place a new time. Links are followed,
#: so that Kubernetes' swap of a directory link is seen too.
_Mark = tuple[int, int, int, int]


class Hop:
    """Contexts for new connections. Connections that are open keep the certificate that they were made with."""

    def __init__(self, files: HopFiles) -> None:
        """Reads the files. Raises `HopError`: a process whose hop cannot work should say so at its start."""
        if (files.cert_file is None) != (files.key_file is None):
            raise HopError("a client certificate and its key come together")
        self._files = files
        self._marks: tuple[_Mark, ...] = ()
        try:
            self._marks = self._look()
            self._context = _context(files)
        except (OSError, ValueError) as failure:  # ssl.SSLError is an OSError
            raise HopError(_cause(files, failure)) from None

    def context(self) -> ssl.SSLContext:
        """The context for one new connection. Cheap while no file has changed: one `stat` each.

        While files are being replaced they may not fit each other. Then the context before goes on, and the next
        connection looks again.
        """
        try:
            marks = self._look()
            if marks != self._marks:
                self._context = _context(self._files)
                self._marks = marks
                _log.info("hop_certificates_reloaded", files=[str(path) for path in _paths(self._files)])
        except (OSError, ValueError) as failure:
            _log.error("hop_certificates_refused", cause=_cause(self._files, failure))
        return self._context

    def _look(self) -> tuple[_Mark, ...]:
        found = [path.stat() for path in _paths(self._files)]
        return tuple((one.st_dev, one.st_ino, one.st_mtime_ns, one.st_size) for one in found)


def _paths(files: HopFiles) -> Iterator[Path]:
    return (path for path in (files.ca_file, files.cert_file, files.key_file) if path is not None)


def _context(files: HopFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name unless told otherwise
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if files.ca_file is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cafile=files.ca_file)
    if files.cert_file is not None and files.key_file is not None:
        if files.key_file.stat().st_mode & _OTHERS:
            raise ValueError("the key is open to every local user; chmod o-rwx it")
        # A key with a passphrase would make OpenSSL ask on the terminal; nobody sits there.
        context.load_cert_chain(files.cert_file, files.key_file, password=_no_passphrase)
    return context


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted; give one without a passphrase, readable by this process alone")


def _cause(files: HopFiles, failure: Exception) -> str:
    named = ", ".join(str(path) for path in _paths(files)) or "the host's authorities"
    if isinstance(failure, ssl.SSLError):
        return f"{named}: {failure.reason or 'not certificates in PEM, or a key that does not fit'}"
    if isinstance(failure, OSError):
        return f"cannot read {failure.filename}: {failure.strerror}" if failure.filename else f"{named}: unreadable"
    return f"{named}: {failure}"
