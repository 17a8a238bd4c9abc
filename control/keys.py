"""API keys of the registry: created, listed, rotated, expired, disabled, deleted. Keeps no key, only its digest.

Races are settled by the registry's conditional changes: a change that meets another one is read again, or refused.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from control import problem
from control.form import Form
from control.problem import Refusal
from gateway import apikey
from gateway.apikey import Peppers, RandomBytes
from gateway.clock import Clock
from gateway.policy.key import KEY_ID, LAST_SECOND, MAX_NETWORKS, NETWORK, PRINCIPAL, SCOPE, network_fault
from gateway.policy.model import Key, Policy, RateLimit, Tenant
from gateway.policy.rate import MAX_REQUESTS_PER_S, MAX_WINDOW_S
from gateway.registry import keys
from gateway.registry.keys import MODEL, TENANT, KeyRecord
from gateway.registry.last_used import LastUsed
from gateway.registry.model import Change, ConflictError, Registry, RegistryError, Sort

OVERLAP_S: Final = 24 * 3600  # a night for deployments that nobody watches, and the working day after it
_MAX_OVERLAP_S: Final = 30 * 24 * 3600  # two keys for longer than that are two keys, not a rotation
_TRIES: Final = 5  # of a change that others overtake; operators are few
PAGE: Final = 1000
_MAX_PAGE: Final = 10_000  # 4 MB of JSON
_BREATH: Final = 500  # records between two pauses, some 10 ms: control answers others meanwhile


class State(StrEnum):
    """What becomes of a request that shows the key. Revocations are not looked at (`ostiary revoke`)."""

    ACTIVE = "active"
    DISABLED = "disabled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the list; `after` is the id to go on from, empty at the end."""

    keys: tuple[dict[str, Any], ...]
    after: str = ""


class Keys:
    """The life of API keys. Every method may raise Refusal; none returns or logs a key but `create` and `rotate`."""

    def __init__(
        self,
        *,
        registry: Registry,
        peppers: Peppers,
        policy: Callable[[], Policy],
        clock: Clock,
        random: RandomBytes,
        last_used: LastUsed | None = None,
    ) -> None:
        self._registry = registry
        self._peppers = peppers
        self._policy = policy
        self._clock = clock
        self._random = random
        self._last_used = last_used

    async def create(self, wish: Mapping[str, Any], by: str) -> dict[str, Any]:
        """A new key. The answer's `key` is the only copy of it."""
        now, form = self._now(), Form(wish)
        minted = self._mint()
        record = KeyRecord(
            key=replace(self._rights(form, now), id=minted.id, digest=minted.digest, pepper=minted.pepper),
            created_at=now,
            created_by=by,
            name=form.words("name", keys.NAME_CHARS),
            note=form.words("note", keys.NOTE_CHARS),
        )
        form.close()
        await self._apply(Change(Sort.KEY, minted.id, keys.write(record), expected=None))
        return {"key": minted.text, **self._told(record)}

    async def list(self, tenant: str = "", state: str = "", after: str = "", limit: int = PAGE) -> Page:
        """Keys by id, those of the policy among them."""
        if state and state not in list(State):
            raise problem.invalid("state", f"expected one of {', '.join(State)}")
        if not 1 <= limit <= _MAX_PAGE:
            raise problem.invalid("limit", f"expected a whole number from 1 to {_MAX_PAGE}")
        policy = self._policy()
        found = [self._told_of_policy(key) for key in policy.keys.values() if key.id > after]
        found = [told for told in found if _wanted(told, tenant, state)]
        found += await self._registered(policy, tenant, state, after, limit)
        found.sort(key=lambda told: str(told["id"]))
        page = found[:limit]
        await self._add_use(page)
        return Page(tuple(page), str(page[-1]["id"]) if len(found) > limit else "")

    async def show(self, key_id: str) -> dict[str, Any]:
        """One key."""
        of_policy = self._policy().keys.get(key_id)
        told = self._told_of_policy(of_policy) if of_policy else self._told((await self._read(key_id))[0])
        await self._add_use([told])
        return told

    async def rotate(self, key_id: str, wish: Mapping[str, Any], by: str) -> dict[str, Any]:
        """A new key with the rights of an old one, which ends after an overlap.

        Without a wish about its end, the new key lives as long as the old one was made for.
        """
        now, form = self._now(), Form(wish)
        overlap_s = form.integer("overlap_s", 0, _MAX_OVERLAP_S)
        ends = {"expires_at", "expires_in_s"} & wish.keys()
        wanted = self._expiry(form, now)
        form.close()
        old, stands = await self._read(key_id)
        if self._state(old.key, now) is not State.ACTIVE:
            message = f"The key is {self._state(old.key, now).value}. Create a new one instead."
            raise Refusal(f"key_{self._state(old.key, now).value}", message, status=problem.CONFLICT)
        if old.rotated_to:
            message = f"The key was rotated already. Its successor is {old.rotated_to}: rotate that one."
            raise Refusal("key_rotated", message, status=problem.CONFLICT)
        life_s = None if old.key.expires_at is None else max(1, old.key.expires_at - old.created_at)
        expires_at = wanted if ends else None if life_s is None else min(now + life_s, LAST_SECOND)
        minted = self._mint()
        new = replace(
            old,
            key=replace(old.key, id=minted.id, digest=minted.digest, pepper=minted.pepper, expires_at=expires_at),
            created_at=now,
            created_by=by,
            rotated_from=key_id,
        )
        end = now + (OVERLAP_S if overlap_s is None else overlap_s)
        ended = replace(old.key, expires_at=min(end, old.key.expires_at or end))
        await self._apply(  # both or none: an old key that ends without a successor would be an outage
            Change(Sort.KEY, minted.id, keys.write(new), expected=None),
            Change(Sort.KEY, key_id, keys.write(replace(old, key=ended, rotated_to=minted.id)), expected=stands),
        )
        return {"key": minted.text, **self._told(new), "previous_expires_at": ended.expires_at}

    async def set_expiry(self, key_id: str, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Another end, or none (`expires_at: null`)."""
        form = Form(wish)
        if not {"expires_at", "expires_in_s"} & wish.keys():
            raise problem.invalid("expires_at", "missing; unix seconds, or null for no end")
        expires_at = self._expiry(form, self._now())
        form.close()
        return await self._change(key_id, lambda key: replace(key, expires_at=expires_at))

    async def disable(self, key_id: str) -> dict[str, Any]:
        """The key counts no more, until it is enabled again."""
        return await self._change(key_id, lambda key: replace(key, disabled=True))

    async def enable(self, key_id: str) -> dict[str, Any]:
        """The key counts again, unless it has expired."""
        return await self._change(key_id, lambda key: replace(key, disabled=False))

    async def delete(self, key_id: str) -> dict[str, Any]:
        """The key and its story are gone; audit records keep its id."""
        for _ in range(_TRIES):
            record, stands = await self._read(key_id, shadowed=True)
            try:
                await self._apply(Change(Sort.KEY, key_id, None, expected=stands))
            except Refusal as refusal:
                if refusal.status != problem.CONFLICT:
                    raise
                continue
            if self._last_used is not None:
                with contextlib.suppress(RegistryError):  # a time left behind is of an id that never comes again
                    await self._last_used.forget(key_id)
            return self._told(record)
        raise _overtaken()

    # --- wishes ------------------------------------------------------------------------------------

    def _rights(self, form: Form, now: int) -> Key:
        """What the wish says about a key, checked against the policy in force. Id and digest come later."""
        policy = self._policy()
        tenant = policy.tenants.get(form.text("tenant", TENANT))
        if tenant is None:
            raise problem.invalid("tenant", "The policy in force has no such tenant.")
        return Key(
            id="",
            tenant=tenant.id,
            principal=form.text("principal", PRINCIPAL),
            scopes=form.texts("scopes", SCOPE, keys.MAX_SCOPES),
            digest="",
            pepper="",
            expires_at=self._expiry(form, now),
            rate=_rate(form.form("rate")),
            models=_models(form, policy, tenant),
            cidrs=_networks(form),
        )

    def _expiry(self, form: Form, now: int) -> int | None:
        """`expires_at` or `expires_in_s`. The second one counts from our clock, whatever the operator's says."""
        at = form.integer("expires_at", 1, LAST_SECOND)
        in_s = form.integer("expires_in_s", 0, LAST_SECOND - now)
        if at is not None and in_s is not None:
            raise form.refuse("expires_in_s", "stands beside expires_at; give one of them")
        if at is not None and at <= now:
            raise form.refuse("expires_at", "is in the past")
        return at if in_s is None else now + in_s

    # --- registry ----------------------------------------------------------------------------------

    async def _change(self, key_id: str, change: Callable[[Key], Key]) -> dict[str, Any]:
        for _ in range(_TRIES):
            record, stands = await self._read(key_id)
            changed = replace(record, key=change(record.key))
            if changed == record:
                return self._told(record)
            try:
                await self._apply(Change(Sort.KEY, key_id, keys.write(changed), expected=stands))
            except Refusal as refusal:
                if refusal.status != problem.CONFLICT:
                    raise
                continue
            return self._told(changed)
        raise _overtaken()

    async def _read(self, key_id: str, *, shadowed: bool = False) -> tuple[KeyRecord, bytes]:
        """A key of the registry, and its bytes as they stand.

        `shadowed` lets one through whose id also stands in the policy: changing it would change nothing.
        """
        if key_id in self._policy().keys and not shadowed:
            message = "The key stands in the policy. Change keys.yaml there."
            raise Refusal("key_in_policy", message, status=problem.CONFLICT)
        if not KEY_ID.pattern.match(key_id):
            raise problem.unknown("key", key_id[:64])
        try:
            stands = await self._registry.get(Sort.KEY, key_id)
        except RegistryError:
            raise problem.unavailable() from None
        if stands is None:
            raise problem.unknown("key", key_id)
        try:
            return keys.read(key_id, stands), stands
        except ValueError:
            raise Refusal("key_unreadable", "The key's record cannot be read.", status=500) from None

    async def _registered(
        self, policy: Policy, tenant: str, state: str, after: str, limit: int
    ) -> Sequence[dict[str, Any]]:
        """One more than `limit` of the registry's keys, so that the caller sees whether there are others."""
        try:
            entries = await self._registry.list(Sort.KEY)
        except RegistryError:
            raise problem.unavailable() from None
        # Records have one spelling, so those of other tenants need not be read to be left out.
        mark = f'"tenant":"{tenant}"'.encode()
        found: list[dict[str, Any]] = []
        for at, entry in enumerate(entries):
            if at % _BREATH == 0:
                await asyncio.sleep(0)
            if entry.id <= after or entry.id in policy.keys or (tenant and mark not in entry.value):
                continue
            try:
                told = self._told(keys.read(entry.id, entry.value))
            except ValueError:
                continue  # it opens no door either
            if _wanted(told, tenant, state):
                found.append(told)
                if len(found) > limit:
                    break
        return found

    async def _apply(self, *changes: Change) -> None:
        try:
            await self._registry.apply(changes)
        except ConflictError:
            raise _overtaken() from None
        except RegistryError:
            raise problem.unavailable() from None

    # --- telling -----------------------------------------------------------------------------------

    def _told(self, record: KeyRecord) -> dict[str, Any]:
        story = {
            "source": "registry",
            "name": record.name,
            "note": record.note,
            "created_at": record.created_at,
            "created_by": record.created_by,
            "rotated_from": record.rotated_from or None,
            "rotated_to": record.rotated_to or None,
        }
        return self._told_key(record.key) | story

    def _told_of_policy(self, key: Key) -> dict[str, Any]:
        return self._told_key(key) | {"source": "policy"}

    def _told_key(self, key: Key) -> dict[str, Any]:
        """Everything but the digest: who reads answers and logs cannot even test a guess."""
        return {
            "id": key.id,
            "tenant": key.tenant,
            "principal": key.principal,
            "state": self._state(key, self._now()).value,
            "scopes": list(key.scopes),
            "models": sorted(key.models),
            "cidrs": list(key.cidrs),
            "rate": {"requests": key.rate.requests, "window_s": key.rate.window_s} if key.rate else None,
            "expires_at": key.expires_at,
            "pepper": key.pepper,
        }

    async def _add_use(self, told: Sequence[dict[str, Any]]) -> None:
        registered = [str(one["id"]) for one in told if one["source"] == "registry"]
        times: Mapping[str, int] = {}
        if self._last_used is not None and registered:
            try:
                times = await self._last_used.read(registered)
            except RegistryError:
                return  # a list without these times is better than none
        for one in told:
            if one["source"] == "registry":
                one["last_used_at"] = times.get(str(one["id"]))

    @staticmethod
    def _state(key: Key, now: int) -> State:
        if key.disabled:
            return State.DISABLED
        return State.EXPIRED if key.expires_at is not None and key.expires_at <= now else State.ACTIVE

    def _mint(self) -> apikey.Minted:
        return apikey.mint(apikey.new_id(self._random), self._random, self._peppers)

    def _now(self) -> int:
        return int(self._clock.now())


def _overtaken() -> Refusal:
    return problem.conflict("The key was changed by somebody else at the same moment. Look at it and try again.")


def _wanted(told: Mapping[str, Any], tenant: str, state: str) -> bool:
    return (not tenant or told["tenant"] == tenant) and (not state or told["state"] == state)


def _rate(form: Form | None) -> RateLimit | None:
    if form is None:
        return None
    window_s = form.integer("window_s", 1, MAX_WINDOW_S) or RateLimit(requests=1).window_s
    requests = form.integer("requests", 1, MAX_REQUESTS_PER_S * window_s)
    if requests is None:
        raise form.refuse("requests", "missing; expected a whole number")
    form.close()
    return RateLimit(requests=requests, window_s=window_s)


def _models(form: Form, policy: Policy, tenant: Tenant) -> frozenset[str]:
    models = form.texts("models", MODEL, keys.MAX_MODELS)
    for at, model in enumerate(models):
        if model not in policy.models:
            raise form.refuse(f"models[{at}]", "The policy in force has no such model.")
        if not tenant.may_use(model):
            raise form.refuse(f"models[{at}]", "The tenant itself may not use this model.")
    return frozenset(models)


def _networks(form: Form) -> tuple[str, ...]:
    found = form.texts("cidrs", NETWORK, MAX_NETWORKS)
    for at, text in enumerate(found):
        if fault := network_fault(text):
            raise form.refuse(f"cidrs[{at}]", fault)
    return tuple(sorted(found))
