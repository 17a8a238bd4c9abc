"""What suites of faults share: an edge that loses patience soon, and the first answer of an Envoy that has just started."""

from control.edge.spec import Deadlines
from stack import Stack, until

JSON = [("content-type", "application/json")]
SSE = [("content-type", "text/event-stream")]
LONG = "A long and harmless sentence, so that something is released before the fault comes. " * 8
#: Envoy gives a hung worker this long for a message; the default of 10 s would make these suites slow.
MESSAGE_MS = 800


def impatient():
    """Keys of the edge's spec."""
    return {"deadlines": Deadlines(message_ms=MESSAGE_MS, authz_ms=1000)}


def first_answer(running: Stack):
    """The first answer of an Envoy that has just started."""
    client = running.client()
    return until("an answer", lambda: client.ask("GET", "/v1/models", timeout_s=5))
