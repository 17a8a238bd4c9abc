"""Capacity that several tenants share: what each is assured of, what it may borrow, and who goes first. Pure.

Two accounts are kept of a shared limit, of all members together and of each one, and what each member was refused and
has not got since: its unmet wish. What a member is assured of is its weight's part of the amount; what others leave
idle may be borrowed. An exchange fits if, beside it, room is left for the unmet wishes of others:

- of those who have less for their weight than the asker has, up to the asker's level;
- when the asker borrows, of everybody, up to what each is assured of; and a little more (`headroom`), so that a member
  who comes back to its share is let in at once.

So nobody is refused within its share for the sake of a borrower, borrowers are brought to one level for their weight,
and all together never pass the amount. Nothing is taken away from exchanges that run. A refused wish counts until its
client was told to come again and a quarter longer: so one that comes again and again is not counted many times, and
nobody waits for long for whoever left without a word; what goes beyond the share counts for a fifth of a window.
`budget.lua` is the twin of `SharingOracle`; a contract test compares them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.budgets.model import Limit, Shape, Subject, key_of, member_key
from gateway.budgets.oracle import Answer, Oracle
from gateway.budgets.window import HOLD_SLOT_MS, Account, Meter, meter_of

_HEADROOM: Final = 64  # 1.6 % of the amount is never lent: an exchange or two of whoever comes back
_LENT: Final = 6  # beyond the share an unmet wish counts for a sixth of the time: a fifth of a window
_TURNS: Final = 16  # of the time that one may count: ends of wishes are kept by such slots, so at most 17 of them
_SHORTEST_TURN_MS: Final = 1_000
_GRACE_MS: Final = 2_000  # after the moment that a client was told: clocks, SDKs' jitter, the way here; and a quarter
_QUARTER: Final = 4  # of what it was told to wait: those who waited long need a while to be let in
_RUNNING_MS: Final = 30_000  # there is no window of what runs; SDKs come again within 8 s


class Member(NamedTuple):
    """One of those who share."""

    key: str  # of its account in the ledger
    weight: int
    assured: int


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """A shared limit as one of its members meets it. Known by identity: comparing all members would cost a call."""

    meter: Meter  # of all together
    key: str
    unmet: str  # key of what was refused
    own: Member
    others: tuple[Member, ...]
    headroom: int
    life_ms: int  # of an unmet wish, within the share
    lent_ms: int  # beyond it, after the last refusal
    turn_ms: int  # slots by which it ends

    @property
    def own_meter(self) -> Meter:
        """Of a member's account: it counts and refuses nothing."""
        return self.meter._replace(soft=True)


class Wish(NamedTuple):
    """A wish for `ask`, or down to `least`."""

    terms: Terms
    ask: int
    least: int


class Waiting(NamedTuple):
    """A member that was refused: what it has, and what it still wants."""

    weight: int
    assured: int
    has: int
    wants: int


@lru_cache(maxsize=4096)
def terms_of(limit: Limit, tenant: str) -> Terms:
    """What the ledger has to know of a shared limit.

    Raises:
        ValueError: the limit is not shared, or not with this tenant.
    """
    shared = limit.shared
    if shared is None or tenant not in dict(shared.members):
        raise ValueError("not a member")
    meter = meter_of(limit)
    members = {
        name: Member(member_key(limit, name), weight, shared.assured(limit.amount, name))
        for name, weight in shared.members
    }
    key = key_of(limit, Subject(tenant))
    life_ms = meter.span_ms + meter.span_ms // _QUARTER if limit.window.shape is Shape.SLIDING else _RUNNING_MS
    return Terms(
        meter,
        key,
        f"{key}:unmet",
        members.pop(tenant),
        tuple(members.values()),
        limit.amount // _HEADROOM,
        life_ms,
        life_ms // _LENT,
        max(-(-life_ms // _TURNS), _SHORTEST_TURN_MS),
    )


def reserved(own: Member, has: int, waiting: Iterable[Waiting]) -> tuple[int, int]:
    """What has to stay free for others when the asker, who has so much, stays within its share; and when it borrows."""
    within = borrowing = 0
    for one in waiting:
        level = has * one.weight // own.weight - one.has
        within += max(min(one.wants, level), 0)
        borrowing += max(min(one.wants, max(level, one.assured - one.has)), 0)
    return within, borrowing


@dataclass(slots=True)
class _Unmet:
    at: int  # of the last refusal, in the limit's own time
    wishes: dict[int, int]  # amounts, by the turn in which they end

    def live(self, turn: int) -> dict[int, int]:
        """Those that have not ended, the first to end before others."""
        return {ends: self.wishes[ends] for ends in sorted(self.wishes) if ends > turn}


class SharingOracle(Oracle):
    """The arithmetic of limits, shared ones too."""

    def __init__(self) -> None:
        """Everything is untouched."""
        super().__init__()
        self._unmet: dict[str, dict[str, _Unmet]] = {}

    def share(self, now: int, wish: Wish, ttl_ms: int) -> Answer:
        """Hold for `ttl_ms`, or a slot longer; the figures are those of all members and of the asker.

        After a refusal, `granted` of the asker's is by how much its unmet wish grew (see `withdraw`).
        """
        terms = wish.terms
        whole = self._load(now, terms.key, terms.meter)
        own = self._load(now, terms.own.key, terms.own_meter)
        unmet = self._unmet.setdefault(terms.unmet, {})
        left = terms.own.assured - own.used - own.held
        free, lendable = whole.room, whole.room - terms.headroom
        if max(min(left, free), lendable) >= wish.least:  # else it does not fit whoever waits
            waiting = self._waiting(now, terms, whole.at, unmet)
            within, borrowing = reserved(terms.own, own.used + own.held, waiting)
            free, lendable = free - within, lendable - borrowing
        offer = min(wish.ask, max(min(left, free), lendable, 0))
        if offer < wish.least:
            figures = whole.figures(now, 0, 0)
            if wish.least > max(terms.own.assured, terms.meter.amount - terms.headroom):
                wait = -1
            else:
                wait = whole.wait_ms(now, wish.least - (free if wish.least <= left else lendable))
            grown = self._refused(terms, whole.at, wish.ask, wait) if wait > 0 else 0
            for account, key in ((whole, terms.key), (own, terms.own.key)):
                if account.shifted:
                    self.accounts[key] = account
            return Answer(done=False, figures=(figures._replace(retry_ms=wait), own.figures(now, grown, 0)))
        figures_of = []
        for account, key in ((whole, terms.key), (own, terms.own.key)):
            until = 0
            if account.meter.once:
                account.charge(offer)
            else:
                until = account.hold(offer, ttl_ms)
            self.accounts[key] = account
            figures_of.append(account.figures(now, offer, until))
        self._got(terms, whole.at, offer)
        return Answer(done=True, figures=tuple(figures_of))

    def withdraw(self, terms: Terms, amount: int) -> None:
        """Of what the asker was refused, `amount` is not wanted: something else refused the exchange."""
        known = self._unmet.get(terms.unmet, {}).get(terms.own.key)
        if known is not None:
            wishes = dict(sorted(known.wishes.items(), reverse=True))
            self._keep(terms, known.at, _less(wishes, amount))

    def _waiting(self, now: int, terms: Terms, at: int, unmet: dict[str, _Unmet]) -> Iterable[Waiting]:
        for member in terms.others:
            known = unmet.get(member.key)
            wants = 0 if known is None else sum(known.live(at // terms.turn_ms).values())
            if known is None or not wants:
                continue
            account = self._brought_forward(now, member.key, terms.own_meter)
            has = account.used + account.held
            if at - known.at >= terms.lent_ms:
                wants = min(wants, max(member.assured - has, 0))
            yield Waiting(member.weight, member.assured, has, wants)

    def _brought_forward(self, now: int, key: str, meter: Meter) -> Account:
        """Kept once in a slot, so that all who are refused in it need not forget the same again."""
        known = self.accounts.get(key)
        account = self._load(now, key, meter)
        for slot_ms in (HOLD_SLOT_MS, meter.slot_ms if meter.code == "S" else HOLD_SLOT_MS):
            if known is not None and known.at // slot_ms < account.at // slot_ms:
                self.accounts[key] = account
        return account

    def _refused(self, terms: Terms, at: int, ask: int, wait_ms: int) -> int:
        known = self._unmet[terms.unmet].get(terms.own.key)
        wishes = {} if known is None else known.live(at // terms.turn_ms)
        added = min(ask, terms.meter.amount - sum(wishes.values()))
        counts_ms = min(wait_ms + wait_ms // _QUARTER + _GRACE_MS, terms.life_ms)
        ends = (at + counts_ms) // terms.turn_ms + 1
        wishes[ends] = wishes.get(ends, 0) + added
        self._keep(terms, at, wishes)
        return added

    def _got(self, terms: Terms, at: int, amount: int) -> None:
        known = self._unmet.get(terms.unmet, {}).get(terms.own.key)
        if known is not None:
            self._keep(terms, known.at, _less(known.live(at // terms.turn_ms), amount))

    def _keep(self, terms: Terms, at: int, wishes: dict[int, int]) -> None:
        unmet = self._unmet.setdefault(terms.unmet, {})
        left = {ends: amount for ends, amount in wishes.items() if amount}
        if left:
            unmet[terms.own.key] = _Unmet(at, left)
        else:
            unmet.pop(terms.own.key, None)


def _less(wishes: dict[int, int], amount: int) -> dict[int, int]:
    """The wishes but for `amount` of them, the first ones first."""
    left = {}
    for ends, wanted in wishes.items():
        met = min(wanted, amount)
        amount -= met
        left[ends] = wanted - met
    return left
