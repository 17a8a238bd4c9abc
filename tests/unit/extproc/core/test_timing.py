"""What an exchange tells of its backends' time: an answer, a failure, a caller that left; and nothing of a refusal."""

from dataclasses import replace

import pytest

from extproc.core.endings import of_answer
from extproc.core.journal import NOBODY, Journal
from extproc.core.timing import timing
from extproc.providers.door import Seen
from gateway.errors import GatewayError, Kind
from gateway.latency.estimates import Key, Latencies
from gateway.policy.model import Model, Pool, Select
from worlds import FakeClock

MODEL = Model(name="m", backend="a", pool=Pool(backends=("a", "b"), select=Select.LATENCY))


class Case:
    def __init__(self, *, streamed=True, order=("a", "b")):
        self.clock = FakeClock()
        self.latencies = Latencies(self.clock)
        self.journal = Journal(self.clock)
        self.journal.caller = replace(NOBODY, tenant="acme")
        self.journal.backend = self.journal.first = order[0]
        self.timing = timing(self.latencies, MODEL, order, streamed=streamed)
        self.streamed = streamed

    def after(self, first_s, last_s=0.0, outcome="completed", status=200, code="", attempts="1", tokens=500):
        self.journal.status, self.journal.code, self.journal.attempts = status, code, attempts
        self.journal.seen = Seen()
        self.journal.seen.input_tokens, self.journal.seen.output_tokens = 10, tokens
        if first_s is not None:
            self.clock.at += first_s
            self.timing.begun()
        self.clock.at += last_s
        self.timing.begun()  # as with every further piece of a stream
        self.timing.over(self.journal, outcome)
        return self.known("acme")

    def known(self, tenant):
        """What a tenant is to expect of each backend, in seconds."""
        tracks = {name: self.latencies.track(Key("m", name, self.streamed)) for name in "abc"}
        costs = {name: track.cost_s(self.clock.monotonic(), tenant) for name, track in tracks.items()}
        return {name: cost for name, cost in costs.items() if cost is not None}

    def without_first(self, waited_s, outcome, status=0, code="", attempts=""):
        self.clock.at += waited_s
        self.journal.status, self.journal.code, self.journal.attempts = status, code, attempts
        self.timing.over(self.journal, outcome)
        return self.known("acme")


def test_a_stream_counts_by_its_first_byte():
    assert Case().after(0.5, last_s=20.0) == {"a": 0.5}


def test_any_other_answer_counts_by_its_whole_at_the_usual_length():
    assert Case(streamed=False).after(6.0, tokens=1000) == {"a": pytest.approx(6.0 * 550 / 1050)}


@pytest.mark.parametrize("outcome", ["cut", "aborted", "completed"])
def test_a_stream_that_began_counts_however_it_ended(outcome):
    assert Case().after(0.5, last_s=2.0, outcome=outcome) == {"a": 0.5}


@pytest.mark.parametrize(("status", "code"), [(429, ""), (500, ""), (503, ""), (504, Kind.BACKEND_TIMEOUT.value)])
def test_a_failure_makes_a_backend_slow(status, code):
    case = Case()
    found = case.without_first(0.1, "failed", status, code, "1")
    assert set(found) == {"a"}
    assert found["a"] >= 600
    assert case.known("globex") == {}


@pytest.mark.parametrize(("status", "code"), [(400, ""), (404, ""), (429, Kind.BUDGET_EXCEEDED.value)])
def test_a_refusal_tells_nothing_of_pace(status, code):
    assert Case().without_first(0.1, "failed", status, code, "1") == {}


def test_an_answer_that_was_too_much_to_inspect_takes_the_backend_from_nobody():
    case = Case()
    error = of_answer(GatewayError(Kind.JSON_TOO_COMPLEX, "Too many encoded parts."))
    case.journal.reason = error.cause
    assert case.without_first(0.1, "failed", 200, error.kind.value, "1") == {}
    assert case.latencies.track(Key("m", "a", True)).estimate.strikes == 0


def test_of_several_attempts_all_but_the_last_failed_and_the_last_has_no_time_of_its_own():
    case = Case(order=("a", "b", "c"))
    case.journal.backend = "c"
    assert set(case.after(5.0, attempts="3")) == {"a", "b"}
    case = Case(order=("a", "b"))
    assert set(case.without_first(5.0, "failed", 503, "", "2")) == {"a", "b"}


def test_a_caller_that_left_before_the_answer_tells_only_that_it_was_slow():
    assert Case().without_first(9.0, "aborted") == {}
    case = Case()
    case.latencies.start("m", "a", streamed=True).answered(1.0)
    assert case.without_first(9.0, "aborted")["a"] > 1.0


def test_what_is_over_is_not_open_any_more():
    case = Case()
    track = case.latencies.track(Key("m", "a", True))
    assert (track.open, len(track.waiting)) == (1, 1)
    case.after(0.5)
    assert (track.open, len(track.waiting)) == (0, 0)


def test_other_pools_are_not_measured():
    for select in set(Select) - {Select.LATENCY}:
        model = replace(MODEL, pool=replace(MODEL.pool, select=select))
        assert timing(Latencies(FakeClock()), model, ("a", "b"), streamed=True) is None
    assert timing(Latencies(FakeClock()), replace(MODEL, pool=None), ("a",), streamed=True) is None
