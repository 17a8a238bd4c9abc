"""A scripted gRPC sidecar on a worker's socket, which misbehaves on demand. It never guards anything.

It shows what *Envoy* does when a worker answers garbage, hangs, or ends its stream early:
the reasons behind the rules that our own worker keeps.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from gateway import contract
from protos import ext_authz_pb2, ext_proc_pb2, wire_pb2
from upstream import Gate

#: What no protobuf parser accepts: field 1 announces more bytes than follow.
GARBAGE: Final = b"\x0a\xff\xff\xff\x7fnot a message"
PHASES: Final = ("request_headers", "request_body", "response_headers", "response_body")


class How(StrEnum):
    """The ways to misbehave."""

    RETURN = "return"  # end the RPC with status OK before answering
    GARBAGE = "garbage"  # answer with bytes that are no message
    WRONG = "wrong"  # answer another phase than the one asked
    HANG = "hang"  # never answer
    ABORT = "abort"  # end the RPC with INTERNAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where to misbehave; nothing set means a sidecar that passes everything."""

    route: str  # composite cluster that `inspect` picks
    check: How | None = None
    phase: str = ""  # of `inspect`
    adapt_phase: str = ""
    how: How = How.RETURN


@dataclass(slots=True)
class Noted:
    """What the fake was sent."""

    checks: list[Any] = field(default_factory=list)
    inspected: list[Any] = field(default_factory=list)
    adapted: list[Any] = field(default_factory=list)


class FakeSidecar:
    """Serves on `socket` in a thread of its own until `stop`."""

    def __init__(self, socket: Path, plan: Plan) -> None:
        self.plan = plan
        self.noted = Noted()
        self._socket = socket
        self._loop = asyncio.new_event_loop()
        self._ready = Gate()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="fake-sidecar", daemon=True)

    def start(self) -> "FakeSidecar":
        self._thread.start()
        self._ready.wait()
        return self

    def stop(self) -> None:
        stop = self._stop
        if stop is not None:
            self._loop.call_soon_threadsafe(stop.set)
        self._thread.join(20)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "envoy.service.auth.v3.Authorization",
                    {"Check": grpc.unary_unary_rpc_method_handler(self._check)},
                ),
                grpc.method_handlers_generic_handler(
                    "envoy.service.ext_proc.v3.ExternalProcessor",
                    {"Process": grpc.stream_stream_rpc_method_handler(self._process)},
                ),
                grpc.method_handlers_generic_handler(
                    "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(_healthy)}
                ),
            )
        )
        server.add_insecure_port(f"unix:{self._socket}")
        await server.start()
        self._socket.chmod(0o700)
        self._ready.open()
        await self._stop.wait()
        await server.stop(0)

    async def _check(self, request: bytes, context: Any) -> bytes:
        self.noted.checks.append(ext_authz_pb2.CheckRequest.FromString(request))
        if self.plan.check is not None:
            answer = await _misbehave(self.plan.check, context, GARBAGE)
            return answer or b""
        answer = ext_authz_pb2.CheckResponse()
        answer.ok_response.SetInParent()
        answer.ok_response.headers_to_remove.append("authorization")
        answer.dynamic_metadata.update({contract.TENANT: "fake", contract.REQUEST_ID: "fake", contract.POLICY: "fake"})
        return answer.SerializeToString()

    async def _process(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        told = dict(context.invocation_metadata())
        is_adapt = told.get("x-ostiary-filter") == "adapt"
        bad_phase = self.plan.adapt_phase if is_adapt else self.plan.phase
        noted = self.noted.adapted if is_adapt else self.noted.inspected
        async for raw in requests:
            request = ext_proc_pb2.ProcessingRequest.FromString(raw)
            noted.append(request)
            phase = request.WhichOneof("request")
            if phase == bad_phase:
                answer = await _misbehave(self.plan.how, context, self._wrong(phase))
                if answer is None:
                    return
                yield answer
                continue
            yield self._pass(request, phase, is_adapt=is_adapt).SerializeToString()

    def _pass(self, request: Any, phase: str, *, is_adapt: bool) -> ext_proc_pb2.ProcessingResponse:
        answer = ext_proc_pb2.ProcessingResponse()
        if phase == "response_body":
            streamed = answer.response_body.response.body_mutation.streamed_response
            streamed.body = request.response_body.body
            streamed.end_of_stream = request.response_body.end_of_stream
            return answer
        getattr(answer, phase).SetInParent()
        if phase == "request_body" and not is_adapt:
            common = answer.request_body.response
            common.clear_route_cache = True
            header = common.header_mutation.set_headers.add()
            header.append_action = header.OVERWRITE_IF_EXISTS_OR_ADD
            header.header.key = contract.ROUTE_HEADER
            header.header.raw_value = self.plan.route.encode()
        return answer

    def _wrong(self, phase: str) -> bytes:
        answer = ext_proc_pb2.ProcessingResponse()
        (answer.response_trailers if phase != "response_body" else answer.request_headers).SetInParent()
        return answer.SerializeToString()


async def _misbehave(how: How, context: Any, wrong: bytes) -> bytes | None:
    """The bad answer; None: return at once with OK."""
    match how:
        case How.GARBAGE:
            return GARBAGE
        case How.WRONG:
            return wrong
        case How.HANG:
            await asyncio.Event().wait()
        case How.ABORT:
            await context.abort(grpc.StatusCode.INTERNAL, "scripted")
    return None


async def _healthy(request: bytes, context: Any) -> bytes:
    answer = wire_pb2.HealthCheckResponse()
    answer.status = answer.SERVING
    return answer.SerializeToString()
