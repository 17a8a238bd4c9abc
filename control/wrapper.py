"""What encrypts signing keys before they are stored: the promise that a local key and a vault both keep. No crypto."""

from typing import Protocol


class WrapError(Exception):
    """A key could not be wrapped or unwrapped. For the log: holds no key, no token and no address."""


class Wrapper(Protocol):
    """Encrypts small secrets, each under the name of what it is. Both ways may take a round trip."""

    async def wrap(self, name: str, plain: bytes) -> str:
        """`plain`, encrypted so that it unwraps under the same name only. Raises WrapError."""
        ...

    async def unwrap(self, name: str, wrapped: str) -> bytes:
        """The same back. Raises WrapError."""
        ...

    def is_current(self, wrapped: str) -> bool:
        """Whether it is wrapped as it would be now; False after a change of the key-encryption key."""
        ...
