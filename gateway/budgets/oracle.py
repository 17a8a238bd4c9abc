"""The ledger of one process as plain arithmetic: the reference of `budget.lua`, and the ledger while Valkey is away.

Its operations are each at one moment, each over several limits. `reserve` holds over all of them or over none. `settle`
charges the true use and gives back the rest; it counts once however often it is sent, before or after its hold has
ended. `extend` charges what was used so far and holds the rest anew: what it charged stays charged whatever happens.
`lease` does the same for a worker's slice of one limit, and takes more of it. `restore` brings back what the ledger
lost and records still say.

Exactly once, by records: a settled reservation leaves a mark for `MARK_MS`, so whoever repeats must do it within that
time; an extended one leaves what it has charged. A reservation without a record was not extended and not settled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.budgets.window import Account, Figures, Meter

MARK_MS: Final = 120_000  # an answer that was lost is asked for again within seconds; a mark costs about 100 bytes
RECORD_MS: Final = 3_600_000  # beyond the hold: a stream that settles an hour late is the worst that we expect
_SWEEP_AT: Final = 65_536  # accounts and records; below that, memory is not worth a sweep


class Want(NamedTuple):
    """A wish for `ask` of a limit, or down to `least`."""

    key: str
    meter: Meter
    ask: int
    least: int


class Part(NamedTuple):
    """What a reservation holds of one limit and has used of it altogether. What is charged at once has none.

    `used` below zero takes that much back of what was charged when it was reserved: the exchange was refused by others.
    """

    key: str
    meter: Meter
    held: int
    until: int
    used: int


class Slice(NamedTuple):
    """What a worker has of one limit, what it used of it since the slice began, and what it wants."""

    key: str
    meter: Meter
    held: int
    until: int
    charged: int  # of `used`, what the ledger has confirmed
    used: int
    keep: int  # promised to exchanges that run: not to be refused
    want: int  # for those to come: as far as `share` lets it
    share: int  # at most 1/share of what is left goes to those to come


class Claim(NamedTuple):
    """What records say was used of a limit: amounts by slot (`window.slot_of`). Not of buckets, not of what runs."""

    key: str
    meter: Meter
    uses: tuple[tuple[int, int], ...]  # slots in rising order, each once


class Answer(NamedTuple):
    """`done`: it fits (`reserve`), or it was not settled before (`settle`, `extend`)."""

    done: bool
    figures: tuple[Figures, ...]


@dataclass(slots=True)
class _Record:
    ends: int
    parts: tuple[tuple[int, int, int], ...] | None  # charged, held, until; None: settled


class Oracle:
    """See the module. Not for several threads."""

    def __init__(self) -> None:
        """Everything is untouched."""
        self.accounts: dict[str, Account] = {}
        self._records: dict[str, _Record] = {}
        self._sweep_at = _SWEEP_AT

    def reserve(self, now: int, wants: Sequence[Want], ttl_ms: int) -> Answer:
        """Hold for `ttl_ms`, or a slot longer."""
        self._sweep(now)
        accounts = [self._load(now, want.key, want.meter) for want in wants]
        offers = [account.offer(want.ask) for account, want in zip(accounts, wants, strict=True)]
        lacking = [offer < want.least for offer, want in zip(offers, wants, strict=True)]
        done = not any(lacking)
        figures = []
        for account, want, offer, lacks in zip(accounts, wants, offers, lacking, strict=True):
            granted, until = 0, 0
            if done:
                granted = offer
                if account.meter.once:
                    account.charge(granted)
                else:
                    until = account.hold(granted, ttl_ms)
            # A refusal leaves no trace, unless the clock was set back: the limit's time would stand still.
            if done or account.shifted:
                self.accounts[want.key] = account
            figures.append(account.figures(now, granted, until, want.least if lacks else None))
        return Answer(done, tuple(figures))

    def settle(self, now: int, record: str, parts: Sequence[Part]) -> Answer:
        """Charge `used` of each part, less what `extend` has charged of it, and free what it holds."""
        return self._charge(now, record, parts, 0)

    def extend(self, now: int, record: str, parts: Sequence[Part], ttl_ms: int) -> Answer:
        """Charge `used` of each part so far, and hold the rest for `ttl_ms` from now."""
        return self._charge(now, record, parts, ttl_ms)

    def _charge(self, now: int, record: str, parts: Sequence[Part], ttl_ms: int) -> Answer:
        known = self._record(now, record)
        if known is not None and known.parts is None:
            return Answer(done=False, figures=())
        before = known.parts if known and known.parts else tuple((0, part.held, part.until) for part in parts)
        figures, after = [], []
        for part, (charged, held, until) in zip(parts, before, strict=True):
            account = self.accounts[part.key] = self._load(now, part.key, part.meter)
            used, left, ends = max(part.used, charged), 0, 0
            account.free(held, until)
            if part.used < 0:
                account.refund(-part.used)
            account.charge(used - charged)
            if ttl_ms:
                left = max(charged + held - used, 0)
                ends = account.hold(left, ttl_ms)
            after.append((used, left, ends))
            figures.append(account.figures(now, left, ends))
        self._records[record] = (
            _Record(now + ttl_ms + RECORD_MS, tuple(after)) if ttl_ms else _Record(now + MARK_MS, None)
        )
        return Answer(done=True, figures=tuple(figures))

    def lease(self, now: int, records: Sequence[str], slices: Sequence[Slice], ttl_ms: int) -> Answer:
        """Charge what the slices have used, and resize each: what is kept, and of what is wanted a share of the rest.

        Nothing is all or none here, and nothing is refused: a slice may come out as small as what is kept.
        """
        self._sweep(now)
        figures = []
        for record, one in zip(records, slices, strict=True):
            known = self._record(now, record)
            before = known.parts[0] if known and known.parts else (one.charged, one.held, one.until)
            account = self.accounts[one.key] = self._load(now, one.key, one.meter)
            charged, held, until = before
            used = max(one.used, charged)
            account.free(held, until)
            account.charge(used - charged)
            spare = one.want if account.meter.soft else min(one.want, max(account.room - one.keep, 0) // one.share)
            granted = one.keep + spare
            ends = account.hold(granted, ttl_ms)
            self._records[record] = _Record(now + ttl_ms + RECORD_MS, ((used, granted, ends),))
            figures.append(account.figures(now, granted, ends))
        return Answer(done=True, figures=tuple(figures))

    def restore(self, now: int, claims: Sequence[Claim]) -> Answer:
        """Charge what records say and the ledger lost (`Account.restore`); `granted` of the answer is how much.

        Whatever is there already counts as part of what the records say: so repeating it changes nothing.
        """
        figures = []
        for claim in claims:
            account = self._load(now, claim.key, claim.meter)
            restored = account.restore(dict(claim.uses))
            if restored or account.shifted:
                self.accounts[claim.key] = account
            figures.append(account.figures(now, restored, 0))
        return Answer(done=True, figures=tuple(figures))

    def look(self, now: int, wants: Sequence[Want]) -> tuple[Figures, ...]:
        """How limits stand; changes nothing."""
        return tuple(self._load(now, want.key, want.meter).figures(now, 0, 0) for want in wants)

    def _load(self, now: int, key: str, meter: Meter) -> Account:
        """An account as of now; whoever changes it puts it back."""
        known = self.accounts.get(key)
        account = Account(meter) if known is None else known.copy()
        account.meter = meter  # a changed amount counts at once; a changed window has another key
        account.advance(now)
        return account

    def _record(self, now: int, key: str) -> _Record | None:
        known = self._records.get(key)
        if known is not None and known.ends <= now:
            del self._records[key]
            return None
        return known

    def _sweep(self, now: int) -> None:
        if len(self.accounts) + len(self._records) < self._sweep_at:
            return
        for account in self.accounts.values():
            account.advance(now)
        self.accounts = {key: one for key, one in self.accounts.items() if one.used or one.held}
        self._records = {key: one for key, one in self._records.items() if one.ends > now}
        self._sweep_at = max(_SWEEP_AT, 2 * (len(self.accounts) + len(self._records)))
