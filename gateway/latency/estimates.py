"""How long each backend takes to answer, as one worker estimates it, and which is fastest. Neither sends nor shares.

An estimate is a moving average in which an answer slower than expected weighs more than a faster one. A backend that
fails is left alone for a while, longer each time until it answers: by the tenant whose request failed, and by all once
another tenant's fails as well. A silence counts as soon as it is out of the usual.
Two kinds of answers have estimates of their own: a stream by its first byte, any other by its whole, scaled to an
answer of a usual length.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.clock import Clock

#: Weight of one answer. The average is of the last thirty or so; a backend that gets slower is noticed in half of that.
FASTER: Final = 0.03
SLOWER: Final = 0.06
#: What is older than this counts a third beside what is new, however few answers came meanwhile.
FORGET_S: Final = 30.0
#: An answer so many times faster than expected is no accident: it weighs half, as something has changed.
CHANGED_TIMES: Final = 3.0
CHANGED: Final = 0.5
#: After a failure a backend is left alone for so long, and twice as long after each that follows, up to the last: about
#: as long as a limit per minute takes to let requests in again. Then one request tries.
AWAY_S: Final = 4.0
STRIKES: Final = 5  # 64 s
LONGEST_S: Final = 600.0  # an exchange's longest, by default: no answer counts more, and no failure less
#: Share of requests that go elsewhere than to the fastest, all others together, to learn how fast they are now.
EXPLORED: Final = 0.03
#: Those within it of the fastest are alike, and the one with the fewest open requests of this worker is asked.
ALIKE: Final = 1.05
#: Silence tells nothing before it has lasted so many times as long as an answer usually takes.
SILENT_TIMES: Final = 2.0
#: What a whole answer is scaled to. The beginning of an answer takes about as long as so many of its tokens.
USUAL_TOKENS: Final = 500
BEGINNING_TOKENS: Final = 50
#: Pairs of model and backend that are held; a policy has five backends to a pool, and few pools are by latency.
_MOST: Final = 4096


class Key(NamedTuple):
    """What one estimate is of."""

    model: str
    backend: str
    streamed: bool


class Batch(NamedTuple):
    """What was seen of a backend in some time."""

    answers: int = 0
    total_s: float = 0.0
    strikes: int = 0  # where it stood at the end


class Estimate(NamedTuple):
    """What is thought of a backend. `seconds` None: it has not answered yet."""

    seconds: float | None = None
    strikes: int = 0  # failures since it last answered; those that came while it was left alone are one

    @property
    def away_s(self) -> float:
        """How long it is left alone after it failed last."""
        return _away_s(self.strikes)

    @property
    def failing_s(self) -> float:
        """What to expect of it meanwhile: worse than of anybody who answers."""
        return LONGEST_S * self.strikes


class _Alone(NamedTuple):
    """What one tenant alone has met since the last answer: perhaps its own prompts make the backend fail."""

    tenant: str
    strikes: int
    at_s: float


def _away_s(strikes: int) -> float:
    return AWAY_S * 2.0 ** (strikes - 1) if strikes else 0.0


def fold(old: Estimate, idle_s: float, batch: Batch) -> Estimate:
    """The estimate after a batch, `idle_s` after the one before it."""
    if not batch.answers:
        return Estimate(old.seconds, max(old.strikes, batch.strikes))
    mean_s = batch.total_s / batch.answers
    if old.seconds is None:
        return Estimate(mean_s, batch.strikes)
    weight = SLOWER if mean_s > old.seconds else CHANGED if mean_s * CHANGED_TIMES < old.seconds else FASTER
    kept = min((1 - weight) ** batch.answers, math.exp(-idle_s / FORGET_S))
    return Estimate(mean_s + (old.seconds - mean_s) * kept, batch.strikes)


def scaled(whole_s: float, tokens: int) -> float:
    """What a whole answer of so many tokens would have taken, had it been of the usual length."""
    return whole_s * (USUAL_TOKENS + BEGINNING_TOKENS) / (max(tokens, 0) + BEGINNING_TOKENS)


_UNKNOWN: Final = Estimate()
_NOTHING: Final = Batch()


class Choice(NamedTuple):
    """Who is asked first. `explored`: to learn how fast it is, and not because it is the fastest."""

    backend: str
    explored: bool


@dataclass(slots=True)
class _Track:
    """One key."""

    estimate: Estimate = _UNKNOWN
    at_s: float = 0.0  # when it last learned something
    heard_s: float = 0.0  # when this worker had an answer last
    batch: Batch = _NOTHING  # since it was last published
    taken_s: float = 0.0  # `at_s` when that was
    waiting: dict[int, float] = field(default_factory=dict)  # when each request was sent that has no answer yet
    open: int = 0  # requests that have not ended
    alone: _Alone | None = None  # this worker's, told to no other

    def answer(self, seconds: float, now_s: float) -> None:
        """It was answered: no strikes are left."""
        self.alone = None
        one = Batch(1, seconds, 0)
        self.estimate = fold(self.estimate, now_s - self.at_s if self.at_s else 0.0, one)
        self.at_s = self.heard_s = now_s
        self.batch = Batch(self.batch.answers + 1, self.batch.total_s + seconds, 0)

    def fail(self, tenant: str, now_s: float) -> None:
        """It failed a tenant's request. What was sent before the last failure tells nothing new.

        Only where two tenants' requests fail, with no answer between them, is it left alone by all: whoever knows what
        makes a backend fail could take it from the others, and their prompts would go where that tenant likes.
        """
        estimate, alone = self.estimate, self.alone
        if estimate.strikes and now_s < self.at_s + estimate.away_s:
            return
        if alone is None or alone.tenant == tenant:
            if alone is None or now_s >= alone.at_s + _away_s(alone.strikes):
                before = estimate.strikes if alone is None else alone.strikes
                self.alone = _Alone(tenant, min(STRIKES, before + 1), now_s)
            return
        self.alone = None
        strikes = min(STRIKES, estimate.strikes + 1)
        self.estimate, self.at_s = Estimate(estimate.seconds, strikes), now_s
        self.batch = Batch(self.batch.answers, self.batch.total_s, strikes)

    def cost_s(self, now_s: float, tenant: str | None = None) -> float | None:
        """What a tenant is to expect of it now; None: nobody knows, and somebody should try."""
        estimate, alone = self.estimate, self.alone
        if alone and alone.tenant == tenant and (self.waiting or now_s < alone.at_s + _away_s(alone.strikes)):
            return LONGEST_S * max(alone.strikes, estimate.strikes)
        if estimate.strikes and (self.waiting or now_s < self.at_s + estimate.away_s):
            return estimate.failing_s
        cost = estimate.seconds
        if not self.waiting or cost is None:
            return cost
        silent_s = now_s - max(self.heard_s, next(iter(self.waiting.values())))
        return max(cost, silent_s) if silent_s > SILENT_TIMES * cost else cost


class Run:
    """One request on its way. `answered`, `failed` and `leave` each may be called once; `leave` always is."""

    __slots__ = ("_at", "_clock", "_latencies", "_left", "_track", "began_s", "key")

    def __init__(self, latencies: "Latencies", key: Key, clock: Clock) -> None:
        self._latencies, self._clock = latencies, clock
        self.key = key
        self._track = latencies.track(key)
        self.began_s = clock.monotonic()
        self._at = id(self)
        self._left = False
        self._track.waiting[self._at] = self.began_s
        self._track.open += 1

    @property
    def age_s(self) -> float:
        """How long ago it was sent."""
        return self._clock.monotonic() - self.began_s

    def heard(self) -> None:
        """Its first byte is there: nobody waits for one any more."""
        self._track.waiting.pop(self._at, None)

    def answered(self, seconds: float) -> None:
        """It was answered, in so many seconds by the measure of its kind."""
        self._track.answer(min(seconds, LONGEST_S), self._clock.monotonic())

    def gave_up(self) -> None:
        """Whoever asked left. That it took at least this long is known, if it is longer than expected."""
        expected_s = self._track.estimate.seconds
        if expected_s is not None and self.age_s > expected_s and self._at in self._track.waiting:
            self.answered(self.age_s)

    def leave(self) -> None:
        """It is over."""
        if not self._left:
            self._left = True
            self.heard()
            self._track.open -= 1


class Latencies:
    """The estimates of one worker."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tracks: dict[Key, _Track] = {}

    def choose(self, model: str, backends: Sequence[str], drawn: float, *, streamed: bool, tenant: str) -> Choice:
        """Which of `backends`, at least one, is asked first. `drawn` from 0 to below 1 is the request's own lot."""
        now_s = self._clock.monotonic()
        tracks = [self.track(Key(model, name, streamed)) for name in backends]
        costs = [track.cost_s(now_s, tenant) for track in tracks]
        known = [(cost, at) for at, cost in enumerate(costs) if cost is not None]
        fresh = [at for at, cost in enumerate(costs) if cost is None and (not known or not tracks[at].open)]
        if fresh:
            at = min(fresh, key=lambda each: (tracks[each].open, each))
            return Choice(backends[at], explored=True)
        best_s, best = min(known)
        if drawn < EXPLORED and len(known) > 1:
            tried = self._explored([pair for pair in known if pair[1] != best], best_s, drawn, tracks, now_s)
            if tried is not None:
                return Choice(backends[tried], explored=True)
        alike = [(tracks[at].open, cost, at) for cost, at in known if cost <= best_s * ALIKE]
        return Choice(backends[min(alike)[2]], explored=False)

    @staticmethod
    def _explored(
        others: Sequence[tuple[float, int]], best_s: float, drawn: float, tracks: Sequence[_Track], now_s: float
    ) -> int | None:
        """Who is tried: the less, the slower it was, so that trying costs no more than `EXPLORED` of the best's time.

        With time that is forgotten, and the slowest is tried as often as the others. One at a time: a backend that
        hangs gets one request of each worker.
        """
        share = EXPLORED / len(others)
        upto = 0.0
        for cost_s, at in others:
            track = tracks[at]
            faded_s = best_s + (cost_s - best_s) * math.exp((track.at_s - now_s) / FORGET_S)
            upto += share * min(1.0, best_s / faded_s if faded_s > 0 else 1.0)
            if drawn < upto:
                return None if track.waiting else at
        return None

    def start(self, model: str, backend: str, *, streamed: bool) -> Run:
        """A request was sent."""
        return Run(self, Key(model, backend, streamed), self._clock)

    def failed(self, model: str, backend: str, *, streamed: bool, tenant: str) -> None:
        """A backend did not answer a tenant's request, or said that it cannot now (429, 5xx)."""
        self.track(Key(model, backend, streamed)).fail(tenant, self._clock.monotonic())

    def track(self, key: Key) -> _Track:
        """The memory of one key."""
        found = self._tracks.get(key)
        if found is None:
            if len(self._tracks) >= _MOST:  # policies came and went; what is asked is learned again
                self._tracks = {one: track for one, track in self._tracks.items() if track.open}
            found = self._tracks[key] = _Track()
        return found

    # --- for whoever shares them --------------------------------------------------------------------------

    def known(self) -> dict[Key, float]:
        """What is expected of each, in seconds."""
        now_s = self._clock.monotonic()
        costs = {key: track.cost_s(now_s) for key, track in self._tracks.items()}
        return {key: cost for key, cost in costs.items() if cost is not None}

    def take(self) -> dict[Key, Batch]:
        """What was seen since the last call; nothing for keys that were only asked about."""
        taken = {}
        for key, track in self._tracks.items():
            taken[key], track.batch, track.taken_s = track.batch, _NOTHING, track.at_s
        return taken

    def adopt(self, shared: Mapping[Key, tuple[Estimate, float]]) -> None:
        """Take over estimates of all workers, each with its age in seconds, where they are newer than one's own.

        What was seen since `take` is laid on top: its batch is still to be published.
        """
        now_s = self._clock.monotonic()
        for key, (estimate, age_s) in shared.items():
            track = self._tracks.get(key)
            if track is None or now_s - age_s < track.taken_s - _SLACK_S:
                continue
            if track.alone is not None and not estimate.strikes and now_s - age_s > track.alone.at_s:
                track.alone = None  # another worker had an answer since
            if any(track.batch):
                track.estimate = fold(estimate, 0.0, track.batch)
            else:
                track.estimate, track.at_s = estimate, now_s - age_s


#: A batch that was published takes a moment to come back as everybody's estimate.
_SLACK_S: Final = 1.0
