"""A seeded simulation of backends of changing speed, and of workers that choose among them by their estimates."""

import heapq
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from clocks import ManualClock
from gateway.latency.estimates import Latencies

MODEL = "m"
FAILS_S = 0.05  # how fast a backend says 429


@dataclass
class Course:
    """How a backend behaves at a moment: seconds on average, and its share of failures."""

    seconds: Callable[[float], float]
    failing: Callable[[float], float] = lambda _at: 0.0


def steady(seconds):
    return Course(lambda _at: seconds)


def changes(before, after, at_s):
    return Course(lambda now_s: before if now_s < at_s else after)


@dataclass
class Race:
    """Requests at random moments, `per_s` of them, to `workers` that share nothing unless `share` says how."""

    courses: Mapping[str, Course]
    per_s: float
    length_s: float
    noise: float = 0.0  # sigma of the logarithm of a backend's times
    seed: int = 1
    workers: int = 1
    tenants: int = 3
    share_every_s: float = 1.0
    clock: ManualClock = field(default_factory=ManualClock)
    chosen: dict[str, int] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)  # of the last fifth alone
    spent_s: float = 0.0  # by all requests
    oracle_s: float = 0.0  # the same, had each gone where it is fastest and fails least

    def run(self):
        """The mean time of a request, and that of an oracle which knows every mean and every failure rate."""
        for _ in self._moments():
            pass
        return self._means()

    async def run_shared(self, share):
        """The same for workers that share: `share` is called with all of them every second."""
        for workers in self._moments():
            await share(workers)
        return self._means()

    def _means(self):
        count = sum(self.chosen.values())
        return self.spent_s / count, self.oracle_s / count

    def _moments(self):
        dice = random.Random(self.seed)  # noqa: S311 - a simulation, the same each time
        clock = self.clock
        workers = [Latencies(clock) for _ in range(self.workers)]
        names = list(self.courses)
        ends = []  # heap: when, a tie-break, the worker, its run, its time or None: it failed
        begin_s, now_s, shared_s, count = clock.monotonic(), 0.0, 0.0, 0
        while (now_s := now_s + dice.expovariate(self.per_s)) < self.length_s:
            while ends and ends[0][0] <= now_s:
                at_s, at, worker, run, took_s = heapq.heappop(ends)
                clock.advance(max(0.0, begin_s + at_s - clock.monotonic()))
                if took_s is None:
                    worker.failed(run.key.model, run.key.backend, streamed=True, tenant=self._tenant(at))
                else:
                    run.answered(took_s)
                run.leave()
            clock.advance(max(0.0, begin_s + now_s - clock.monotonic()))
            if now_s - shared_s >= self.share_every_s:
                shared_s = now_s
                yield workers
            worker = dice.choice(workers)
            count += 1
            choice = worker.choose(MODEL, names, dice.random(), streamed=True, tenant=self._tenant(count)).backend
            self._count(choice, now_s)
            course = self.courses[choice]
            fails = dice.random() < course.failing(now_s)
            took_s = course.seconds(now_s) * dice.lognormvariate(-(self.noise**2) / 2, self.noise)
            run = worker.start(MODEL, choice, streamed=True)
            heapq.heappush(
                ends, (now_s + (FAILS_S if fails else took_s), count, worker, run, None if fails else took_s)
            )

    def _tenant(self, count):
        return f"tenant-{count % self.tenants}"

    def _count(self, choice, now_s):
        self.chosen[choice] = self.chosen.get(choice, 0) + 1
        if now_s > 0.8 * self.length_s:
            self.late[choice] = self.late.get(choice, 0) + 1
        self.spent_s += self._expected(choice, now_s)
        self.oracle_s += min(self._expected(name, now_s) for name in self.courses)

    def _expected(self, name, now_s):
        """Seconds with this one first: where it fails, the fastest of the others follows."""
        course = self.courses[name]
        failing = course.failing(now_s)
        if not failing:
            return course.seconds(now_s)
        others = [each.seconds(now_s) for other, each in self.courses.items() if other != name]
        return (1 - failing) * course.seconds(now_s) + failing * (FAILS_S + min(others))
