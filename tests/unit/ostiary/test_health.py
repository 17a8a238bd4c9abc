"""Health over real sockets."""

import grpc
import pytest
from grpc import aio

from gateway import contract
from ostiary import health
from protos import wire_pb2


@pytest.fixture
async def served(tmp_path):
    answers = health.Health()
    server = aio.server()
    methods = {"Check": grpc.unary_unary_rpc_method_handler(answers.check)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods),))
    path = tmp_path / "h.sock"
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    yield answers, path
    await server.stop(0)


async def test_a_worker_serves_only_once_it_says_so(served):
    answers, path = served
    assert await health.ask(path, 5.0) == "NOT_SERVING"
    answers.serving = True
    assert await health.ask(path, 5.0) == ""
    answers.serving = False
    assert await health.ask(path, 5.0) == "NOT_SERVING"


@pytest.mark.parametrize(("service", "code"), [("", "OK"), (contract.HEALTH_SERVICE, "OK"), ("else", "NOT_FOUND")])
async def test_services(served, service, code):
    async with aio.insecure_channel(f"unix:{served[1]}") as channel:
        call = channel.unary_unary(health.METHOD)(wire_pb2.HealthCheckRequest(service=service).SerializeToString())
        assert (await call.code()).name == code


async def test_the_sockets_that_do_not_serve_are_named(served, tmp_path):
    served[0].serving = True
    told = await health.ask_all([served[1], tmp_path / "none.sock"], 5.0)
    assert told == {"none.sock": "UNAVAILABLE"}
