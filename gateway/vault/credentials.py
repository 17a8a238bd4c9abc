"""Credentials of backends out of the vaults that policies name, AWS's among them: one keeper each. Decides nothing."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gateway import fetch
from gateway.aio import spawn
from gateway.clock import Clock
from gateway.policy.model import ManagedSecret, Policy, SecretsManager, StoredSecret, Vault, VaultSecret
from gateway.secrets.reference import Secret
from gateway.vault.keeper import Keeper, Source
from gateway.vault.managed import ManagedSource
from gateway.vault.session import Dial, Draw, Session, dial

_Kept = Vault | SecretsManager  # what a policy names, and a keeper keeps the secrets of


class VaultCredentials:
    """For one event loop. `gateway.grants` adds tokens of clouds to it."""

    def __init__(self, clock: Clock, draw: Draw, dial: Dial = dial) -> None:
        self._clock = clock
        self._draw = draw
        self._dial = dial
        self._keepers: dict[_Kept, Keeper] = {}
        self._former: dict[_Kept, Keeper] = {}  # of the policy before: exchanges that began under it may still ask

    def follow(self, policy: Policy) -> None:
        """Keep what this policy's backends need, and nothing else."""
        wanted: dict[_Kept, Keeper] = {}
        for source, places, texts in _needs(policy):
            keeper = self._keepers.get(source) or self._former.get(source) or self._made(source, policy)
            wanted[source] = keeper
            keeper.follow(places, texts)
            keeper.start()
        known = self._former | self._keepers
        former = {each: keeper for each, keeper in self._keepers.items() if each not in wanted}
        self._keepers, self._former = wanted, former
        for each, keeper in known.items():
            if each not in wanted and each not in former:
                spawn(keeper.close(), "vault-gone")

    async def settled(self, within_s: float) -> None:
        """Wait until each secret was asked for once, or for so long."""
        await asyncio.gather(*[keeper.settled(within_s) for keeper in self._keepers.values()])

    def secret(self, policy: Policy, place: StoredSecret) -> Secret | None:
        """See `Credentials`."""
        keeper = self._serving(policy, place)
        return None if keeper is None else keeper.secret(place)

    def text(self, policy: Policy, place: VaultSecret) -> Secret | None:
        """A secret of one or more lines, which no header may carry, or None. Never waits."""
        keeper = self._serving(policy, place)
        return None if keeper is None else keeper.text(place)

    def refused(self, policy: Policy, place: StoredSecret) -> None:
        """See `Credentials`."""
        source = _source(policy, place)
        keeper = None if source is None else self._keepers.get(source)
        if keeper is not None:
            keeper.refused(place)

    async def close(self) -> None:
        """Stop, and give tokens back."""
        keepers = [*self._keepers.values(), *self._former.values()]
        self._keepers, self._former = {}, {}
        await asyncio.gather(*[keeper.close() for keeper in keepers])

    def _serving(self, policy: Policy, place: StoredSecret) -> Keeper | None:
        source = _source(policy, place)
        return None if source is None else self._keepers.get(source) or self._former.get(source)

    def _made(self, kept: _Kept, policy: Policy) -> Keeper:
        directory = Path(policy.credential_dir)
        source: Source
        if isinstance(kept, Vault):
            source = Session(kept, directory, self._clock, self._draw, self._dial)
        else:
            ca_file = str(directory / kept.ca_file) if kept.ca_file else None
            source = ManagedSource(kept, directory, fetch.Line(kept.url, ca_file, self._clock), self._clock)
        stale_s, refresh_s = float(kept.stale_s), float(kept.refresh_s)
        return Keeper(source, self._clock, self._draw, stale_s=stale_s, refresh_s=refresh_s)


def _source(policy: Policy, place: StoredSecret) -> _Kept | None:
    return policy.secrets_manager if isinstance(place, ManagedSecret) else policy.vault


def _needs(policy: Policy) -> list[tuple[_Kept, Sequence[StoredSecret], Sequence[StoredSecret]]]:
    """Who is to be asked, for which lines and which longer texts; nobody who holds nothing of use."""
    needs: list[tuple[_Kept | None, Sequence[StoredSecret], Sequence[StoredSecret]]] = [
        (policy.vault, places_of(policy), texts_of(policy)),
        (policy.secrets_manager, managed_of(policy), ()),
    ]
    return [(source, places, texts) for source, places, texts in needs if source is not None and (places or texts)]


def places_of(policy: Policy) -> list[VaultSecret]:
    """Where the credentials of a policy's backends lie in its vault."""
    found: list[VaultSecret] = []
    for backend in policy.backends.values():
        if backend.credential is not None:
            found += () if backend.credential.vault is None else (backend.credential.vault,)
            found += () if backend.credential.aws is None else backend.credential.aws.vault
    return found


def managed_of(policy: Policy) -> list[ManagedSecret]:
    """Where the credentials of a policy's backends lie in its secrets manager."""
    found = (backend.credential for backend in policy.backends.values())
    managed = [each.secrets_manager for each in found if each is not None]
    return [each for each in managed if each is not None]


def texts_of(policy: Policy) -> list[VaultSecret]:
    """The same for what tokens of clouds are had by."""
    found = (backend.credential for backend in policy.backends.values())
    grants = [each.grant for each in found if each is not None and each.grant is not None]
    return [grant.vault for grant in grants if grant.vault is not None]
