"""The pump on its own: a processor, and the part of a gRPC stream that it uses."""

import asyncio

import grpc

from extproc.service import Processor
from gateway.policy.model import Limits
from protos import ext_proc_pb2 as pb
from worlds import FakeClock, FakeWorld


class Aborted(Exception):
    pass


class FakeContext:
    """The part of grpc.aio.ServicerContext that the pump uses."""

    def __init__(self, messages, *, role="inspect", then=grpc.aio.EOF):
        self._messages = list(messages)
        self._then = then
        self._role = role
        self.written = []
        self.aborted = None
        self._busy = False
        self.silent = asyncio.Event()

    @property
    def last(self):
        return self.written[-1].response_body.response.body_mutation.streamed_response

    def invocation_metadata(self):
        return (("user-agent", "envoy"), ("x-ostiary-filter", self._role)) if self._role else ()

    async def read(self):
        await asyncio.sleep(0)
        if self._messages:
            return self._messages.pop(0)
        if isinstance(self._then, BaseException):
            raise self._then
        self.silent.set()
        if self._then is None:
            await asyncio.Event().wait()
        return self._then

    async def write(self, raw):
        assert not self._busy, "two writers at once"
        self._busy = True
        await asyncio.sleep(0)
        self._busy = False
        self.written.append(pb.ProcessingResponse.FromString(raw))

    async def abort(self, code, details=""):
        self.aborted = code
        raise Aborted(details)


class Counted:
    def __init__(self):
        self.records = []

        self.open, self.replies = 0, []

    def exchange(self, record):
        self.records.append(record)

    def local_reply(self, details):
        self.replies.append(details)

    def inflight(self, change):
        self.open += change


def processor(offer=None, limits=None, world=None):
    meters = Counted()
    kept = []
    made = Processor(
        book=world or FakeWorld(),
        offer=offer or (lambda record: kept.append(record) or True),
        clock=FakeClock(),
        meters=meters,
        limits=limits or Limits(),
    )
    return made, kept
