"""The token service's signing keys: made, published, used, turned and forgotten. Decides no times; `schedule` does.

The private part lies in the registry wrapped (`Sort.SIGNING`), and in the memory of `control` while it signs or is
next. The public part is an entry that every worker follows (`Sort.VERIFYING`). Any number of replicas may do this at
once: every change names the schedule that it replaces.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import orjson
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from control import schedule
from control.schedule import Need, Slot
from control.wrapper import WrapError, Wrapper
from gateway import keyset, strict
from gateway.clock import Clock
from gateway.keyset import KeySet
from gateway.policy.model import TokenService
from gateway.registry import verifying
from gateway.registry.model import Change, ConflictError, Registry, RegistryError, Sort
from gateway.registry.verifying import VerifyingKey

_log: Final = structlog.get_logger(__name__)

#: Id of the schedule among the wrapped keys. No thumbprint has eight characters.
SCHEDULE: Final = "schedule"
#: How often `tend` is due: a replica learns within this time what another one did.
TEND_S: Final = 10.0
_REGISTRY_S: Final = 3.0  # one call; the store is near, and the request that waits for it has 8 s
_TRIES: Final = 5  # each lost race means that another replica did the work
_ROOM: Final = 4  # for the next key, and for those of a change of algorithm
_RSA_BITS: Final = 2048  # NIST SP 800-57 part 1 allows it through 2030, and none of our keys lives longer than a month
#: Workers must not refuse a key because their clocks are behind. It can have signed nothing before it was made.
_EARLIER_S: Final = 300

_MEMBERS: Final = MappingProxyType(
    {"EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x"), "RSA": ("kty", "n", "e")}
)


class SigningError(Exception):
    """There is no key to sign with. For the log: holds no key."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs at the moment."""

    kid: str
    algorithm: str
    key: Key = field(repr=False)

    def sign(self, text: bytes) -> bytes:
        """The signature as JWS writes it (RFC 7515 section 5.1)."""
        return keyset.VERIFIERS[self.algorithm].sign(text, self.key)


@dataclass(frozen=True, slots=True)
class _State:
    """The registry's entries as of one reading."""

    schedule: bytes | None
    slots: tuple[Slot, ...]  # only those whose public part is there
    wrapped: Mapping[str, bytes]
    published: Mapping[str, bytes]  # as they stand, whatever they are
    members: Mapping[str, Mapping[str, str]]  # of the public keys among them


_Change: TypeAlias = Callable[[tuple[Slot, ...], int], Sequence[Slot]]


class Signing:
    """The signing keys as one replica of `control` knows them."""

    def __init__(self, registry: Registry, wrapper: Wrapper, clock: Clock) -> None:
        self._registry = registry
        self._wrapper = wrapper
        self._clock = clock
        self._lock = asyncio.Lock()  # one tending at a time; other replicas are held off by conditions
        self._slots: tuple[Slot, ...] = ()
        self._private: dict[str, Key] = {}
        self._published: tuple[VerifyingKey, ...] = ()
        self._keys: tuple[tuple[str, ...], KeySet | None] = ((), None)

    async def tend(self, service: TokenService) -> None:
        """Do what is due, and learn what others did. Call it at start and every `TEND_S`.

        Raises:
            RegistryError: nothing was changed; keys that are known go on signing until their end.
            WrapError: a key was due and could not be wrapped.
        """
        async with self._lock:
            await self._settle(service, _nothing)
            await self._rewrap()

    async def turn(self, service: TokenService, *, distrust: bool = False) -> str:
        """Let the next key sign from now on; returns its kid. Raises as `tend` does.

        Every verifier knows the next key, so nobody notices. With `distrust` no key so far, the next one included,
        verifies anything any more: for keys that others may know. Clients then need new tokens at once.
        """
        async with self._lock:
            if distrust:
                await self._settle(service, lambda _slots, _now: ())
            else:
                await self._settle(service, lambda slots, now: _turned(slots, service, now))
        return self.signer().kid

    def signer(self) -> Signer:
        """The key of the moment.

        Raises:
            SigningError: there is none; `tend` has not succeeded for too long, or its key cannot be unwrapped.
        """
        slot = schedule.current([one for one in self._slots if one.kid in self._private], self._clock.now())
        if slot is None:
            raise SigningError("no signing key")
        return Signer(slot.kid, slot.algorithm, self._private[slot.kid])

    def slots(self) -> Sequence[Slot]:
        """The schedule, for operators."""
        return self._slots

    def published(self) -> Sequence[VerifyingKey]:
        """The public keys of now, next and before: what the JWKS lists."""
        now_s = self._clock.now()
        return [key for key in self._published if now_s < key.not_after]

    def key_set(self) -> KeySet | None:
        """The same to verify with; None while there are none."""
        listed = self.published()
        kids = tuple(key.kid for key in listed)
        if self._keys[0] != kids:
            self._keys = (kids, keyset.parse(jwks(listed)) if listed else None)
        return self._keys[1]

    async def _settle(self, service: TokenService, change: _Change) -> None:
        """Read, change, plan and write until nothing is left to do."""
        for _ in range(_TRIES):
            state = await self._read()
            now = int(self._clock.now())
            plan = schedule.plan(tuple(change(state.slots, now)), service, now)
            try:
                made = [await self._make(need, service, now) for need in plan.needs]
            except WrapError:
                await self._take(state)  # what is there still signs and verifies
                raise
            changes = _changes(state, plan.slots, made)
            if not changes:
                await self._take(state)
                return
            try:
                async with _deadline():
                    await self._registry.apply(changes)
            except ConflictError:
                continue  # another replica was faster, and has perhaps done the same
            change = _nothing
            kids = [each.slot.kid for each in made]
            _log.info("signing_keys_changed", made=kids, held=len(plan.slots) + len(made))
        raise RegistryError("the schedule of the signing keys changes all the time")

    async def _read(self) -> _State:
        async with _deadline():
            # In this order: a change in between is then one of the schedule that we replace, and conflicts.
            signing = {entry.id: entry.value for entry in await self._registry.list(Sort.SIGNING)}
            published = {entry.id: entry.value for entry in await self._registry.list(Sort.VERIFYING)}
        raw = signing.pop(SCHEDULE, None)
        try:
            slots = schedule.read(raw) if raw is not None else ()
        except ValueError:
            _log.error("signing_schedule_unreadable")  # keys are made anew: tokens of the old ones end early
            slots = ()
        members = {kid: jwk for kid, value in published.items() if (jwk := _published(kid, value)) is not None}
        kept = tuple(
            replace(slot, private=slot.private and slot.kid in signing) for slot in slots if slot.kid in members
        )
        return _State(raw, kept, signing, published, members)

    async def _make(self, need: Need, service: TokenService, now: int) -> "_Made":
        key = await asyncio.to_thread(_generate, need.algorithm)  # RSA takes some 100 ms
        kid = key.thumbprint()  # RFC 7638: says which key it is, so no entry can stand for another one
        wrapped = await self._wrapper.wrap(kid, orjson.dumps(key.as_dict(private=True)))
        return _Made(schedule.slot_of(need, kid, service, now), _members(key), _boxed(wrapped))

    async def _take(self, state: _State) -> None:
        """Hold what the registry says."""
        self._slots = state.slots
        self._published = tuple(_public(slot, state.members[slot.kid]) for slot in state.slots)
        wanted = {slot.kid for slot in state.slots if slot.private}
        self._private = {kid: key for kid, key in self._private.items() if kid in wanted}
        for kid in wanted - self._private.keys():
            try:
                self._private[kid] = await self._unwrapped(kid, state.wrapped[kid])
            except WrapError as failure:
                _log.error("signing_key_unusable", kid=kid, cause=str(failure))

    async def _unwrapped(self, kid: str, box: bytes) -> Key:
        plain = await self._wrapper.unwrap(kid, _unboxed(box))
        try:
            key = _imported(strict.json_object(plain))
        except (JoseError, ValueError, KeyError, TypeError):
            raise WrapError("what was unwrapped is no key") from None
        if key.thumbprint() != kid:
            raise WrapError("what was unwrapped is another key")
        return key

    async def _rewrap(self) -> None:
        """Wrap anew what an older key-encryption key has wrapped. Failure leaves everything usable as it is."""
        for slot in self._slots:
            if not slot.private:
                continue
            async with _deadline():
                box = await self._registry.get(Sort.SIGNING, slot.kid)
            try:
                if box is None or self._wrapper.is_current(_unboxed(box)):
                    continue
                plain = await self._wrapper.unwrap(slot.kid, _unboxed(box))
                wrapped = _boxed(await self._wrapper.wrap(slot.kid, plain))
                async with _deadline():
                    await self._registry.apply([Change(Sort.SIGNING, slot.kid, wrapped, box)])
            except (WrapError, ConflictError) as failure:
                _log.warning("signing_key_not_rewrapped", kid=slot.kid, cause=str(failure))
                continue
            _log.info("signing_key_rewrapped", kid=slot.kid)


@dataclass(frozen=True, slots=True)
class _Made:
    """A new key: its slot, its public members, its wrapped private part."""

    slot: Slot
    jwk: Mapping[str, str]
    wrapped: bytes


def jwks(keys: Sequence[VerifyingKey]) -> bytes:
    """A JWK Set (RFC 7517 section 5)."""
    return orjson.dumps(
        {"keys": [{**key.jwk, "kid": key.kid, "alg": key.algorithm, "use": "sig"} for key in keys]},
    )


def _changes(state: _State, slots: Sequence[Slot], made: Sequence[_Made]) -> list[Change]:
    """From the registry as it is to these slots and new keys; empty when nothing differs."""
    after = (*slots, *(each.slot for each in made))
    changes = []
    for each in made:
        changes.append(Change(Sort.SIGNING, each.slot.kid, each.wrapped))
        changes.append(Change(Sort.VERIFYING, each.slot.kid, verifying.write(_public(each.slot, each.jwk))))
    for slot in slots:
        told = verifying.write(_public(slot, state.members[slot.kid]))
        if told != state.published[slot.kid]:
            changes.append(Change(Sort.VERIFYING, slot.kid, told))  # its end has moved
    changes += [
        Change(Sort.SIGNING, kid, None)
        for kid in state.wrapped
        if not any(slot.kid == kid and slot.private for slot in after)
    ]
    changes += [Change(Sort.VERIFYING, kid, None) for kid in state.published if all(s.kid != kid for s in after)]
    written = schedule.write(after)
    if changes or written != state.schedule:
        changes.insert(0, Change(Sort.SIGNING, SCHEDULE, written, state.schedule))
    return changes


def _public(slot: Slot, jwk: Mapping[str, str]) -> VerifyingKey:
    return VerifyingKey(
        kid=slot.kid,
        algorithm=slot.algorithm,
        jwk=jwk,
        not_before=max(0, slot.made_at - _EARLIER_S),
        not_after=slot.ends_at,
    )


def _published(kid: str, value: bytes) -> Mapping[str, str] | None:
    """The members of a published key; None where the entry is no key."""
    try:
        return verifying.read(kid, value).jwk
    except ValueError:
        return None


def _generate(algorithm: str) -> Key:
    if algorithm == "RS256":
        return RSAKey.generate_key(_RSA_BITS)
    return OKPKey.generate_key("Ed25519") if algorithm == "EdDSA" else ECKey.generate_key("P-256")


def _imported(jwk: dict[str, Any]) -> Key:
    kinds: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    return kinds[jwk["kty"]].import_key(jwk)


def _members(key: Key) -> Mapping[str, str]:
    public = key.as_dict(private=False)
    return {name: str(public[name]) for name in _MEMBERS[str(public["kty"])]}


def _boxed(wrapped: str) -> bytes:
    return orjson.dumps({"wrapped": wrapped})


def _unboxed(box: bytes) -> str:
    try:
        told = strict.json_object(box)
    except ValueError:
        told = {}
    if not isinstance(told.get("wrapped"), str):
        raise WrapError("the entry holds no wrapped key")
    return str(told["wrapped"])


def _turned(slots: tuple[Slot, ...], service: TokenService, now: int) -> Sequence[Slot]:
    if len(slots) > schedule.MAX_SLOTS - _ROOM:
        # One more, and neither the schedule nor the set of public keys could be read: no token would count.
        raise SigningError("too many keys still verify; wait for their end, or distrust them")
    return schedule.turned(slots, service, now)


def _nothing(slots: tuple[Slot, ...], _now: int) -> Sequence[Slot]:
    return slots


@asynccontextmanager
async def _deadline() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_REGISTRY_S):
            yield
    except TimeoutError:
        raise RegistryError("no answer in time") from None
