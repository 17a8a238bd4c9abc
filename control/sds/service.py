"""The secret discovery service of `control`: hands out what there is, and again when it changes. Makes no secret.

Whoever can open its socket gets the listener's private key: the socket's mode is all that guards it.
"""

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import grpc
import grpc.aio
import structlog

from control.sds import wire
from control.sds.handed import Handed
from gateway.aio import cancel_and_wait, spawn

_log: Final = structlog.get_logger(__name__)

#: Envoy opens one for each secret, and for a moment again as many when it reconnects.
_STREAMS: Final = 16
_NAMES: Final = 8  # of a request; Envoy names one
#: A request has some hundred bytes; an answer holds a chain, a key or some CAs.
_RECEIVE_BYTES: Final = 64 * 1024

Context = grpc.aio.ServicerContext[bytes, bytes]


@dataclass(slots=True)
class _Asked:
    """One stream: what it wants, and what it was sent."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    names: tuple[str, ...] = ()
    nonce: str = ""
    sent: tuple[str, ...] = ()  # versions
    fault: str = ""
    ended: bool = False


class SecretService:
    """For one event loop."""

    def __init__(self, handed: Handed) -> None:
        self._handed = handed
        self._streams = 0
        self._nonces = count(1)

    async def stream(self, _requests: object, context: Context) -> None:
        """SecretDiscoveryService/StreamSecrets, in bytes."""
        if self._streams >= _STREAMS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams")
        asked = _Asked()
        self._streams += 1
        self._handed.watch(asked.wake)
        reading = spawn(self._read(context, asked), "secrets-asked")
        try:
            while not asked.ended:
                asked.wake.clear()
                await self._hand_out(context, asked)
                await asked.wake.wait()
        finally:
            self._streams -= 1
            self._handed.leave(asked.wake)
            await cancel_and_wait(reading)
        if asked.fault:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, asked.fault)

    async def _read(self, context: Context, asked: _Asked) -> None:
        """Requests, until the stream ends; the other half of `stream` is the only one that writes."""
        try:
            while isinstance(message := await context.read(), bytes):
                self._take(wire.request(message), asked)
                asked.wake.set()
        except wire.WireError as fault:
            asked.fault = str(fault)
        finally:
            asked.ended = True
            asked.wake.set()

    def _take(self, request: wire.Request, asked: _Asked) -> None:
        if request.nonce and request.nonce != asked.nonce:
            return  # about an answer that a newer one has replaced
        if len(request.names) > _NAMES:
            raise wire.WireError(f"asks for more than {_NAMES} secrets")
        asked.names = request.names
        if request.refused:
            # The same would be refused again; Envoy goes on with what it has.
            _log.error(
                "secret_refused_by_envoy", names=list(asked.names), version=list(asked.sent), code=request.refused
            )

    async def _hand_out(self, context: Context, asked: _Asked) -> None:
        found = [handout for name in asked.names if (handout := self._handed.get(name)) is not None]
        versions = tuple(each.version for each in found)
        if not found or versions == asked.sent:
            return
        asked.sent, asked.nonce = versions, str(next(self._nonces))
        await context.write(wire.response(found, asked.nonce))


def server(service: SecretService, address: str) -> grpc.aio.Server:
    """A server that is bound and not started."""
    options: list[tuple[str, Any]] = [("grpc.max_receive_message_length", _RECEIVE_BYTES)]
    made = grpc.aio.server(options=options)
    methods = {wire.METHOD: grpc.stream_stream_rpc_method_handler(service.stream)}
    made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(wire.SERVICE, methods),))
    made.add_insecure_port(address)
    return made
