"""How long a crashed worker stays down: exponential with jitter, forgotten after a healthy minute. Pure."""

from typing import Final

FIRST_S: Final = 0.5  # one crash costs half a second of one worker; its siblings answer meanwhile
CAP_S: Final = 30.0  # a worker that cannot start must not fill a core, and must come back soon after the repair
HEALTHY_S: Final = 60.0  # one that lived this long did not crash for the reason of the last time
LOOP: Final = 5  # crashes in a row that an operator is told of as a loop: about 10 s of attempts
_DOUBLINGS: Final = 16  # 2 ** 16 times FIRST_S is far beyond the cap; keeps the power small for any streak


def streak_after(streak: int, lived_s: float) -> int:
    """Crashes in a row, this one included."""
    return 1 if lived_s >= HEALTHY_S else streak + 1


def pause_s(streak: int, chance: float) -> float:
    """Seconds to wait after the crash number `streak` (from 1). `chance` in [0, 1) spreads workers that fell
    together: half of the pause is fixed, half is random ("equal jitter"), so that none returns at once.
    """
    whole = min(CAP_S, FIRST_S * 2.0 ** min(streak - 1, _DOUBLINGS))
    return whole / 2 + whole / 2 * chance
