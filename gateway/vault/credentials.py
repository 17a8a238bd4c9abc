"""Credentials of backends out of the vaults that policies name: one keeper for each. Decides nothing."""

import asyncio
from pathlib import Path

from gateway.aio import spawn
from gateway.clock import Clock
from gateway.policy.model import Policy, Vault, VaultSecret
from gateway.secrets.reference import Secret
from gateway.vault.keeper import Keeper
from gateway.vault.session import Dial, Draw, Session, dial


class VaultCredentials:
    """For one event loop. `gateway.grants` adds tokens of clouds to it."""

    def __init__(self, clock: Clock, draw: Draw, dial: Dial = dial) -> None:
        self._clock = clock
        self._draw = draw
        self._dial = dial
        self._keepers: dict[Vault, Keeper] = {}
        self._former: dict[Vault, Keeper] = {}  # of the policy before: exchanges that began under it may still ask

    def follow(self, policy: Policy) -> None:
        """Keep what this policy's backends need, and nothing else."""
        vault, places, texts = policy.vault, places_of(policy), texts_of(policy)
        wanted: dict[Vault, Keeper] = {}
        if vault is not None and (places or texts):
            keeper = self._keepers.get(vault) or self._former.get(vault)
            if keeper is None:
                session = Session(vault, Path(policy.credential_dir), self._clock, self._draw, self._dial)
                keeper = Keeper(
                    session, self._clock, self._draw, stale_s=float(vault.stale_s), refresh_s=float(vault.refresh_s)
                )
            wanted[vault] = keeper
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

    def secret(self, policy: Policy, place: VaultSecret) -> Secret | None:
        """See `Credentials`."""
        if policy.vault is None:
            return None
        keeper = self._keepers.get(policy.vault) or self._former.get(policy.vault)
        return None if keeper is None else keeper.secret(place)

    def text(self, policy: Policy, place: VaultSecret) -> Secret | None:
        """A secret of one or more lines, which no header may carry, or None. Never waits."""
        if policy.vault is None:
            return None
        keeper = self._keepers.get(policy.vault) or self._former.get(policy.vault)
        return None if keeper is None else keeper.text(place)

    def refused(self, policy: Policy, place: VaultSecret) -> None:
        """See `Credentials`."""
        keeper = self._keepers.get(policy.vault) if policy.vault is not None else None
        if keeper is not None:
            keeper.refused(place)

    async def close(self) -> None:
        """Stop, and give tokens back."""
        keepers = [*self._keepers.values(), *self._former.values()]
        self._keepers, self._former = {}, {}
        await asyncio.gather(*[keeper.close() for keeper in keepers])


def places_of(policy: Policy) -> list[VaultSecret]:
    """Where the credentials of a policy's backends lie in its vault."""
    found: list[VaultSecret] = []
    for backend in policy.backends.values():
        if backend.credential is not None:
            found += () if backend.credential.vault is None else (backend.credential.vault,)
            found += () if backend.credential.aws is None else backend.credential.aws.vault
    return found


def texts_of(policy: Policy) -> list[VaultSecret]:
    """The same for what tokens of clouds are had by."""
    found = (backend.credential for backend in policy.backends.values())
    grants = [each.grant for each in found if each is not None and each.grant is not None]
    return [grant.vault for grant in grants if grant.vault is not None]
