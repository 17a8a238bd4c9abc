"""One entry for client certificates: which name in them is meant, whom it names, and its pins. Reads no certificate."""

import base64
import re
from typing import Final

from cryptography import x509

from gateway.policy.field import Table, shape
from gateway.policy.key import PRINCIPAL, SCOPE
from gateway.policy.model import CertificateIdentity
from gateway.policy.problem import Problems, shown
from gateway.policy.tree import Scalar, Sequence

_GROUP: Final = shape(r"[!-~]{1,128}", "up to 128 characters without spaces")
#: A SPIFFE ID has at most 2,048 bytes (SPIFFE-ID, section 2.3). Printable ASCII: RFC 3986 knows nothing else.
_URI: Final = shape(r"[a-z][a-z0-9+.-]{0,31}:[!-~]{1,2015}", "a URI such as spiffe://example.org/ci")
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS: Final = shape(
    rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", "a whole DNS name in lower case, without a wildcard and a final dot"
)
_SUBJECT: Final = shape(r"[^\x00-\x1f\x7f]{1,1024}", 'a subject as RFC 4514 writes it, such as "CN=ci,O=Example"')
_PIN: Final = shape(
    r"[0-9a-f]{64}|sha256/[A-Za-z0-9+/]{43}=",
    "SHA-256 of the public key (SubjectPublicKeyInfo): 64 hex digits in lower case, or sha256/ and base64",
)
_KINDS: Final = ("uri", "dns", "subject")
_SPIFFE: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+", re.ASCII)


def read_certificate(name: Scalar, tenant: str, table: Table, problems: Problems) -> CertificateIdentity:
    """One entry of certificates.yaml, for a tenant that the loader has looked up."""
    uri, dns = table.maybe("uri", _URI) or "", table.maybe("dns", _DNS) or ""
    subject = _subject(table, problems)
    given = [kind for kind in _KINDS if table.node(kind) is not None]
    if len(given) != 1:
        # Two would leave open whether both must fit, or one of them.
        problems.add(table.mark, table.path, f"expected exactly one of uri, dns and subject, found {len(given)}")
    if uri.startswith("spiffe:") and _SPIFFE.fullmatch(uri) is None:
        # Of a trust domain alone, or with a dot segment: no workload may hold such an ID (SPIFFE-ID, section 2).
        problems.add(table.mark, (*table.path, "uri"), "expected a SPIFFE ID: spiffe://<trust domain>/<path>")
    read = CertificateIdentity(
        name=name.text,
        tenant=tenant,
        principal=table.text("principal", PRINCIPAL),
        scopes=tuple(word.text for word in table.words("scopes", SCOPE, optional=True)),
        groups=tuple(word.text for word in table.words("groups", _GROUP, optional=True)),
        uri=uri,
        dns=dns,
        subject=subject,
        spki_sha256=_pins(table, problems),
        required_for_principal=table.flag("required_for_principal"),
    )
    table.close()
    return read


def refuse_overlaps(read: dict[Scalar, CertificateIdentity], problems: Problems) -> None:
    """One name in a certificate names one principal: with two entries nobody could say which."""
    seen: dict[tuple[str, str], Scalar] = {}
    for name, entry in read.items():
        for kind in _KINDS:
            wanted = getattr(entry, kind)
            first = seen.setdefault((kind, wanted), name) if wanted else name
            if first is not name:
                hint = f"the first one is at {first.mark.file}:{first.mark.line}"
                problems.add(name.mark, (name.text, kind), f"same {kind} as {shown(first.text)}", hint)


def subject_text(name: x509.Name) -> str:
    """A subject in the one spelling in which policy and certificate are compared (RFC 4514, last part first).

    The attributes of a part with several are a set, which DER sorts and people do not.
    """
    return ",".join("+".join(sorted(one.rfc4514_string() for one in part)) for part in reversed(name.rdns))


def _subject(table: Table, problems: Problems) -> str:
    word = table.scalar("subject", _SUBJECT, optional=True)
    if word is None:
        return ""
    try:
        return subject_text(x509.Name.from_rfc4514_string(word.text))
    except ValueError:
        problems.add(word.mark, (*table.path, "subject"), f"expected {_SUBJECT.expected}, found {shown(word.text)}")
        return ""


def _pins(table: Table, problems: Problems) -> frozenset[str]:
    node = table.node("pins")
    if isinstance(node, Sequence) and not node.items:
        problems.add(node.mark, (*table.path, "pins"), "empty: leave it out where there are no pins")
    return frozenset(_hex(word.text) for word in table.words("pins", _PIN, optional=True))


def _hex(pin: str) -> str:
    """A pin in the spelling in which it is compared."""
    return base64.b64decode(pin.removeprefix("sha256/")).hex() if pin.startswith("sha256/") else pin
