"""How long the backends of one request take, told to whoever estimates it. Decides nothing."""

from http import HTTPStatus
from typing import Final

from extproc.core.endings import TOO_COMPLEX
from extproc.core.journal import Journal
from gateway.errors import Kind
from gateway.latency.estimates import Latencies, scaled
from gateway.policy.model import Model, Select

#: Codes of exchanges whose backend did not answer as it should; anything else that went wrong is not its pace.
_FAILED: Final = frozenset(
    {
        Kind.BACKEND_UNAVAILABLE.value,
        Kind.BACKEND_TIMEOUT.value,
        Kind.BACKEND_ANSWER_INVALID.value,
    }
)


class Timing:
    """From the moment when a request is sent on."""

    __slots__ = ("_first_s", "_latencies", "_model", "_order", "_run", "_streamed")

    def __init__(self, latencies: Latencies, model: Model, order: tuple[str, ...], *, streamed: bool) -> None:
        """`order`: the backends as Envoy asks them."""
        self._latencies = latencies
        self._model, self._order, self._streamed = model.name, order, streamed
        self._run = latencies.start(model.name, order[0], streamed=streamed)
        self._first_s: float | None = None

    def begun(self) -> None:
        """The first byte of an answer leaves."""
        if self._first_s is None:
            self._first_s = self._run.age_s
            self._run.heard()

    def over(self, journal: Journal, outcome: str) -> None:
        """The exchange ended so. An answer after a failed attempt tells who failed, and no time of its own."""
        attempts = int(journal.attempts) if journal.attempts.isdecimal() else 1
        failed = _failed(journal)
        for backend in self._order[: attempts if failed else attempts - 1]:
            self._latencies.failed(self._model, backend, streamed=self._streamed, tenant=journal.caller.tenant)
        if attempts == 1 and not failed:
            self._measure(journal, outcome)
        self._run.leave()

    def _measure(self, journal: Journal, outcome: str) -> None:
        if outcome == "aborted" and self._first_s is None:
            self._run.gave_up()
        elif journal.status >= HTTPStatus.BAD_REQUEST or self._first_s is None:
            return  # a refusal is quick everywhere, and what was withheld has no time
        elif self._streamed:
            self._run.answered(self._first_s)
        elif (used := journal.used(whole=True)) is not None:
            self._run.answered(scaled(self._first_s, used.tokens_out))


def _failed(journal: Journal) -> bool:
    if journal.code:  # the status is our own refusal's
        # Else one tenant's prompts could take a backend from all others.
        return journal.code in _FAILED and journal.reason != TOO_COMPLEX
    return journal.status == HTTPStatus.TOO_MANY_REQUESTS or journal.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def timing(latencies: Latencies, model: Model, order: tuple[str, ...], *, streamed: bool) -> Timing | None:
    """For a request to a pool that is chosen by latency; others are not measured."""
    if model.pool is None or model.pool.select is not Select.LATENCY:
        return None
    return Timing(latencies, model, order, streamed=streamed)
