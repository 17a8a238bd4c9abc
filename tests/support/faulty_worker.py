"""A real worker whose gRPC stream breaks on demand: run as a script, steered by a file. Product code is unchanged.

The file named by FAULT_FILE holds `phase how`; it is read for every `inspect` stream, so one worker serves many tests.
What breaks is what the pump reads from gRPC, the one thing that tests of the pump alone can only imitate.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import grpc

from extproc import service
from ostiary import cli
from protos import ext_proc_pb2

FAULT_FILE = "FAULT_FILE"


class _Context:
    """The RPC's context, with a `read` that misbehaves in one phase."""

    def __init__(self, context: Any, phase: str, how: str) -> None:
        self._context = context
        self._phase = phase
        self._how = how

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        raw = await self._context.read()
        if raw is grpc.aio.EOF:
            return raw
        if ext_proc_pb2.ProcessingRequest.FromString(raw).WhichOneof("request") != self._phase:
            return raw
        match self._how:
            case "ends":
                return grpc.aio.EOF
            case "garbage":
                return b"\x0a\xff\xff\xff\x7f"
            case "cancelled":
                raise asyncio.CancelledError
            case "broken":
                raise RuntimeError("scripted")
        raise ValueError(self._how)


def _break(process: Any) -> Any:
    async def broken(self: Any, requests: object, context: Any) -> None:
        told = dict(context.invocation_metadata())
        fault = Path(os.environ[FAULT_FILE]).read_text().split()
        if fault and told.get(service.FILTER_KEY) == "inspect":
            context = _Context(context, *fault)
        await process(self, requests, context)

    return broken


if __name__ == "__main__":
    service.Processor.process = _break(service.Processor.process)  # type: ignore[method-assign]
    sys.exit(cli.main(["worker", "--index", sys.argv[-1]]))
