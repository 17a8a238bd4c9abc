"""Why the control plane did not do what an operator asked for. One exception; the admin API and the CLI render it."""

from typing import Final

INVALID: Final = 422
CONFLICT: Final = 409
UNKNOWN: Final = 404
UNAVAILABLE: Final = 503


class Refusal(Exception):  # noqa: N818 -- not a failure of ours: the answer to a wish that cannot be granted
    """A wish that was not granted. `message` is written for the operator and holds no secret.

    `code` is stable (`key_unknown`); `field` names what is wrong in the wish (`rate.requests`), or is empty.
    """

    def __init__(self, code: str, message: str, *, status: int = INVALID, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.code = code
        self.message = message
        self.status = status
        self.field = field


def invalid(field: str, message: str) -> Refusal:
    """The wish is understood and wrong (422)."""
    return Refusal("invalid", message, field=field)


def unknown(what: str, name: str) -> Refusal:
    """What the wish is about does not exist (404), for example `unknown("key", "k7d2m0q9x4ab")`."""
    return Refusal(f"{what}_unknown", f"There is no {what} {name!r}.", status=UNKNOWN)


def conflict(message: str) -> Refusal:
    """Somebody else was faster, or what shall be made exists already (409)."""
    return Refusal("conflict", message, status=CONFLICT)


def unavailable(message: str = "The registry cannot be reached at the moment. Try again.") -> Refusal:
    """The registry or another part that the wish needs is away (503)."""
    return Refusal("unavailable", message, status=UNAVAILABLE)
