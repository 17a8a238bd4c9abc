"""The ledger's arithmetic under any order of events: never beyond the limit, and each settlement counts once."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.budgets.oracle import Oracle, Part, Want
from gateway.budgets.window import Meter

LIMIT = Meter("M", 0, 300, soft=False, once=False)
OTHER = Meter("M", 0, 200, soft=False, once=False)
KEYS = {"a": LIMIT, "b": OTHER}
START = 1_699_000_000_000  # three weeks before the end of a month; the machine never runs that long


class Ledger(RuleBasedStateMachine):
    """Workers that reserve, extend, settle, settle again, come late and die, under a clock that also runs backwards."""

    def __init__(self):
        super().__init__()
        self.oracle = Oracle()
        self.now = START
        self.count = 0
        self.running = {}  # name: (parts, what was reported so far)
        self.settled = {}  # name: (parts, used)
        self.dead = {}  # charged by `extend`, never settled

    @rule(ask=st.integers(1, 150), least=st.integers(0, 150), both=st.booleans())
    def reserve(self, ask, least, both):
        keys = ["a", "b"] if both else ["a"]
        wants = [Want(key, KEYS[key], ask, min(ask, least)) for key in keys]
        answer = self.oracle.reserve(self.now, wants, 60_000)
        if answer.done:
            parts = [Part(w.key, w.meter, f.granted, f.until, 0) for w, f in zip(wants, answer.figures, strict=True)]
            self.count += 1
            self.running[f"r{self.count}"] = (parts, 0)

    @rule(data=st.data(), part=st.floats(0, 1))
    def extend(self, data, part):
        if self.running:
            name = data.draw(st.sampled_from(sorted(self.running)))
            parts, before = self.running[name]
            used = max(before, int(part * min(one.held for one in parts)))
            self.oracle.extend(self.now, name, [one._replace(used=used) for one in parts], 60_000)
            self.running[name] = (parts, used)

    @rule(data=st.data(), part=st.floats(0, 1))
    def settle(self, data, part):
        if self.running:
            name = data.draw(st.sampled_from(sorted(self.running)))
            parts, before = self.running.pop(name)
            used = max(before, int(part * min(one.held for one in parts)))
            parts = [one._replace(used=used) for one in parts]
            assert self.oracle.settle(self.now, name, parts).done
            self.settled[name] = (parts, used, self.now)

    @rule(data=st.data())
    def settle_again(self, data):
        recent = sorted(name for name, (*_, at) in self.settled.items() if abs(self.now - at) < 100_000)
        if recent:
            name = data.draw(st.sampled_from(recent))
            assert not self.oracle.settle(self.now, name, self.settled[name][0]).done

    @rule(data=st.data())
    def die(self, data):
        if self.running:
            name = data.draw(st.sampled_from(sorted(self.running)))
            parts, used = self.running.pop(name)
            self.dead[name] = (parts, used)

    @rule(move=st.integers(-30_000, 90_000))
    def wait(self, move):
        self.now = max(self.now + move, START)

    @invariant()
    def what_is_charged_is_what_was_settled_or_reported(self):
        for key, meter in KEYS.items():
            figures = self.oracle.look(self.now, [Want(key, meter, 0, 0)])[0]
            everyone = [*self.settled.values(), *self.running.values(), *self.dead.values()]
            assert figures.used == sum(one[1] for one in everyone if any(part.key == key for part in one[0]))
            assert figures.held >= 0

    @invariant()
    def nothing_is_held_for_ever(self):
        for key, meter in KEYS.items():
            figures = self.oracle.look(self.now + 10_000_000, [Want(key, meter, 0, 0)])[0]
            assert figures.held == 0


TestLedger = Ledger.TestCase


class Prompt(Ledger):
    """The same with workers that keep their holds alive: used and held together never pass the limit."""

    @rule(move=st.integers(-30_000, 90_000))
    def wait(self, move):
        self.now = max(self.now + min(move, 1_000), START)
        for name, (parts, used) in self.running.items():
            self.oracle.extend(self.now, name, [one._replace(used=used) for one in parts], 60_000)

    @invariant()
    def the_limit_holds(self):
        for key, meter in KEYS.items():
            figures = self.oracle.look(self.now, [Want(key, meter, 0, 0)])[0]
            assert figures.used + figures.held <= meter.amount


TestPrompt = Prompt.TestCase
