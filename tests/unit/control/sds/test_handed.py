"""What there is to hand out, and who is woken by more."""

import asyncio

from control.sds.handed import Handed
from control.sds.wire import Handout


def test_the_last_one_counts_and_wakes_whoever_waits_until_they_leave():
    handed, wake, gone = Handed(), asyncio.Event(), asyncio.Event()
    handed.watch(wake)
    handed.watch(gone)
    handed.leave(gone)
    assert handed.get("a") is None
    handed.put("a", Handout("1", b"x"))
    handed.put("a", Handout("2", b"y"))
    assert handed.get("a") == Handout("2", b"y")
    assert wake.is_set()
    assert not gone.is_set()
