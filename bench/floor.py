"""The floor: our own shape with handlers that do nothing. What Envoy plus Python gRPC cost before a guard has run.

Serves authz, `inspect` and `adapt` on one socket with the cheapest style that we know (raw bytes, constant replies).
Usage: `python bench/floor.py SOCKET ROUTE BACKEND_AUTHORITY`.
"""

import asyncio
import sys
from typing import Any

import grpc
import uvloop
from grpc import aio

from gateway import contract
from protos import core_pb2 as core
from protos import ext_authz_pb2 as az
from protos import ext_proc_pb2 as pb
from protos import wire_pb2


def _constants(route: str, authority: str) -> dict[str, bytes]:
    allowed = az.CheckResponse()
    allowed.ok_response.SetInParent()
    for name in (contract.TENANT, contract.POLICY, contract.REQUEST_ID, contract.PRINCIPAL):
        allowed.dynamic_metadata.fields[name].string_value = "floor"
    out = {"check": allowed.SerializeToString()}
    for field in ("request_headers", "response_headers", "response_trailers"):
        message = pb.ProcessingResponse()
        getattr(message, field).SetInParent()
        out[field] = message.SerializeToString()
    body = pb.ProcessingResponse()
    common = body.request_body.response
    common.clear_route_cache = True
    option = common.header_mutation.set_headers.add()
    option.append_action = core.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    option.header.key, option.header.raw_value = contract.ROUTE_HEADER, route.encode()
    out["request_body"] = body.SerializeToString()
    attempt = pb.ProcessingResponse()
    mutation = attempt.request_headers.response.header_mutation
    for name, value in ((":authority", authority), ("authorization", "Bearer floor")):
        option = mutation.set_headers.add()
        option.append_action = core.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        option.header.key, option.header.raw_value = name, value.encode()
    out["attempt"] = attempt.SerializeToString()
    out["health"] = wire_pb2.HealthCheckResponse(status=wire_pb2.HealthCheckResponse.SERVING).SerializeToString()
    return out


async def _serve(socket: str, constants: dict[str, bytes]) -> None:
    eof: Any = getattr(aio, "EOF")  # noqa: B009 - the stubs do not know it

    async def check(_raw: bytes, _context: Any) -> bytes:
        return constants["check"]

    async def health(_raw: bytes, _context: Any) -> bytes:
        return constants["health"]

    async def process(_requests: Any, context: Any) -> None:
        if dict(context.invocation_metadata()).get("x-ostiary-filter") == "adapt":
            while await context.read() is not eof:
                await context.write(constants["attempt"])
            return
        while (raw := await context.read()) is not eof:
            message = pb.ProcessingRequest.FromString(raw)
            kind = message.WhichOneof("request")
            if kind == "response_body":
                reply = pb.ProcessingResponse()
                streamed = reply.response_body.response.body_mutation.streamed_response
                streamed.body = message.response_body.body
                streamed.end_of_stream = message.response_body.end_of_stream
                await context.write(reply.SerializeToString())
            else:
                await context.write(constants[kind])

    class Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]
        def service(self, handler_call_details: Any) -> Any:
            method = handler_call_details.method
            if method.endswith("/Process"):
                return grpc.stream_stream_rpc_method_handler(process)
            return grpc.unary_unary_rpc_method_handler(check if "Authorization" in method else health)

    server = aio.server()
    server.add_generic_rpc_handlers((Handlers(),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(_serve(sys.argv[1], _constants(sys.argv[2], sys.argv[3])))
