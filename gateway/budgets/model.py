"""What a budget is, what an exchange asks of it and what came of it: types only. Counts nothing, knows no price."""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Protocol
from urllib.parse import quote

MICRO: Final = 1_000_000  # money is whole millionths of the currency unit
#: Largest amount of a limit: ten million USD, or ten trillion tokens, in one window. Sums of twice that are exact in
#: a double (2^53) and in the fourteen digits that Lua prints of a number.
MOST: Final = 10_000_000_000_000
LONGEST_SPAN_S: Final = 86_400  # of a sliding window or a bucket; beyond a day, people think in calendars
_LONGEST_NAME: Final = 120  # characters of a scope's values in a key; longer ones are hashed
_KEYS: Final = 16_384  # scopes whose key is remembered: a key costs a few microseconds to build


class Resource(StrEnum):
    """What is counted."""

    TOKENS_IN = "tokens_in"
    TOKENS_OUT = "tokens_out"
    TOKENS = "tokens"  # in and out together
    REQUESTS = "requests"  # spent when admitted, whatever becomes of the request
    STREAMS = "streams"  # exchanges that run at this moment; needs the window RUNNING, and it needs this
    MICRO_USD = "micro_usd"  # money, whatever the currency of the price book is


class Dimension(StrEnum):
    """What a limit is counted by. The tenant always is one of them."""

    TENANT = "tenant"
    KEY = "key"
    PRINCIPAL = "principal"
    MODEL = "model"
    MODEL_GROUP = "model_group"


class Shape(StrEnum):
    """How use is forgotten."""

    SLIDING = "sliding"  # the last `span_s` seconds, in slots of 1/60 of them
    BUCKET = "bucket"  # a token bucket (GCRA): all at once, then evenly
    DAY = "day"  # UTC
    MONTH = "month"  # UTC
    RUNNING = "running"  # what runs now


class Kind(StrEnum):
    """What happens at the limit."""

    HARD = "hard"
    SOFT = "soft"  # counted and told, never refused


class Outage(StrEnum):
    """What happens while the ledger does not answer."""

    DENY = "deny"
    LOCAL = "local"  # each worker spends its share of the limit, and reports it afterwards


@dataclass(frozen=True, slots=True)
class Window:
    """The time that a limit is over. `span_s` is of SLIDING and BUCKET."""

    shape: Shape
    span_s: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be counted."""
        spans = self.shape in {Shape.SLIDING, Shape.BUCKET}
        if not (1 <= self.span_s <= LONGEST_SPAN_S if spans else self.span_s == 0):
            raise ValueError(f"{self.shape} cannot be over {self.span_s} s")


PER_MINUTE: Final = Window(Shape.SLIDING, 60)
PER_DAY: Final = Window(Shape.DAY)
PER_MONTH: Final = Window(Shape.MONTH)
RUNNING: Final = Window(Shape.RUNNING)


@dataclass(frozen=True, slots=True)
class Shared:
    """Who has a limit together with others, and which exchanges it counts (gateway.budgets.fair)."""

    members: tuple[tuple[str, int], ...]  # tenants and their weights, sorted by name
    models: frozenset[str] = frozenset()  # public names; with `model_groups` empty too: every model
    model_groups: frozenset[str] = frozenset()
    alerts: tuple[int, ...] = ()  # percentages of the whole at which it is told (gateway.budgets.watch)

    def assured(self, amount: int, tenant: str) -> int:
        """The tenant's part of an amount by its weight; 0 for others than members."""
        return amount * dict(self.members).get(tenant, 0) // sum(weight for _, weight in self.members)

    def counts(self, model: str, model_group: str) -> bool:
        """Whether exchanges with this model are of it."""
        return not (self.models or self.model_groups) or model in self.models or model_group in self.model_groups


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a policy. It applies to exchanges that have every dimension of its scope."""

    name: str  # unique in the tenant: part of the key, and of what clients are told
    scope: tuple[Dimension, ...]
    resource: Resource
    amount: int
    window: Window
    kind: Kind = Kind.HARD
    on_exceed: int = 429  # HTTP status: 429 or 402
    shared: Shared | None = field(default=None, hash=False)  # None: each tenant has its own

    def __post_init__(self) -> None:
        """Refuse what cannot be counted exactly."""
        if not 1 <= self.amount <= MOST:
            raise ValueError(f"a limit is from 1 to {MOST}")
        if (self.resource is Resource.STREAMS) is not (self.window.shape is Shape.RUNNING):
            raise ValueError("streams are counted while they run, and nothing else is")
        # A bucket's arithmetic multiplies the two; beyond 2^53 it would not be exact.
        if self.window.shape is Shape.BUCKET and self.amount * self.window.span_s * 1000 >= 2**52:
            raise ValueError("a bucket's amount times its milliseconds must stay below 2^52")
        if self.on_exceed not in {402, 429}:
            raise ValueError("a limit is answered with 402 or 429")
        if self.shared is not None and (
            self.window.shape not in {Shape.SLIDING, Shape.RUNNING}
            or self.kind is not Kind.HARD
            or self.scope != (Dimension.TENANT,)
        ):
            raise ValueError("what is shared is a hard limit of whole tenants, over a sliding window or on streams")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose exchange it is, and with which model. Empty: there is none."""

    tenant: str
    key: str = ""
    principal: str = ""
    model: str = ""
    model_group: str = ""


@dataclass(frozen=True, slots=True)
class Amounts:
    """What is asked for, or was used, of each resource but requests and streams: of those it is one."""

    tokens_in: int = 0
    tokens_out: int = 0
    micro_usd: int = 0

    def of(self, resource: Resource) -> int:
        """How much of one resource."""
        match resource:
            case Resource.TOKENS_IN:
                return self.tokens_in
            case Resource.TOKENS_OUT:
                return self.tokens_out
            case Resource.TOKENS:
                return self.tokens_in + self.tokens_out
            case Resource.MICRO_USD:
                return self.micro_usd
            case Resource.REQUESTS | Resource.STREAMS:
                return 1


@dataclass(frozen=True, slots=True)
class Usage:
    """What a provider reported, or what was counted where it reported nothing. Prices turn it into `Amounts`."""

    tokens_in: int = 0  # all of the prompt, with what the following three say of it
    cached_in: int = 0  # read from the provider's cache
    cache_write_in: int = 0
    audio_in: int = 0
    tokens_out: int = 0  # all of the answer, with what the following two say of it
    reasoning_out: int = 0
    audio_out: int = 0
    reported: bool = True  # False: counted by us

    def amounts(self, micro_usd: int) -> Amounts:
        """In the units of budgets, with the price that the price book made of it."""
        return Amounts(self.tokens_in, self.tokens_out, micro_usd)


@dataclass(frozen=True, slots=True)
class Ask:
    """What an exchange needs before it may go upstream."""

    subject: Subject
    limits: tuple[Limit, ...]  # those of the policy; which of them apply, the subject says
    amounts: Amounts  # the estimate of the prompt plus the cap of the output
    least: Amounts | None = None  # with less than `amounts` it may run too, down to this; None: all or nothing
    outage: Outage = Outage.DENY  # of the tenant's policy


@dataclass(frozen=True, slots=True)
class Hold:
    """What a reservation holds of one limit."""

    limit: Limit
    key: str  # in the ledger
    granted: int  # of REQUESTS: spent already
    until: int = 0  # slot of expiry, in the limit's own time


@dataclass(frozen=True, slots=True)
class Reservation:
    """Amounts that are set aside for one exchange until `expires_at` (monotonic seconds of this worker)."""

    id: str
    tenant: str
    holds: tuple[Hold, ...]
    expires_at: float
    local: bool = False  # granted by this worker without the ledger

    def granted(self, resource: Resource) -> int | None:
        """The least that is held of a resource; None where nothing limits it. Beyond it a stream is to be cut."""
        found = [
            hold.granted for hold in self.holds if hold.limit.resource is resource and hold.limit.kind is Kind.HARD
        ]
        return min(found, default=None)


@dataclass(frozen=True, slots=True)
class Standing:
    """One limit as it stands for one subject."""

    limit: Limit
    used: int  # charged in the present window
    held: int  # set aside for exchanges that run
    reset_s: float  # until the limit is untouched, if nothing more is spent
    retry_after_s: float = 0.0  # until what was asked for may fit; 0: it fits; negative: never
    own: int = 0  # of what is shared: what this tenant has used and holds
    assured: int = 0  # of what is shared: this tenant's part

    @property
    def remaining(self) -> int:
        """What is left for others; of what is shared, also for this tenant if nobody else asks."""
        return max(self.limit.amount - self.used - self.held, 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an exchange may run, and how the limits that apply to it stand."""

    allowed: bool
    standings: tuple[Standing, ...] = ()
    refused_by: Standing | None = None  # the hard limit that lets it wait longest
    exceeded: tuple[Standing, ...] = ()  # soft limits that it is over
    unavailable: bool = False  # refused because the ledger does not answer

    def tightest(self, resource: Resource) -> Standing | None:
        """For `x-ratelimit-*`: of the hard limits on a resource the one with the smallest part left."""
        found = [one for one in self.standings if one.limit.resource is resource and one.limit.kind is Kind.HARD]
        return min(found, key=lambda one: one.remaining / one.limit.amount, default=None)


@dataclass(frozen=True, slots=True)
class Reserved:
    """The exchange may run. Whoever got this settles or releases it."""

    reservation: Reservation
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The exchange may not run; nothing is held."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Charge:
    """What was charged for a reservation."""

    amounts: Amounts
    standings: tuple[Standing, ...] = field(default=())  # empty where the ledger is told later
    repeated: bool = False  # had been settled before: nothing was charged now


class Budgets(Protocol):
    """What the exchange asks. None of these raises for a ledger that is away: what happens then is decided inside."""

    def take(self, ask: Ask) -> Reserved | Exceeded | None:
        """Without waiting, out of what this worker holds; None when `reserve` must be awaited."""
        ...

    async def reserve(self, ask: Ask) -> Reserved | Exceeded:
        """Set aside over all limits that apply, or over none."""
        ...

    async def extend(self, reservation: Reservation, so_far: Amounts) -> Reservation:
        """Keep a reservation of a long stream alive and charge what it used so far; call before `expires_at`.

        What was charged stays charged if the worker dies. The returned reservation replaces the old one.
        """
        ...

    def settle(self, reservation: Reservation, used: Amounts) -> None:
        """Charge the true usage and give back the rest. Never waits; sent until the ledger has it, counted once."""
        ...

    def release(self, reservation: Reservation) -> None:
        """Give everything back but the request: nothing was sent upstream."""
        ...


def applies(limit: Limit, subject: Subject) -> bool:
    """Whether the subject has every dimension of the limit's scope, and a model that the limit counts."""
    if limit.shared is not None:
        return limit.shared.counts(subject.model, subject.model_group)
    return all(value_of(dimension, subject) for dimension in limit.scope)


@lru_cache(maxsize=_KEYS)
def key_of(limit: Limit, subject: Subject) -> str:
    """The limit's name in the ledger. The braces make the tenant the hash tag: its limits share a cluster slot.

    What is shared has a slot of its own, with all of its members. No tenant's name has a colon.
    """
    if limit.shared is not None:
        return f"ostiary:{{:shared:{limit.name}}}:{limit.resource}:{limit.window.shape}{limit.window.span_s or ''}"
    values = "|".join(quote(value_of(dimension, subject), safe="") for dimension in limit.scope)
    if len(values) > _LONGEST_NAME:
        values = "#" + blake2b(values.encode(), digest_size=16).hexdigest()
    # The window is part of the name: a limit that changes it begins anew, and cannot misread the old state.
    window = f"{limit.window.shape}{limit.window.span_s or ''}"
    return f"ostiary:{{{subject.tenant}}}:budget:{limit.name}:{limit.resource}:{window}:{values}"


def member_key(limit: Limit, tenant: str) -> str:
    """The name of a tenant's part of what is shared: in the slot of the whole."""
    return f"{key_of(limit, Subject(tenant))}:of:{tenant}"


def member_of(key: str) -> str:
    """Whose part of what is shared a key is of; "" for the whole. Only for keys of shared limits."""
    return key.partition(":of:")[2]


def value_of(dimension: Dimension, subject: Subject) -> str:
    """What a subject has of one dimension; "" where it has none."""
    match dimension:
        case Dimension.TENANT:
            return subject.tenant
        case Dimension.KEY:
            return subject.key
        case Dimension.PRINCIPAL:
            return subject.principal
        case Dimension.MODEL:
            return subject.model
        case Dimension.MODEL_GROUP:
            return subject.model_group
