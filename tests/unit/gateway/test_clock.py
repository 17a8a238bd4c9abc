import pytest

from clocks import ManualClock
from gateway.clock import Clock, SystemClock


def test_system_clock_gives_unix_seconds_and_never_runs_backwards():
    clock: Clock = SystemClock()
    assert clock.now() > 1_700_000_000  # later than this line was written, so neither ms nor monotonic
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


def test_manual_clock_moves_only_when_told():
    clock: Clock = ManualClock(now=100.0, monotonic=5.0)
    assert (clock.now(), clock.monotonic()) == (100.0, 5.0)
    clock.advance(2.5)
    assert (clock.now(), clock.monotonic()) == (102.5, 7.5)


def test_correcting_the_wall_clock_leaves_durations_alone():
    clock = ManualClock(now=100.0, monotonic=5.0)
    clock.set_back(50)
    assert (clock.now(), clock.monotonic()) == (50.0, 5.0)
    with pytest.raises(ValueError, match="set_back"):
        clock.advance(-1)
