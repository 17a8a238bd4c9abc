"""The answer of a backend of another dialect: told in the caller's, then judged as if it had been said so. Pure."""

from dataclasses import dataclass
from typing import Protocol

from extproc.core.reply import Reply
from extproc.providers.door import TOLD_ERROR, Seen
from extproc.translate.attempt import Attempt, Stream, told
from extproc.translate.canon import Usage
from extproc.translate.dialect import Origin
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Limits


class _Ear(Protocol):
    def feed(self, data: bytes, *, last: bool) -> bytes:
        """What the bytes say in the caller's dialect. Raises BACKEND_ANSWER_INVALID."""
        ...


class _Whole:
    """A JSON answer or an error: held until it is whole."""

    def __init__(self, attempt: Attempt, origin: Origin, status: int, limit_bytes: int, seen: Seen) -> None:
        self._attempt, self._origin, self._status = attempt, origin, status
        self._limit_bytes = limit_bytes
        self._seen = seen
        self._held = bytearray()

    def feed(self, data: bytes, *, last: bool) -> bytes:
        self._held += data
        if len(self._held) > self._limit_bytes:
            self._held.clear()
            raise GatewayError(
                Kind.BACKEND_ANSWER_TOO_LARGE,
                "The model's answer is larger than the gateway holds for inspection; it was withheld.",
            )
        if not last:
            return b""
        raw = bytes(self._held)
        self._held.clear()
        try:
            received = self._attempt.answer(self._status, raw, self._origin)
        except GatewayError:
            _note(self._seen, self._attempt.usage(raw))  # withheld, and billed by the provider all the same
            raise
        self._seen.lost = told(received.lost)
        return received.body


class _Running:
    """An event stream: each event as it comes. What it tells of usage counts at once: clients may leave before its end,
    where their own dialect would tell.
    """

    def __init__(self, stream: Stream, seen: Seen) -> None:
        self._stream, self._seen = stream, seen

    def feed(self, data: bytes, *, last: bool) -> bytes:
        stream = self._stream
        out = stream.feed(data) if data else b""
        out = out + stream.close() if last else out
        if stream.failed:
            self._seen.failed = self._seen.failed or TOLD_ERROR
        self._seen.lost = told(stream.lost.values()) if stream.lost else ""
        _note(self._seen, stream.counted or stream.begun, begun=stream.counted is None)
        return out


def _note(seen: Seen, usage: Usage | None, *, begun: bool = False) -> None:
    if usage is None:
        return
    seen.input_tokens = usage.input_tokens
    seen.cached_tokens, seen.cache_write_tokens = usage.cached_tokens, usage.cache_write_tokens
    seen.audio_input_tokens = usage.audio_input_tokens
    if not begun:
        seen.output_tokens, seen.reasoning_tokens = usage.output_tokens, usage.reasoning_tokens
        seen.audio_output_tokens = usage.audio_output_tokens


class Translated:
    """A `Reply` behind a translation."""

    def __init__(self, inner: Reply, ear: _Ear) -> None:
        self._inner = inner
        self._ear = ear

    @property
    def blocked(self) -> str | None:
        """See `Reply`."""
        return self._inner.blocked

    @property
    def ended(self) -> bool:
        """See `Reply`."""
        return self._inner.ended

    @property
    def over(self) -> bool:
        """See `Reply`."""
        return self._inner.over

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """See `Reply`."""
        said = self._ear.feed(data, last=last)
        return self._inner.feed(said, last=last) if said or last else b""

    def cut(self, error: GatewayError) -> bytes:
        """See `Reply`."""
        return self._inner.cut(error)

    def instead(self, text: str) -> bytes | None:
        """See `Reply`."""
        return self._inner.instead(text)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an answer of another dialect when its head has come."""

    attempt: Attempt
    origin: Origin
    status: int
    limits: Limits
    seen: Seen

    def whole(self, inner: Reply) -> Translated:
        """For a JSON answer, or an error of any form that the status tells."""
        return Translated(inner, _Whole(self.attempt, self.origin, self.status, self.limits.answer_bytes, self.seen))

    def stream(self, inner: Reply) -> Translated:
        """For an event stream."""
        return Translated(inner, _Running(self.attempt.stream(self.origin, self.limits.event_bytes), self.seen))
