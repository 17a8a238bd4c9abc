"""What an exchange remembers for its audit record. Facts only, never text."""

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from extproc.providers.door import Seen
from gateway import contract, obligation
from gateway.audit.record import Found, Record, Usage
from gateway.budgets import model as budget
from gateway.budgets.price import Price, PriceBook, cost, price_of
from gateway.clock import Clock
from gateway.errors import Kind
from gateway.identity import NO_OBLIGATIONS, Caller
from gateway.policy.model import Select

NOBODY: Final = Caller(tenant="", principal="", key_id="", scopes=(), policy="", request_id="")
#: English prose has about four characters to a token (OpenAI's own rule of thumb); used when a provider tells nothing.
CHARS_PER_TOKEN: Final = 4
#: Most of a method and a path that a record keeps: routes have 20 characters, the rest is a probe's.
_METHOD_CHARS: Final = 16
_PATH_CHARS: Final = 256
#: Outcomes of answers that did not come to their end.
_BROKEN_OFF: Final = frozenset({"cut", "aborted"})
#: The same of streams: one may be refused, or fail, before its first byte left, and hears no more of its usage.
_STREAM_BROKEN_OFF: Final = _BROKEN_OFF | {"refused", "failed"}


class Journal:
    """The growing record of one exchange."""

    __slots__ = (
        "_began_s", "_clock", "_started_at", "answer_bytes", "attempts", "backend", "cached", "caller", "code",
        "currency", "first", "likeness", "method", "model", "path", "price", "prompt_chars", "prompt_tokens", "reason",
        "request_bytes", "seen", "select", "status", "streamed", "unadvised",
    )  # fmt: skip

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_at = clock.now()
        self._began_s = clock.monotonic()
        self.caller = NOBODY
        self.first = self.attempts = ""  # of a pool: the backend that was asked first, and how many were asked
        self.method = self.path = self.model = self.backend = self.code = self.reason = self.unadvised = ""
        self.select = ""  # of a pool: by what its first backend was chosen
        self.cached = ""  # "hit", "similar" or "miss", where the tenant's cache was asked
        self.likeness: float | None = None  # of two questions, where the answer to the other was given
        self.status = self.request_bytes = self.answer_bytes = self.prompt_chars = 0
        self.streamed = False
        self.prompt_tokens: int | None = None  # the tokenizer's estimate, where one was made
        self.price: Price | None = None  # what the exchange is billed by, where policy has a price
        self.currency = ""
        self.seen: Seen | None = None  # set when a backend began to answer: from then on it bills

    def walked(self, attributes: Mapping[str, str], prices: PriceBook) -> None:
        """Take from Envoy which backend was asked last, and after how many attempts; it is the one that bills."""
        self.attempts = attributes.get(contract.ATTR_ATTEMPTS, "")
        answered = attributes.get(contract.ATTR_HOST_METADATA, "")
        if answered and answered != self.backend:
            self.backend = answered
            self.price = price_of(prices, self.model, answered, self._clock.now())

    def meet(self, attributes: Mapping[str, str]) -> None:
        """Take from Envoy what is known of a request that it refused before anybody here saw its head."""
        if self.caller is NOBODY:
            self.caller = replace(NOBODY, request_id=attributes.get(contract.ATTR_REQUEST_ID, ""))
            self.method = attributes.get(contract.ATTR_METHOD, "")[:_METHOD_CHARS]
            self.path = attributes.get(contract.ATTR_PATH, "")[:_PATH_CHARS]

    def outcome(self) -> str:
        """How an exchange ended whose answer was told to its last byte, or event."""
        if self.seen is not None and self.seen.failed:
            self.code, self.reason = self.code or Kind.BACKEND_ANSWER_INVALID.value, self.reason or self.seen.failed
            return "failed"
        return "failed" if self.status >= HTTPStatus.BAD_REQUEST else "completed"

    def close(self, outcome: str, found: tuple[Found, ...]) -> Record:
        """The finished record."""
        caller = self.caller
        return Record(
            writer="inspect",
            request_id=caller.request_id,
            started_at=self._started_at,
            duration_s=self._clock.monotonic() - self._began_s,
            tenant=caller.tenant,
            principal=caller.principal,
            key_id=caller.key_id,
            policy=caller.policy,
            method=self.method,
            path=self.path,
            model=self.model,
            backend=self.backend,
            status=self.status,
            outcome=outcome,
            code=self.code,
            reason=self.reason,
            streamed=self.streamed,
            request_bytes=self.request_bytes,
            answer_bytes=self.answer_bytes,
            found=found,
            usage=self._usage(whole=outcome not in (_STREAM_BROKEN_OFF if self.streamed else _BROKEN_OFF)),
            details=self._details(),
        )

    def used(self, *, whole: bool) -> budget.Usage | None:
        """What the exchange used so far, as budgets settle it; None where no backend has begun to answer.

        What the provider has not told is counted, or estimated where no tokenizer was asked. Of an answer that is not
        `whole` it may have told only the beginning (Anthropic's `message_start`).
        """
        seen = self.seen
        if seen is None:
            return None
        prompt = _estimate(self.prompt_chars) if self.prompt_tokens is None else self.prompt_tokens
        answer = _estimate(seen.text_chars) if seen.running is None else seen.running.tokens
        told_in = seen.input_tokens or None  # there is no prompt of 0 tokens: whoever says so does not count
        told_out = None if seen.output_tokens == 0 < answer else seen.output_tokens
        if told_out is not None:
            answer = told_out if whole else max(told_out, answer)
        return budget.Usage(
            tokens_in=prompt if told_in is None else told_in,
            tokens_out=answer,
            cached_in=seen.cached_tokens,
            cache_write_in=seen.cache_write_tokens,
            audio_in=seen.audio_input_tokens,
            reasoning_out=seen.reasoning_tokens,
            audio_out=seen.audio_output_tokens,
            reported=told_in is not None and told_out == answer,
        )

    def _usage(self, *, whole: bool) -> Usage | None:
        used = self.used(whole=whole)
        if used is None:
            return None
        return Usage(
            input_tokens=used.tokens_in,
            output_tokens=used.tokens_out,
            source="provider" if used.reported else "estimate",
            cached_tokens=used.cached_in,
            cache_write_tokens=used.cache_write_in,
            audio_input_tokens=used.audio_in,
            reasoning_tokens=used.reasoning_out,
            audio_output_tokens=used.audio_out,
            cost_micros=None if self.price is None else cost(self.price, used),
            currency="" if self.price is None else self.currency,
        )

    def _details(self) -> dict[str, str]:
        """What OPA said, what had to be seen to because of it or of the caller's key, which adviser did not answer, and
        where a pool's attempts began.
        """
        caller = self.caller
        told = {"opa": caller.decision} if caller.decision else {}
        if self.unadvised:
            told["unadvised"] = self.unadvised
        if caller.obligations is not NO_OBLIGATIONS:
            told["obligations"] = obligation.write(caller.obligations)
        if self.cached:
            told["cache"] = self.cached
        if self.seen is not None and self.seen.lost:
            told["answer_dropped"] = self.seen.lost
        if self.likeness is not None:
            told["likeness"] = f"{self.likeness:.3f}"
        if self.first:
            told["first_backend"] = self.first
        if self.select and self.select != Select.ORDERED:
            told["select"] = self.select
        if self.attempts:
            told["attempts"] = self.attempts
        return told


def _estimate(chars: int) -> int:
    return -(-chars // CHARS_PER_TOKEN)
