"""The worker's gRPC health service (grpc.health.v1) and the client that readiness uses. Judges nothing.

Envoy, the supervisor and operators ask it; whoever owns the worker says when it serves.
"""

import asyncio
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from gateway import contract
from protos import wire_pb2

METHOD: Final = "/grpc.health.v1.Health/Check"
_KNOWN: Final = frozenset({"", contract.HEALTH_SERVICE})  # "" is the server as a whole (gRPC health protocol)
_SERVING: Final = wire_pb2.HealthCheckResponse(
    status=wire_pb2.HealthCheckResponse.SERVING,
).SerializeToString()
_NOT_SERVING: Final = wire_pb2.HealthCheckResponse(
    status=wire_pb2.HealthCheckResponse.NOT_SERVING,
).SerializeToString()


class Health:
    """Answers Check on raw bytes. Starts as NOT_SERVING: nobody may send work before the worker is whole."""

    __slots__ = ("serving",)

    def __init__(self) -> None:
        self.serving = False

    async def check(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        """grpc.health.v1.Health/Check."""
        if wire_pb2.HealthCheckRequest.FromString(request).service not in _KNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return _SERVING if self.serving else _NOT_SERVING


async def ask(socket: Path, within_s: float) -> str:
    """What is wrong with the worker behind `socket`; nothing when it serves."""
    request = wire_pb2.HealthCheckRequest(service=contract.HEALTH_SERVICE).SerializeToString()
    # A channel of its own per question: a kept one would wait in its own backoff after a worker's restart.
    options: list[tuple[str, Any]] = [("grpc.use_local_subchannel_pool", 1)]
    try:
        async with grpc.aio.insecure_channel(f"unix:{socket}", options=options) as channel:
            answer = await channel.unary_unary(METHOD, None, None)(request, timeout=within_s)
    except grpc.aio.AioRpcError as failure:
        return failure.code().name
    status = wire_pb2.HealthCheckResponse.FromString(answer).status
    return "" if status == wire_pb2.HealthCheckResponse.SERVING else "NOT_SERVING"


async def ask_all(sockets: list[Path], within_s: float) -> dict[str, str]:
    """Name of the socket -> what is wrong, for every worker that does not serve."""
    told = await asyncio.gather(*(ask(socket, within_s) for socket in sockets))
    return {socket.name: problem for socket, problem in zip(sockets, told, strict=True) if problem}
