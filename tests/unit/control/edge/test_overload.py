"""What Envoy gives up, in order."""

from itertools import pairwise

from edge_rendered import rendered


def test_overload_gives_up_heavy_streams_before_it_refuses_everybody():
    actions = rendered()["overload_manager"]["actions"]
    starts = [a["triggers"][0].get("threshold", a["triggers"][0].get("scaled")) for a in actions]
    shares = [s.get("value", s.get("scaling_threshold")) for s in starts]
    assert all(first <= second for first, second in pairwise(shares))
    assert [a["name"].rpartition(".")[2] for a in actions][-1] == "stop_accepting_connections"
