"""Asks servers about opaque tokens (RFC 7662), and remembers what they said. Reads no answer itself: `active` does.

Requests read memory; tasks ask. Whoever sends invented tokens must not be able to hammer a server through us, nor push
good tokens out of memory: answers of both kinds are kept apart, questions about unknown tokens are counted, and a
server that fails is left alone for a while. Memory holds hashes of tokens, never tokens.
"""

import asyncio
import base64
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeAlias
from urllib.parse import quote_plus, urlencode

import structlog

from authz import active, jose
from authz.active import Active, GarbledError
from authz.identified import Identified
from authz.jose import Bad, Fault
from authz.means import Opaque
from authz.refusal import invalid_token, issuer_away
from gateway.aio import cancel_and_wait, spawn
from gateway.breaker import Breaker
from gateway.clock import Clock
from gateway.errors import GatewayError, Kind
from gateway.fetch import FetchError, StatusError
from gateway.limits import gcra
from gateway.limits.gcra import Limit
from gateway.policy.model import Introspector, Policy
from gateway.secrets import reference
from gateway.secrets.reference import Secret, SecretError

#: About 1 KiB each, as for JWTs (authz/tokens.py).
REMEMBERED: Final = 8192
#: Of tokens that do not count, about 300 bytes each. One that was forgotten too soon costs one more question.
_REMEMBERED_BAD: Final = 4096
#: Questions to one server at a time; a server of its own answers each in some milliseconds.
_CONCURRENT: Final = 16
#: Tokens that may wait for an answer; each holds a Check open. The others are refused at once.
_MAX_WAITING: Final = 256
#: Questions about tokens that never counted before, by one worker to one server: 100 at once, then 50 a second.
#: Renewals of tokens that do count are not counted, so that a storm keeps out newcomers only.
_UNKNOWN: Final = Limit(100, 2_000_000)
#: Least life of a positive answer: a token in its last seconds must not be asked about with every request.
_LEAST_S: Final = 1.0
#: A failure is told without asking again for as long as callers are told to wait (gateway/errors.py).
_FAILURE_S: Final = 1.0
_SECRET_S: Final = 60.0  # a rotated secret file counts after this, or at once when the server says 401
_OPENS_AFTER: Final = 5  # failures in a row: fewer are a hiccup
_OPEN_S: Final = (1.0, 10.0)  # first and longest: the longest is how late a server's return may be noticed
#: Bad request, content or URI too large, unprocessable, header too large (RFC 9110 section 15.5, RFC 6585).
_ABOUT_THE_TOKEN: Final = frozenset({400, 413, 414, 422, 431})
_MS_PER_S: Final = 1000
_US_PER_S: Final = 1_000_000

#: RFC 6750 section 2.1.
_B64TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)

_log: Final = structlog.get_logger(__name__)


class Line(Protocol):
    """A kept connection to one server: `gateway.fetch.Line`, or a test's own."""

    async def post(self, headers: Mapping[str, str], content: bytes, max_bytes: int, deadline_s: float) -> bytes:
        """The body of a 200 answer. Raises FetchError."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


#: Makes a line to (URL, CA file).
Dial: TypeAlias = Callable[[str, str | None], Line]


@dataclass(frozen=True, slots=True)
class _Good:
    who: Identified
    entry: Introspector
    until_s: float  # monotonic


@dataclass(frozen=True, slots=True)
class _Bad:
    kind: Kind
    cause: str
    entry: Introspector
    until_s: float  # monotonic

    def error(self) -> GatewayError:
        """Made anew each time: an exception that is raised twice keeps both tracebacks."""
        if self.kind is Kind.ISSUER_UNAVAILABLE:
            return issuer_away(self.cause)
        return invalid_token(self.cause, self.entry.name)


@dataclass(slots=True)
class _Server:
    """One introspector's server, and how it fares."""

    entry: Introspector
    directory: str
    line: Line
    breaker: Breaker
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CONCURRENT))
    flights: "dict[bytes, asyncio.Task[None]]" = field(default_factory=dict)
    unknown_tat: int = 0
    secret: Secret | None = None
    secret_read_s: float = 0.0


class Inquirer:
    """What is known of opaque tokens, for all introspectors of the current policy. For one event loop."""

    def __init__(self, dial: Dial, clock: Clock, *, remembered: int = REMEMBERED) -> None:
        self._dial = dial
        self._clock = clock
        self._remembered = remembered
        self._servers: dict[Introspector, _Server] = {}
        self._good: OrderedDict[bytes, _Good] = OrderedDict()
        self._bad: OrderedDict[bytes, _Bad] = OrderedDict()

    def follow(self, entries: Iterable[Introspector], directory: str) -> None:
        """Ask the servers of these entries and of no others. `directory` is the base of relative files."""
        wanted = {entry: self._servers.get(entry) or self._server(entry, directory) for entry in entries}
        gone = [server for entry, server in self._servers.items() if entry not in wanted]
        self._servers = wanted
        for server in gone:
            spawn(_end(server), "introspector-gone")

    def knows(self, text: str, policy: Policy) -> bool:
        """Whether any introspector of the policy is responsible for a token of this form."""
        return _responsible(text, policy) is not None

    def check(self, text: str, policy: Policy, now_s: float) -> Identified | GatewayError | Opaque:
        """Whose token it is, why it does not count, or that its server must be asked first."""
        del now_s  # answers age by the monotonic clock; `exp` was judged when the answer came
        entry = _responsible(text, policy)
        if entry is None:
            return invalid_token(Fault.ISSUER.value)
        if len(text) > jose.MAX_CHARS:
            return invalid_token(Fault.TOO_LARGE.value, entry.name)
        if _B64TOKEN.fullmatch(text) is None:
            return invalid_token(Fault.CHARACTERS.value, entry.name)
        token_id, now = _id(text), self._clock.monotonic()
        good = self._good.get(token_id)
        if good is not None and now < good.until_s and (good.entry is entry or good.entry == entry):
            self._good.move_to_end(token_id)
            return good.who
        bad = self._bad.get(token_id)
        if bad is not None and now < bad.until_s and bad.entry == entry:
            return bad.error()
        server = self._servers.get(entry)
        if server is not None and server.breaker.refuses(now):
            return issuer_away(f"introspection: circuit open ({entry.name})")
        return Opaque(entry, text)

    async def ask(self, token: Opaque) -> bool:
        """Ask, or join whoever asks already. True when `check` can answer now; never raises."""
        server = self._servers.get(token.introspector)
        if server is None:
            return False
        token_id = _id(token.text)
        flight = server.flights.get(token_id)
        if flight is None:
            refused = self._admit(server, token_id)
            if refused:
                self._away(server, token_id, refused)
                return True
            flight = server.flights[token_id] = spawn(self._inquire(server, token_id, token.text), "introspection")
            flight.add_done_callback(lambda _: server.flights.pop(token_id, None))
        await asyncio.wait({flight})  # a waiter that gives up does not end the question: the answer is remembered
        return True

    async def close(self) -> None:
        """End every question."""
        servers, self._servers = self._servers, {}
        for server in servers.values():
            await _end(server)

    def _server(self, entry: Introspector, directory: str) -> _Server:
        ca_file = str(Path(directory, entry.ca_file)) if entry.ca_file else None
        breaker = Breaker(failures_to_open=_OPENS_AFTER, first_open_s=_OPEN_S[0], longest_open_s=_OPEN_S[1])
        return _Server(entry, directory, self._dial(entry.endpoint, ca_file), breaker)

    def _admit(self, server: _Server, token_id: bytes) -> str:
        """Why the server is not asked about the token now, or ""."""
        now = self._clock.monotonic()
        if len(server.flights) >= _MAX_WAITING:
            return "too many questions at a time"
        if token_id not in self._good:
            spent = gcra.spend(server.unknown_tat, int(now * _US_PER_S), _UNKNOWN)
            server.unknown_tat = spent.tat
            if not spent.allowed:
                return "too many unknown tokens"
        return "" if server.breaker.start(now) else "circuit open"

    async def _inquire(self, server: _Server, token_id: bytes, text: str) -> None:
        """Ask once and remember the outcome, whatever it is."""
        entry, asked_s = server.entry, self._clock.monotonic()
        try:
            async with server.slots:
                asked_s = self._clock.monotonic()
                raw = await self._post(server, text)
            found = active.read(raw, entry, token_id, self._clock.now())
        except Bad as bad:
            self._answered(server)
            self._good.pop(token_id, None)
            self._remember_bad(
                token_id, _Bad(Kind.CREDENTIAL_INVALID, bad.fault.value, entry, asked_s + entry.negative_cache_s)
            )
        except (FetchError, GarbledError, SecretError) as failure:
            self._failed(server, token_id, failure)
        except asyncio.CancelledError:
            self._away(server, token_id, "ended")
            raise
        except Exception as bug:  # noqa: BLE001  # its text may hold the token; the circuit must hear of it
            self._failed(server, token_id, bug)
        else:
            self._answered(server)
            self._remember_good(token_id, _Good(found.who, entry, asked_s + self._life_s(entry, found)))

    async def _post(self, server: _Server, text: str) -> bytes:
        """The server's answer about one token (RFC 7662 section 2.1)."""
        entry = server.entry
        headers = {
            "authorization": f"Basic {await self._credentials(server)}",
            "content-type": "application/x-www-form-urlencoded",
        }
        form = urlencode({"token": text, "token_type_hint": "access_token"}).encode()
        return await server.line.post(headers, form, active.MAX_BYTES, entry.deadline_ms / _MS_PER_S)

    async def _credentials(self, server: _Server) -> str:
        """Id and secret, each form-encoded, as RFC 6749 section 2.3.1 wants them for Basic."""
        now = self._clock.monotonic()
        if server.secret is None or now - server.secret_read_s >= _SECRET_S:
            base = Path(server.directory)
            server.secret = await asyncio.to_thread(reference.read_secret, server.entry.secret_file, base)
            server.secret_read_s = now
        pair = f"{quote_plus(server.entry.client_id)}:{quote_plus(server.secret.reveal())}"
        return base64.b64encode(pair.encode()).decode()

    def _life_s(self, entry: Introspector, found: Active) -> float:
        if found.ends_s is None:
            return float(entry.cache_s)
        left_s = found.ends_s - active.SKEW_S - self._clock.now()
        return max(_LEAST_S, min(float(entry.cache_s), left_s))

    def _answered(self, server: _Server) -> None:
        if not server.breaker.closed:
            _log.info("introspection_back", introspector=server.entry.name)
        server.breaker.succeeded()

    def _failed(self, server: _Server, token_id: bytes, failure: Exception) -> None:
        """Tell whoever waits, and the circuit."""
        if isinstance(failure, FetchError | GarbledError):
            cause = str(failure)
        else:
            cause = "secret unreadable" if isinstance(failure, SecretError) else type(failure).__name__
        if isinstance(failure, StatusError) and failure.status == 401:
            server.secret = None
        if _is_about_the_token(failure):
            # The server is there. Counted, such tokens would let anybody close it to everybody.
            server.breaker.succeeded()
        else:
            server.breaker.failed(self._clock.monotonic())
        detail = str(failure) if isinstance(failure, SecretError) else cause  # the path is for the log alone
        _log.warning("introspection_failed", introspector=server.entry.name, cause=detail)
        self._away(server, token_id, cause)

    def _away(self, server: _Server, token_id: bytes, cause: str) -> None:
        told = f"introspection: {cause} ({server.entry.name})"
        until_s = self._clock.monotonic() + _FAILURE_S
        self._remember_bad(token_id, _Bad(Kind.ISSUER_UNAVAILABLE, told, server.entry, until_s))

    def _remember_good(self, token_id: bytes, good: _Good) -> None:
        self._bad.pop(token_id, None)
        self._good[token_id] = good
        self._good.move_to_end(token_id)
        while len(self._good) > self._remembered:
            self._good.popitem(last=False)

    def _remember_bad(self, token_id: bytes, bad: _Bad) -> None:
        self._bad[token_id] = bad
        self._bad.move_to_end(token_id)
        while len(self._bad) > _REMEMBERED_BAD:
            self._bad.popitem(last=False)


def _id(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _responsible(text: str, policy: Policy) -> Introspector | None:
    """The entry whose prefix fits best; the one without a prefix takes what is left."""
    fitting = [entry for entry in policy.introspectors.values() if text.startswith(entry.token_prefix)]
    return max(fitting, key=lambda entry: len(entry.token_prefix), default=None)


def _is_about_the_token(failure: Exception) -> bool:
    """Whether the server answered, and refused the question rather than us."""
    status = failure.status if isinstance(failure, StatusError) else 0
    return status in _ABOUT_THE_TOKEN


async def _end(server: _Server) -> None:
    await cancel_and_wait(*server.flights.values())
    await server.line.close()
