"""Client certificates: from what Envoy verified to the names and hashes that policy compares. Verifies no chain.

Envoy asked for proof of the private key and checked the chain at the handshake, and tells authz the certificate in
the CheckRequest, which no client can write. `x-forwarded-client-cert` is never read: it is a header, and the first
proxy that forgets to remove it would let every client name itself (docs/identity.md, "Client certificates").
"""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from authz.identified import Identified
from gateway import certificate
from gateway.certificate import MAX_CHARS, Shown
from gateway.errors import GatewayError, Kind
from gateway.policy.model import CertificateIdentity, Policy

#: About 1 KiB each. Only certificates that Envoy verified get here, so a stranger evicts none.
REMEMBERED: Final = 4096
_POLICIES: Final = 4  # versions whose entries stay sorted by name
_ID_DIGITS: Final = 16  # of SHA-256 in hex: 64 bits tell the certificates of a deployment apart

_BAD: Final = "The client certificate could not be read. Ask your platform team for a new one."
_UNBOUND: Final = (
    "This credential counts only together with its client certificate. Send it over a connection that shows it."
)
_UNCLEAR: Final = "The client certificate names more than one principal here. Tell your platform team."


@dataclass(frozen=True, slots=True)
class _Entries:
    """The certificates of one policy, by what is looked up."""

    names: Mapping[tuple[str, str], CertificateIdentity]  # ("uri", "spiffe://…") -> entry
    required: Mapping[tuple[str, str], Sequence[CertificateIdentity]]  # (tenant, principal) -> entries


class VerifiedCertificates:
    """Satisfies `authz.means.Certificates`. Remembers what certificates say by their hash."""

    def __init__(self, *, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._known: OrderedDict[bytes, Shown] = OrderedDict()
        self._sorted: OrderedDict[str, _Entries] = OrderedDict()

    def fingerprint(self, pem: str, now_s: float) -> str:
        """See `Certificates`. Also refuses a certificate that ran out while its connection stayed open.

        Envoy compared its times at the handshake and does not look again. That it has begun stays true.
        """
        if not pem:
            return ""
        shown = self._read(pem)
        if now_s >= shown.ends_s:
            raise GatewayError(
                Kind.CREDENTIAL_EXPIRED,
                "The client certificate has expired. Connect with a new one.",
                cause=f"certificate: expired ({_id(shown)})",
            )
        return shown.sha256

    def identify(self, pem: str, policy: Policy) -> Identified | None:
        """See `Certificates`."""
        if not pem or not policy.certificates:
            return None
        shown = self._read(pem)
        found = _matching(shown, self._entries(policy))
        if not found:
            return None
        if len(found) > 1:
            raise GatewayError(
                Kind.CREDENTIAL_AMBIGUOUS,
                _UNCLEAR,
                cause=f"certificate: names several entries ({', '.join(entry.name for entry in found)})",
            )
        fault = _pin_fault(shown, found)
        if fault is not None:
            raise fault
        entry = found[0]
        return Identified(
            tenant=entry.tenant,
            principal=entry.principal,
            key_id=_id(shown),
            method="mtls",
            scopes=entry.scopes,
            groups=entry.groups,
        )

    def bind(self, who: Identified, pem: str, policy: Policy) -> GatewayError | None:
        """See `Certificates`."""
        if not who.bound_to and not policy.certificates:
            return None
        try:
            shown = self._read(pem) if pem else None
        except GatewayError as error:
            return error
        if who.bound_to:
            if shown is None:
                return _unbound("token: bound to a certificate, and none was shown")
            if not hmac.compare_digest(who.bound_to.encode(), shown.thumbprint.encode()):
                return _unbound(f"token: bound to another certificate than {_id(shown)}")
        if not policy.certificates:
            return None
        entries = self._entries(policy)
        found = _matching(shown, entries) if shown is not None else ()
        # Also beside another credential: who holds a pinned name with a foreign key was given it by mistake or worse.
        if shown is not None and (fault := _pin_fault(shown, found)) is not None:
            return fault
        required = entries.required.get((who.tenant, who.principal), ())
        if required and not any(entry in found for entry in required):
            names = ", ".join(entry.name for entry in required)
            told = "none was shown" if shown is None else f"{_id(shown)} is another one"
            return _unbound(f"certificate: required for this principal ({names}), and {told}")
        return None

    def _read(self, pem: str) -> Shown:
        if len(pem) > MAX_CHARS:  # before it is hashed
            raise _invalid("larger than allowed")
        digest = hashlib.sha256(pem.encode("utf-8", "replace")).digest()
        shown = self._known.get(digest)
        if shown is not None:
            self._known.move_to_end(digest)
            return shown
        shown = self._known[digest] = parse(pem)
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return shown

    def _entries(self, policy: Policy) -> _Entries:
        entries = self._sorted.get(policy.version)
        if entries is None:
            entries = self._sorted[policy.version] = _sort(policy)
            while len(self._sorted) > _POLICIES:
                self._sorted.popitem(last=False)
        return entries


def parse(pem: str) -> Shown:
    """What the certificate says.

    Raises:
        GatewayError: it is not exactly one X.509 certificate.
    """
    try:
        return certificate.read(pem)
    except ValueError as error:
        raise _invalid(str(error)) from None


def _sort(policy: Policy) -> _Entries:
    names: dict[tuple[str, str], CertificateIdentity] = {}
    required: dict[tuple[str, str], list[CertificateIdentity]] = {}
    for entry in policy.certificates.values():
        for kind in ("uri", "dns", "subject"):
            if wanted := getattr(entry, kind):
                names[kind, wanted] = entry
        if entry.required_for_principal:
            required.setdefault((entry.tenant, entry.principal), []).append(entry)
    return _Entries(names, required)


def _matching(shown: Shown, entries: _Entries) -> Sequence[CertificateIdentity]:
    """The entries whose name the certificate carries, character by character; a wildcard in it matches nothing."""
    wanted = [("uri", uri) for uri in shown.names_by_uri]
    wanted += [("dns", name) for name in shown.dns] + [("subject", shown.subject)]
    found = {entry.name: entry for name in wanted if (entry := entries.names.get(name)) is not None}
    return list(found.values())


def _pin_fault(shown: Shown, found: Sequence[CertificateIdentity]) -> GatewayError | None:
    for entry in found:
        if entry.spki_sha256 and shown.spki_sha256 not in entry.spki_sha256:
            return _unbound(f"certificate: public key of {_id(shown)} is not pinned ({entry.name})")
    return None


def _id(shown: Shown) -> str:
    """Names the certificate in records and counters, as audit records show it."""
    return f"cert:{shown.sha256[:_ID_DIGITS]}"


def _unbound(cause: str) -> GatewayError:
    return GatewayError(Kind.CREDENTIAL_UNBOUND, _UNBOUND, cause=cause)


def _invalid(why: str) -> GatewayError:
    return GatewayError(Kind.CREDENTIAL_INVALID, _BAD, cause=f"certificate: {why}")
