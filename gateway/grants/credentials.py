"""Credentials of backends out of a vault, and tokens of clouds that are had by them. Decides nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.aio import spawn
from gateway.clock import Clock
from gateway.grants.keeper import Line, TokenKeeper
from gateway.policy.model import Grant, Policy, StoredSecret, Vault
from gateway.secrets.reference import Secret, read_document, read_secret
from gateway.vault.credentials import VaultCredentials
from gateway.vault.session import Draw

#: Makes the line to a URL with a CA file.
Dial = Callable[[str, str | None], Line]


@dataclass(frozen=True, slots=True)
class _Place:
    """What makes two tokens the same one: backends and policies share it then."""

    grant: Grant
    vault: Vault | None
    directory: str


class CloudCredentials:
    """Satisfies `gateway.credentials.Credentials`. For one event loop."""

    def __init__(
        self, vault: VaultCredentials, dial: Dial, clock: Clock, draw: Draw, unique: Callable[[], str]
    ) -> None:
        """`unique` makes names of assertions that nobody guesses."""
        self._vault = vault
        self._dial = dial
        self._clock = clock
        self._draw = draw
        self._unique = unique
        self._keepers: dict[_Place, TokenKeeper] = {}
        #: Of the policy before: exchanges that began under it may still ask for the token that there is. They rest.
        self._former: dict[_Place, TokenKeeper] = {}

    def follow(self, policy: Policy) -> None:
        """Keep what this policy's backends need, and nothing else."""
        self._vault.follow(policy)
        known = self._former | self._keepers
        found = (backend.credential for backend in policy.backends.values())
        grants = {each.grant for each in found if each is not None and each.grant is not None}
        wanted = {place: known.get(place) or self._made(policy, place) for place in map(_placing(policy), grants)}
        former = {place: keeper for place, keeper in self._keepers.items() if place not in wanted}
        self._keepers, self._former = wanted, former
        for keeper in former.values():
            keeper.rest()
        for keeper in wanted.values():
            keeper.start()
        for place, keeper in known.items():
            if place not in wanted and place not in former:
                spawn(keeper.close(), "cloud-token-gone")

    async def settled(self, within_s: float) -> None:
        """Wait until each secret and each token was asked for once, or for so long."""
        await asyncio.gather(
            self._vault.settled(within_s), *[keeper.settled(within_s) for keeper in self._keepers.values()]
        )

    def secret(self, policy: Policy, place: StoredSecret) -> Secret | None:
        """See `Credentials`."""
        return self._vault.secret(policy, place)

    def refused(self, policy: Policy, place: StoredSecret) -> None:
        """See `Credentials`."""
        self._vault.refused(policy, place)

    def token(self, policy: Policy, grant: Grant) -> Secret | None:
        """See `Credentials`."""
        place = _placing(policy)(grant)
        keeper = self._keepers.get(place) or self._former.get(place)
        return None if keeper is None else keeper.token()

    def token_refused(self, policy: Policy, grant: Grant) -> None:
        """See `Credentials`."""
        keeper = self._keepers.get(_placing(policy)(grant))
        if keeper is not None:
            keeper.refused()

    async def close(self) -> None:
        """Stop, and give the vault's tokens back."""
        keepers = [*self._keepers.values(), *self._former.values()]
        self._keepers, self._former = {}, {}
        await asyncio.gather(*[keeper.close() for keeper in keepers])
        await self._vault.close()

    def _made(self, policy: Policy, place: _Place) -> TokenKeeper:
        grant, directory = place.grant, Path(place.directory)

        async def read() -> Secret | None:
            if grant.vault is not None:
                return self._vault.text(policy, grant.vault)
            reader = read_secret if grant.proof == "secret" else read_document
            return await asyncio.to_thread(reader, Path(grant.file), directory)

        line = self._dial(grant.token_url, str(directory / grant.ca_file) if grant.ca_file else None)
        return TokenKeeper(grant, read, line, self._clock, self._draw, self._unique)


def _placing(policy: Policy) -> Callable[[Grant], _Place]:
    return lambda grant: _Place(grant, policy.vault if grant.vault is not None else None, policy.credential_dir)
