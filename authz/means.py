"""By what `decide` knows credentials: keys, tokens, certificates, revocations. Protocols and the absence of each.

Everything here answers from memory. What has to be waited for comes back as `Waits`, and is settled by the service.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from authz.apikey import Genuine, Peppers
from authz.identified import Identified
from authz.tokens import Tokens
from gateway.errors import GatewayError, Kind
from gateway.identity import Caller
from gateway.policy.model import Introspector, Key, Policy


class Keys(Protocol):
    """Records of API keys: those of the policy, and those of the registry."""

    def of(self, policy: Policy) -> Mapping[str, Key]:
        """Key records by id. A record of the policy wins over one of the registry."""
        ...


class PolicyKeys:
    """Keys of the policy alone."""

    def of(self, policy: Policy) -> Mapping[str, Key]:
        """See `Keys`."""
        return policy.keys


@dataclass(frozen=True, slots=True)
class Opaque:
    """An opaque token that its server has to be asked about. Holds the token, so it has no telling repr."""

    introspector: Introspector
    text: str = field(repr=False)


class OpaqueTokens(Protocol):
    """What is known of opaque tokens (RFC 7662)."""

    def check(self, text: str, policy: Policy, now_s: float) -> Identified | GatewayError | Opaque:
        """Whose token it is, why it does not count, or that its server must be asked first."""
        ...

    def knows(self, text: str, policy: Policy) -> bool:
        """Whether any introspector of the policy is responsible for a token of this form."""
        ...


class NoOpaqueTokens:
    """No server to ask."""

    def check(self, text: str, policy: Policy, now_s: float) -> Identified | GatewayError | Opaque:
        """Never called, since nothing is known."""
        raise NotImplementedError

    def knows(self, text: str, policy: Policy) -> bool:
        """See `OpaqueTokens`."""
        del text, policy
        return False


class Certificates(Protocol):
    """Client certificates that Envoy has verified."""

    def fingerprint(self, pem: str, now_s: float) -> str:
        """SHA-256 of the certificate's DER, lower-case hex; "" when none was shown. Raises GatewayError."""
        ...

    def identify(self, pem: str, policy: Policy) -> Identified | None:
        """Whom the certificate alone names by policy; None when it names nobody. Raises GatewayError."""
        ...

    def bind(self, who: Identified, pem: str, policy: Policy) -> GatewayError | None:
        """Why the credential does not count with the certificate that came with it (or with none)."""
        ...


class NoCertificates:
    """Certificates are not looked at; a credential that is bound to one cannot count."""

    def fingerprint(self, pem: str, now_s: float) -> str:
        """See `Certificates`."""
        del pem, now_s
        return ""

    def identify(self, pem: str, policy: Policy) -> Identified | None:
        """See `Certificates`."""
        del pem, policy
        return None

    def bind(self, who: Identified, pem: str, policy: Policy) -> GatewayError | None:
        """See `Certificates`."""
        del pem, policy
        if not who.bound_to:
            return None
        unread = (
            "This credential is bound to a client certificate, and the gateway reads none. Tell your platform team."
        )
        return GatewayError(Kind.CREDENTIAL_UNBOUND, unread, cause="no certificates are read")


class Revocations(Protocol):
    """What was taken back."""

    def judge(self, caller: Caller, policy: Policy) -> GatewayError | None:
        """Why the caller's credential does not count any more, or that nobody can tell at the moment."""
        ...


class NoRevocations:
    """No registry, so nothing is ever revoked but by policy."""

    def judge(self, caller: Caller, policy: Policy) -> GatewayError | None:
        """See `Revocations`."""
        del caller, policy
        return None


NO_OPAQUE: Final = NoOpaqueTokens()
NO_CERTIFICATES: Final = NoCertificates()
NO_REVOCATIONS: Final = NoRevocations()
POLICY_KEYS: Final = PolicyKeys()


@dataclass(frozen=True, slots=True)
class Means:
    """Everything that `decide` looks things up in."""

    peppers: Peppers
    tokens: Tokens
    keys: Keys = POLICY_KEYS
    genuine: Genuine = field(default_factory=Genuine)
    opaque: OpaqueTokens = NO_OPAQUE
    certificates: Certificates = NO_CERTIFICATES
    revocations: Revocations = NO_REVOCATIONS
