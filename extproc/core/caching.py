"""What an exchange has to do with its tenant's cache: whether a request may be answered from it, under which key, how
an answer is given again, what is handed over to be kept. Pure; holds no entry, no key and no connection.

A request is looked up by all that its answer depends on. What is not known to be harmless is part of it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from extproc.core import heads
from extproc.core.events import Headers
from extproc.core.heard import Heard
from extproc.core.listening import Terms
from extproc.core.questions import Alike, Entry, Hit, Look, Missed, Told
from extproc.core.similar import parted
from extproc.core.texts import lay
from extproc.core.windows import judge
from extproc.guardrails.guard import Tally
from extproc.guardrails.scanner import Scanner
from extproc.providers.door import Door, Seen
from gateway import contract, obligation
from gateway.budgets.model import Usage
from gateway.errors import GatewayError, Rendered
from gateway.identity import Caller
from gateway.policy.kept import Cache, Scope, Similar
from gateway.policy.model import Tenant

Fields = tuple[tuple[str, str], ...]

#: Part of every key, so that a change of what is in it never gives an old answer to a new question.
_FORM: Final = b"ostiary.cache/2"
#: The same of places where several questions' answers lie. No request's own place is one of these.
_SHARED_FORM: Final = b"ostiary.cache.similar/1"
#: Parts of messages that are words. Pictures and files may be behind an address whose content changes.
_WORDS: Final = frozenset({"text", "input_text", "output_text", "refusal"})
_TOOLS: Final = ("tools", "functions")
_OF_TOOLS: Final = frozenset({"tool", "function"})
#: What speaks of them inside the messages of users and assistants (Anthropic), or beside messages (Responses).
_BLOCKS_OF_TOOLS: Final = frozenset({"tool_use", "tool_result", "function_call", "custom_tool_call"})
#: Fields by which a provider looks at something beside the request.
_BEYOND: Final = ("web_search_options", "mcp_servers", "container", "context_management", "conversation")
_BEFORE: Final = "previous_response_id"
#: Fields that name an end user.
_PERSONAL: Final = ("user", "safety_identifier", "metadata")
_COUNTS: Final = ("n", "best_of")
#: Of a request. To write it down once more and to hash it takes some milliseconds for each of these million.
_MOST_CHARS: Final = 1_000_000
_MOST_AGE_S: Final = 10**9
#: Headers that decide nothing of an answer, beside those that no provider gets. All others are part of the key.
_UNHEARD: Final = frozenset(
    {
        *(":authority", ":method", ":path", ":scheme", "host", "accept", "accept-encoding", "accept-language"),
        *("baggage", "cache-control", "connection", "content-length", "content-type", "date", "forwarded"),
        *("idempotency-key", "origin", "pragma", "priority", "referer", "sentry-trace", "te", "traceparent"),
        *("tracestate", "user-agent", "via", "x-request-id", "x-real-ip"),
    }
)
_UNHEARD_PREFIXES: Final = (
    *contract.OWNED_PREFIXES,
    contract.UNREAD_PREFIX,
    *("x-forwarded-", "x-b3-", "sec-"),
    "anthropic-",  # `extproc.adapt` sets its own
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request says of caches (RFC 9111 section 5.2.1). What it does not name here is not minded."""

    keep: bool = True
    max_age_s: int = _MOST_AGE_S  # 0: a fresh answer is wanted


def wishes(fields: Iterable[tuple[str, str]]) -> Wishes:
    """The request's `cache-control`, and `pragma` where that is absent (RFC 9111 section 5.4)."""
    said = ",".join(value for name, value in fields if name == "cache-control")
    if not said:
        old = ",".join(value for name, value in fields if name == "pragma").lower()
        return Wishes(max_age_s=0) if "no-cache" in old else Wishes()
    keep, age_s = True, _MOST_AGE_S
    for directive in said.lower().split(","):
        name, _, value = directive.strip().partition("=")
        value = value.strip().strip('"')
        if name == "no-store":
            keep, age_s = False, 0
        elif name == "no-cache":
            age_s = 0
        elif name == "max-age":  # one that cannot be read is stale (RFC 9111 section 4.2.1)
            age_s = min(age_s, int(value)) if value.isascii() and value.isdigit() and len(value) < 10 else 0
    return Wishes(keep, age_s)


class Caching:
    """The part of one exchange that its tenant's cache has."""

    __slots__ = ("_heard", "_path", "_room", "_sieve", "_streamed", "cache", "hit", "likeness", "look")

    def __init__(self, look: Look, path: str, sieve: Scanner | None, *, streamed: bool) -> None:
        self.look = look
        self.cache = look.cache
        self.hit = False
        self.likeness: float | None = (
            None  # of a hit: how like the question is whose answer it was; None: the very same
        )
        self._path, self._streamed, self._sieve = path, streamed, sieve
        self._heard: list[bytes] | None = None  # None: nothing is kept
        self._room = look.cache.entry_bytes

    def take(self, told: Told) -> Entry | None:
        """The answer that was found. From here on the other answer is listened to, if it may be kept."""
        ticket = told.ticket if isinstance(told, Hit | Missed) else None
        self._heard = None if ticket is None else []
        if not isinstance(told, Hit):
            return None
        self.likeness = told.likeness
        return told.entry

    @property
    def said(self) -> str:
        """What callers and records are told of a hit."""
        return "hit" if self.likeness is None else "similar"

    def again(self, entry: Entry, terms: Terms, now_s: float, more: Fields) -> Rendered | None:
        """The answer once more; None where one of the rules of now finds anything in it. `more`: headers."""
        tally = Tally()
        try:
            out = self._judged(entry, terms, tally)
        except GatewayError:
            return None
        if out is None or tally.counts:
            return None
        self.hit = True
        kind = heads.TYPES[heads.SSE if self._streamed else heads.JSON]
        age_s = max(int(now_s - entry.at_s), 0)
        head = (("content-type", kind), (contract.CACHE_HEADER, self.said), ("age", str(age_s)), *more)
        return Rendered(200, head, out)

    def _judged(self, entry: Entry, terms: Terms, tally: Tally) -> bytes | None:
        guard = terms.watching
        reply, form = terms.listener(guard, tally, Seen(), streams=self._streamed)
        if entry.said and form is None and terms.tenant.max_answer_chars is None:
            # All of it is here: to go through its events would cost twenty times as much, and find no more.
            laid = lay([{key: text} for key, text in entry.said], guard, tally)
            stopped = (judge(text, guard, tally, source=key == "arguments") for key, text in entry.said)
            return entry.body if laid.blocked is None and not any(stopped) else None
        out = reply.feed(entry.body, last=True)
        return None if reply.blocked is not None or reply.ended else out

    def billed(self, entry: Entry) -> Seen | None:
        """What a hit is charged as; None: it costs nothing."""
        if not self.cache.charge:
            return None
        return Seen(input_tokens=entry.tokens_in, output_tokens=entry.tokens_out)

    def hear(self, out: bytes) -> None:
        """Bytes left for the caller."""
        if self._heard is None or not out:
            return
        self._room -= len(out)
        if self._room < 0:
            self._heard = None
        else:
            self._heard.append(out)

    def heard(self, used: Usage | None) -> Heard | None:
        """What may be kept of an answer that came to its end with nothing found in it."""
        if not self._heard or used is None:
            return None
        return Heard(
            path=self._path,
            streamed=self._streamed,
            parts=tuple(self._heard),
            tokens_in=used.tokens_in,
            tokens_out=used.tokens_out,
            tools=self.cache.tools,
            sieve=self._sieve,
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, and by whom."""

    caller: Caller
    names: Headers
    door: Door
    tree: dict[str, Any] = field(repr=False)
    model: str  # its public name
    streamed: bool


def caching(tenant: Tenant, cache: Cache, asked: Asked, texts: Sequence[str], sieve: Scanner | None) -> Caching | None:
    """The exchange's part in its tenant's cache; None where the request is not of the kind that is kept, or says no.

    No rule found anything in the request, and policy did not change it. `texts` are all of it.
    """
    if (cache.models and asked.model not in cache.models) or sum(map(len, texts)) > _MOST_CHARS:
        return None
    wanted = wishes(asked.names)
    if not wanted.keep or not _lasts(cache, asked.door.as_chat(asked.tree), asked.door.plain(asked.tree)):
        return None
    if sieve is not None and any(sieve.scan(text) for text in texts):
        return None
    look = Look(
        cache=cache,
        tenant=tenant.id,
        parts=tuple(_parts(tenant, asked, _FORM, cache.scope, asked.tree)),
        tags=(f"model:{asked.model}", *sorted(cache.tags)),
        max_age_s=min(wanted.max_age_s, cache.ttl_s),
        alike=None if cache.similar is None else _alike(tenant, cache.similar, asked),
    )
    return Caching(look, asked.door.path, sieve, streamed=asked.streamed)


def _alike(tenant: Tenant, similar: Similar, asked: Asked) -> Alike | None:
    """What the request asks, where the answer to the same question in other words would do."""
    tree = asked.tree
    # Whatever policy says of tools and end users: an answer that acts, or is meant for one person, is nobody else's.
    if any(tree.get(name) for name in (*_TOOLS, *_PERSONAL)):
        return None
    found = parted(asked.door.path, tree, similar.max_chars)
    if found is None:
        return None
    return Alike(similar, tuple(_parts(tenant, asked, _SHARED_FORM, similar.scope, found[0])), found[1])


def _lasts(cache: Cache, chat: dict[str, Any], tree: dict[str, Any]) -> bool:
    """Whether the same answer would do another time."""
    if any(tree.get(name) for name in _BEYOND) or tree.get(_BEFORE):
        return False
    if type(tree.get("prompt")) is dict:  # a template at the provider, which may change there
        return False
    if any((tree.get(name) or 1) != 1 for name in _COUNTS):  # several answers are wanted because they differ
        return False
    if not cache.personal and any(tree.get(name) for name in _PERSONAL):
        return False
    temperature = tree.get("temperature")
    if temperature is not None and not (type(temperature) in {int, float} and temperature <= cache.max_temperature):
        return False
    if not cache.tools and (any(tree.get(name) or chat.get(name) for name in _TOOLS) or _calls(tree)):
        return False
    messages = chat.get("messages")
    return all(_lasting(message, cache) for message in messages) if type(messages) is list else True


def _calls(tree: dict[str, Any]) -> bool:
    """Whether the history has calls or results as blocks or items, which `as_chat` may tell as words."""
    held: list[Any] = []
    for holder in (tree.get("messages"), tree.get("input")):
        items = [item for item in holder if type(item) is dict] if type(holder) is list else []
        held += items
        for item in items:
            content = item.get("content")
            held += [block for block in content if type(block) is dict] if type(content) is list else ()
    return any(each.get("type") in _BLOCKS_OF_TOOLS for each in held)


def _lasting(message: dict[str, Any], cache: Cache) -> bool:
    if not cache.tools and (message.get("role") in _OF_TOOLS or message.get("tool_calls")):
        return False
    content = message.get("content")
    return type(content) is not list or all(type(part) is dict and part.get("type") in _WORDS for part in content)


def _parts(tenant: Tenant, asked: Asked, form: bytes, scope: Scope, tree: dict[str, Any]) -> Iterator[bytes]:
    """All that an answer depends on, and for whom it is."""
    caller = asked.caller
    yield form
    yield tenant.id.encode()
    # With its kind before it, no principal's name makes a key of the other scope.
    yield f"principal={caller.principal}".encode() if scope is Scope.PRINCIPAL else b"tenant"
    yield caller.policy.encode()
    yield str(tenant.band).encode()
    yield obligation.write(caller.obligations).encode()
    yield asked.door.front.encode()  # which may say of itself whether the answer streams
    yield asked.model.encode()
    yield b"\n".join(sorted(f"{name}:{value}".encode() for name, value in asked.names if _decides(name)))
    # In the order of the request: some providers follow that of a schema's properties.
    yield orjson.dumps(tree)


def _decides(name: str) -> bool:
    return name not in _UNHEARD and name not in contract.CREDENTIAL_HEADERS and not name.startswith(_UNHEARD_PREFIXES)
