"""How exchanges end: whose verdict it was, what is billed all the same, and what their records say was found."""

from typing import Final

import orjson

from extproc.core.aliases import Aliases
from extproc.core.events import Event
from extproc.core.states import IllegalTransitionError, State
from extproc.guardrails.guard import Guard, Tally
from extproc.providers.schema import UNKNOWN_FIELD
from gateway.audit.record import Found
from gateway.errors import GatewayError, Kind, unexpected

#: Verdicts of the gateway about an exchange that went well so far: it is refused, nothing failed.
OUR_WORD: Final = frozenset(
    {Kind.ANSWER_BLOCKED, Kind.CREDENTIAL_REVOKED, Kind.BUDGET_EXCEEDED, Kind.BUDGET_SPENT},
)
#: Ends of exchanges whose backend had the request and said nothing yet.
BILLED_UNHEARD: Final = frozenset({Kind.BACKEND_TIMEOUT.value, Kind.CREDENTIAL_REVOKED.value})
#: Why an answer was withheld that was too much to inspect. What a caller asks for decides that, and not the backend.
TOO_COMPLEX: Final = "too complex"
#: The words of `orjson`, whose error for it is a plain TypeError.
_TOO_DEEP: Final = "Recursion limit reached"
#: What the record says where policy lets fields pass that the schema does not name.
_UNKNOWN_FIELDS: Final = Found(rule=UNKNOWN_FIELD, direction="request", count=1, action="flag", would="block")


def of_answer(error: GatewayError) -> GatewayError:
    """The error as an answer's: a 400 would blame the caller for what the model said."""
    if error.kind not in {Kind.JSON_TOO_COMPLEX, Kind.JSON_TOO_DEEP}:
        return error
    told = "The model's answer was too complex to be inspected and was withheld."
    return GatewayError(Kind.BACKEND_ANSWER_INVALID, told, cause=TOO_COMPLEX)


def unforeseen(error: Exception) -> GatewayError:
    """The refusal for what nobody raised on purpose. Deep JSON is read, 1,024 levels of it; 254 can be written anew."""
    if isinstance(error, RecursionError) or (isinstance(error, orjson.JSONEncodeError) and str(error) == _TOO_DEEP):
        return GatewayError(Kind.JSON_TOO_DEEP, "The request is nested too deep to be written for a model. Flatten it.")
    return unexpected(error)


def found(
    request: tuple[Guard | None, Tally], response: tuple[Guard | None, Tally], aliases: Aliases | None, *, unknown: bool
) -> tuple[Found, ...]:
    """What rules found in both directions, what came back of what was tokenised, and whether unknown fields passed."""
    told: tuple[Found, ...] = ()
    for direction, (guard, tally) in (("request", request), ("response", response)):
        told += tally.found(guard, direction) if guard is not None else ()
    told += aliases.found() if aliases is not None else ()
    return (*told, _UNKNOWN_FIELDS) if unknown else told


def trailers() -> GatewayError:
    """Request trailers would pass no guard."""
    return GatewayError(Kind.TRAILERS_REFUSED, "Request trailers are not accepted; send headers instead.")


def illegal(step: tuple[State, type[Event]]) -> IllegalTransitionError:
    """The state machine has no such step."""
    return IllegalTransitionError(f"{step[1].__name__} in state {step[0].value}")
