"""Bearer tokens against the policy's issuers: from text to `Bearer`, and what counted is remembered. Never waits.

Remembered is a hash of the token, never the token; only tokens that counted are, so a flood of bad ones evicts none.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from authz import claims, jose
from authz.claims import Bearer
from authz.jose import Bad, Fault
from authz.own import OwnTokens
from gateway.keyset import KeySet
from gateway.policy.model import Issuer, Policy

#: About 1 KiB each. A service account that mints a token a minute fills it in five days.
REMEMBERED: Final = 8192
_POLICIES: Final = 4  # versions whose issuers stay sorted by `iss`


class Keys(Protocol):
    """Where an issuer's keys come from."""

    def usable(self, issuer: Issuer) -> KeySet | None:
        """Its keys, or None when there are none young enough to trust."""
        ...


@dataclass(frozen=True, slots=True)
class Rejected:
    """A token that does not count: why, by which entry of the policy, and for a genuine one, whose it was."""

    fault: Fault
    issuer: str = ""
    bearer: Bearer | None = None


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Newer keys could change the verdict. `fault` is the verdict without them; None: there are no keys at all."""

    issuer: Issuer
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class _Known:
    bearer: Bearer  # as the token says; whose one of our own is, its account says each time
    issuer: Issuer
    keys: KeySet
    policy: str


class Tokens:
    """Verifies tokens, and remembers those that counted."""

    def __init__(self, keys: Keys, *, own: OwnTokens | None = None, remembered: int = REMEMBERED) -> None:
        """`own`: keys and accounts of our own token service, where there can be one."""
        self._keys = keys
        self._own = own
        self._remembered = remembered
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._by_iss: OrderedDict[str, Mapping[str, Sequence[Issuer]]] = OrderedDict()

    def check(self, text: str, policy: Policy, now_s: float) -> Bearer | Rejected | Unsettled:
        """The bearer of the token, or why nobody is."""
        if len(text) > jose.MAX_CHARS:  # before it is hashed
            return Rejected(Fault.TOO_LARGE)
        token_id = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        known = self._known.get(token_id)
        if known is not None:
            # A key that its issuer withdrew, keys that grew too old, another policy: each asks for a new verdict.
            current = known.policy == policy.version and self._usable(known.issuer, now_s) is known.keys
            if current and now_s < known.bearer.stale_s:
                self._known.move_to_end(token_id)
                return self._held(known.bearer, known.issuer, now_s)
            del self._known[token_id]
        try:
            return self._verify(text, token_id, policy, now_s)
        except Bad as bad:
            return Rejected(bad.fault)

    def _verify(self, text: str, token_id: bytes, policy: Policy, now_s: float) -> Bearer | Rejected | Unsettled:
        token = jose.parse(text)
        issuer = self._issuer(token, policy)
        try:
            jose.check_header(token, issuer)
            keys = self._usable(issuer, now_s)
            if keys is None:
                return Unsettled(issuer, None)
            jose.verify(token, keys)
            claims.check_times(token.claims, issuer, now_s)
            bearer = claims.read(token.claims, issuer, token_id)
        except Bad as bad:
            unsettled = bad.fault is Fault.KID_UNKNOWN
            return Unsettled(issuer, bad.fault) if unsettled else Rejected(bad.fault, issuer.name)
        held = self._held(bearer, issuer, now_s)
        if isinstance(held, Rejected):
            return held
        if now_s >= bearer.ends_s + issuer.clock_skew_s:
            return Rejected(Fault.EXPIRED, issuer.name, held)
        if now_s < bearer.stale_s:
            self._known[token_id] = _Known(bearer, issuer, keys, policy.version)
            while len(self._known) > self._remembered:
                self._known.popitem(last=False)
        return held

    def _usable(self, issuer: Issuer, now_s: float) -> KeySet | None:
        if self._own is not None and self._own.is_entry(issuer):
            return self._own.usable(now_s)
        return self._keys.usable(issuer)

    def _held(self, bearer: Bearer, issuer: Issuer, now_s: float) -> Bearer | Rejected:
        """The bearer as he stands now: the account of a token of our own may have changed since it was signed."""
        if self._own is None or not self._own.is_entry(issuer):
            return bearer
        try:
            return self._own.holder(bearer, now_s)
        except Bad as bad:
            return Rejected(bad.fault, issuer.name)

    def _issuer(self, token: jose.Token, policy: Policy) -> Issuer:
        """The one entry that the token's `iss` and `aud` name. The entry, not the token, then says what counts."""
        named = token.claims.get("iss")
        entries = self._entries(policy).get(named, ()) if isinstance(named, str) else ()
        if not entries:
            raise Bad(Fault.ISSUER)
        audiences = claims.audiences_of(token.claims)
        found = [entry for entry in entries if not audiences.isdisjoint(entry.audiences)]
        if len(found) != 1:
            raise Bad(Fault.AUDIENCE_UNCLEAR if found else Fault.AUDIENCE)
        return found[0]

    def _entries(self, policy: Policy) -> Mapping[str, Sequence[Issuer]]:
        entries = self._by_iss.get(policy.version)
        if entries is None:
            sorted_: dict[str, list[Issuer]] = {}
            for issuer in policy.issuers.values():
                sorted_.setdefault(issuer.issuer, []).append(issuer)
            service = self._own.entry(policy) if self._own is not None else None
            if service is not None:
                sorted_[service.issuer] = [service]  # and no other entry: it could name a tenant
            entries = self._by_iss[policy.version] = sorted_
            while len(self._by_iss) > _POLICIES:
                self._by_iss.popitem(last=False)
        return entries
