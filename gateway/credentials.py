"""The promise of whatever has header values for backends at hand, in memory. Holds none.

A vault keeps it today. A token of Google or Azure fits: a value that is fetched ahead and ends. An AWS signature does
not: it is made of each attempt's path, host and body, and belongs where the attempt is prepared (extproc.adapt).
"""

from typing import Protocol

from gateway.policy.model import Policy, VaultSecret
from gateway.secrets.reference import Secret


class Credentials(Protocol):
    """Values by their place."""

    def secret(self, policy: Policy, place: VaultSecret) -> Secret | None:
        """The value of this moment, or None where there is none that still counts. Never waits."""
        ...

    def refused(self, policy: Policy, place: VaultSecret) -> None:
        """The provider did not take the value: find out soon whether there is another. Never waits."""
        ...
