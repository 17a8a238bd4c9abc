"""What an HTTP status says of a failure, in every dialect alike."""

from typing import Final

from extproc.translate.canon import Fault

_FAULTS: Final = {
    401: Fault.UNAUTHENTICATED,
    402: Fault.UNPAID,
    403: Fault.FORBIDDEN,
    404: Fault.UNKNOWN,
    408: Fault.TIMEOUT,
    413: Fault.TOO_LARGE,
    429: Fault.LIMITED,
    503: Fault.OVERLOADED,
    504: Fault.TIMEOUT,
    529: Fault.OVERLOADED,
}


def fault_of(status: int) -> Fault:
    """What a status says (RFC 9110, section 15; 529 is Anthropic's)."""
    return _FAULTS.get(status, Fault.INVALID if 400 <= status < 500 else Fault.BROKEN)


def clean_status(status: int) -> int:
    """A status that clients of every dialect know: 529 is a 503, and what is no error is a broken answer."""
    if status == 529:
        return 503
    return status if 400 <= status < 600 else 502
