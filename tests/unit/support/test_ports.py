"""Processes side by side start their servers on ports of their own."""

import itertools

import ports


def test_processes_with_ids_near_each_other_begin_far_apart():
    begun = sorted(ports.begin(pid) for pid in range(4_000_000, 4_000_041))  # as the last of pid_max
    around = [*begun, begun[0] + 10_000]
    assert min(after - before for before, after in itertools.pairwise(around)) == 154


def test_a_port_is_named_once():
    named = [ports.free_port() for _ in range(50)]
    assert len(set(named)) == 50
    assert all(10_000 <= port < 20_000 for port in named)
