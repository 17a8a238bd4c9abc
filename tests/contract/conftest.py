"""A real Valkey for each module, emptied for each test."""

from collections.abc import Iterator

import pytest

import valkey_server


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[valkey_server.Valkey]:
    with valkey_server.running(tmp_path_factory.mktemp("v")) as started:
        yield started


@pytest.fixture
async def client(server):
    client = server.client()
    await client.flushall()
    yield client
    await client.aclose()
