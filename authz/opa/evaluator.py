"""Who turns an input document into the value of `decision`: what the library and a server have in common."""

from typing import Final, Protocol


class AwayError(Exception):
    """Nobody evaluated the policy: the request is refused, and another try may find somebody. The text is a cause."""


class BrokenError(Exception):
    """The policy was evaluated and failed: trying again changes nothing. The text is a cause."""


#: What is told to operators where a deadline passed.
LATE: Final = "no decision within the policy's deadline_ms"


class Evaluator(Protocol):
    """Evaluates one policy version. Never changed once made."""

    async def evaluate(self, document: bytes, who: tuple[str, str]) -> object:
        """The value for an input document; None when it is undefined. `who` is tenant and principal.

        Raises AwayError and BrokenError. May be cancelled at any time.
        """
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...
