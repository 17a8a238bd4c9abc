"""The promise of whatever has header values for backends at hand, in memory. Holds none.

Vaults and AWS Secrets Manager keep secrets, token endpoints of clouds give tokens that end. An AWS signature is
neither: it is made of each attempt's path, host and body, where the attempt is prepared (extproc.adapt).
"""

from typing import Protocol

from gateway.policy.model import Grant, Policy, StoredSecret
from gateway.secrets.reference import Secret


class Credentials(Protocol):
    """Values by their place."""

    def secret(self, policy: Policy, place: StoredSecret) -> Secret | None:
        """The value of this moment, or None where there is none that still counts. Never waits."""
        ...

    def refused(self, policy: Policy, place: StoredSecret) -> None:
        """The provider did not take the value: find out soon whether there is another. Never waits."""
        ...

    def token(self, policy: Policy, grant: Grant) -> Secret | None:
        """The access token of this moment, or None where there is none that still counts. Never waits."""
        ...

    def token_refused(self, policy: Policy, grant: Grant) -> None:
        """The provider did not take the token: have another one soon. Never waits."""
        ...
