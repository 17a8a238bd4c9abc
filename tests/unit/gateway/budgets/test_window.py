"""The arithmetic of one limit: against a log of everything, against fractions, and against the calendar."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.budgets.window import Account, Meter, period_ends, period_of

START = 1_700_000_000_123
MINUTE = Meter("S", 60_000, 100, soft=False, once=True)


def spend(account: Account, now: int, amount: int) -> bool:
    account.advance(now)
    if account.offer(amount) < amount:
        return False
    account.charge(amount)
    return True


@given(
    st.sampled_from([1_000, 7_000, 60_000, 86_400_000]),
    st.lists(st.tuples(st.floats(0, 1.2), st.integers(1, 60)), max_size=40),
)
def test_a_sliding_window_never_admits_more_and_forgets_at_most_a_slot_late(span, steps):
    meter = MINUTE._replace(span_ms=span)
    account, now, log = Account(meter), START, []

    def within(back: int) -> int:
        return sum(amount for at, amount in log if at > now - back)

    for part, amount in steps:
        now += int(part * part * span)
        if spend(account, now, amount):
            log.append((now, amount))
            assert within(span) <= meter.amount
        else:
            # A slot begins before what is in it, and is forgotten a slot after its end.
            assert within(span + 2 * meter.slot_ms) + amount > meter.amount
    assert meter.slot_ms <= -(-span // 60)


@given(
    st.sampled_from([1_000, 60_000]),
    st.integers(1, 500),
    st.lists(st.tuples(st.integers(0, 9_000), st.integers(1, 300)), max_size=40),
)
def test_a_bucket_leaks_as_fractions_do(span, amount, steps):
    account, now, level = Account(Meter("B", span, amount, soft=True, once=True)), START, Fraction(0)
    for passed, wanted in steps:
        now += passed
        account.advance(now)
        level = max(level - Fraction(passed * amount, span), Fraction(0))
        # Whole units: what has leaked of the next one is kept for it.
        assert account.used == -(-level.numerator // level.denominator)
        account.charge(wanted)
        level += wanted


@given(st.integers(0, 60_000), st.integers(0, 86_399_999))
def test_periods_are_those_of_the_calendar(day, rest):
    then = date(1970, 1, 1) + timedelta(days=day)
    now = day * 86_400_000 + rest
    assert period_of("D", now) == day
    assert period_of("M", now) == then.year * 12 + then.month - 1
    following = datetime(then.year + then.month // 12, then.month % 12 + 1, 1, tzinfo=UTC)
    assert period_ends("M", now) == following.timestamp() * 1000
    assert period_ends("D", now) == (day + 1) * 86_400_000


def test_a_month_ends_at_its_last_millisecond():
    end = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp() * 1000)
    account = Account(Meter("M", 0, 100, soft=False, once=True))
    assert spend(account, end - 1, 100)
    assert not spend(account, end - 1, 1)
    assert spend(account, end, 100)


def test_a_clock_set_back_over_the_end_of_a_day_finds_the_day_as_it_was():
    midnight = 19_700 * 86_400_000
    account = Account(Meter("D", 0, 100, soft=False, once=True))
    assert spend(account, midnight - 5, 90)
    assert spend(account, midnight + 5, 20)
    assert not spend(account, midnight - 3, 11)
    assert spend(account, midnight - 3, 10)
    assert account.used == 100


@given(st.lists(st.tuples(st.integers(-200_000, 30_000), st.integers(1, 60)), max_size=40))
def test_a_clock_set_back_neither_frees_nor_locks(steps):
    account, now, own, log = Account(MINUTE), START, START, []
    for move, amount in steps:
        now += move
        own += max(move, 0)  # the time that has passed as far as anybody can tell
        if spend(account, now, amount):
            log.append((own, amount))
            assert sum(spent for at, spent in log if at > own - 60_000) <= MINUTE.amount
        else:
            assert sum(spent for at, spent in log if at > own - 62_000) + amount > MINUTE.amount


def test_who_is_told_to_come_again_gets_in_then():
    account = Account(MINUTE)
    for second in range(10):
        assert spend(account, START + second * 5_000, 10)
    now = START + 50_000
    account.advance(now)
    assert not spend(account, now, 70)
    wait = account.figures(now, 0, 0, lacking=70).retry_ms
    early, late = account.copy(), account.copy()
    assert not spend(early, now + wait - 1, 70)
    assert spend(late, now + wait, 70)


def test_holds_end_by_themselves_within_a_slot():
    account = Account(MINUTE._replace(once=False))
    account.advance(START)
    account.hold(100, 20_000)
    account.advance(START + 20_000)
    assert account.room == 0
    account.advance(START + 25_000)
    assert account.room == 100
