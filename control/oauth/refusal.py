"""Why the token service does not do what a client asked for, as RFC 6749 section 5.2 tells it. One exception."""

from typing import Final

from control.request import Answer, answer

#: Nothing that this service says may be kept (RFC 6749 section 5.1; for errors as well: they tell of a client).
NO_STORE: Final = (("cache-control", "no-store"), ("pragma", "no-cache"))
#: RFC 7617. Told with every 401, whichever way the client had tried.
_CHALLENGE: Final = ("www-authenticate", 'Basic realm="ostiary", charset="UTF-8"')
_RETRY_S: Final = "2"

#: One text for whatever is wrong with a client: nobody learns which clients exist, or how close a guess was.
_NOT_AUTHENTICATED: Final = "Client authentication failed."


class OAuthRefusal(Exception):  # noqa: N818 -- not a failure of ours: the answer to a request
    """`code` and `description` are for the client; `cause` is for the log and never leaves the process."""

    def __init__(self, code: str, description: str, *, status: int = 400, cause: str = "") -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status
        self.cause = cause or description

    def answer(self) -> Answer:
        """The refusal on the wire."""
        headers = [*NO_STORE]
        if self.status == 401:
            headers.append(_CHALLENGE)
        if self.status == 503:
            headers.append(("retry-after", _RETRY_S))
        return answer({"error": self.code, "error_description": self.description}, self.status, *headers)


def invalid_request(description: str, *, status: int = 400) -> OAuthRefusal:
    """The request's form is wrong."""
    return OAuthRefusal("invalid_request", description, status=status)


def invalid_client(cause: str) -> OAuthRefusal:
    """The client is not who it says, or may not come in. The cause is for the log alone."""
    return OAuthRefusal("invalid_client", _NOT_AUTHENTICATED, status=401, cause=cause)


def unavailable(cause: str) -> OAuthRefusal:
    """Something that the answer needs is away."""
    return OAuthRefusal(
        "temporarily_unavailable", "The token service cannot answer at the moment. Try again.", status=503, cause=cause
    )
