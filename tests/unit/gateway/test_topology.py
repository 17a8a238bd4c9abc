"""Addresses of Valkey: one server, Sentinel, cluster; what is none of them is refused without being repeated."""

import pytest

from gateway.cluster import Cluster
from gateway.script import Pipe
from gateway.topology import reach


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("unix:///run/valkey.sock", Pipe),
        ("redis://127.0.0.1:6379", Pipe),
        ("redis+sentinel://a:26379,b/ostiary", Pipe),
        ("redis+sentinel://worker:p%40ss@a/ostiary", Pipe),
        ("redis+cluster://a:6379,b:6380", Cluster),
        ("rediss+cluster://worker:p%40ss@a", Cluster),
    ],
)
async def test_an_address_chooses_the_way(url, kind):
    reached = reach(url)
    assert type(reached.runner) is kind
    await reached.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis+other://secret",
        "redis+sentinel://secret",
        "redis+cluster://secret:port",
        "redis+cluster://,secret",
        "x+y://secret",
    ],
)
def test_what_is_no_address_is_refused_without_being_repeated(url):
    with pytest.raises(ValueError, match=r"(?i)valkey|sentinel") as caught:
        reach(url)
    assert "secret" not in str(caught.value)
