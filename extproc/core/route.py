"""Where a request goes: the backends that may see it, and the order in which Envoy asks them. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from extproc.core.admission import Judged
from extproc.core.cap import wishes
from extproc.core.commands import HeaderChange, PassResponseHead
from extproc.core.complexity import score
from extproc.core.journal import Journal
from extproc.providers.door import Door
from gateway import contract
from gateway.budgets.price import PriceBook, price_of, worst
from gateway.errors import GatewayError, Kind
from gateway.identity import Caller
from gateway.latency.estimates import Latencies
from gateway.policy import walk
from gateway.policy.model import FEATURES, Model, Select, Tenant
from gateway.policy.walk import Draw, Walk

#: Of a token, roughly, in English. Only pools are chosen by it; what is charged is counted properly.
_CHARS: Final = 4
_USUAL_TOKENS: Final = 500  # of an answer without a cap
_PARTS: Final = {
    "image_url": "image", "input_image": "image", "image": "image", "input_audio": "audio",
    "file": "file", "input_file": "file", "document": "file",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asking:
    """What a request's way depends on, beside what was found in it."""

    model: Model
    ready: tuple[str, ...]  # backends that can be asked; not empty
    tenant: Tenant
    caller: Caller
    prices: PriceBook
    at_s: float
    latencies: Latencies
    streamed: bool = False


def choose(
    asking: Asking, tree: dict[str, Any], door: Door, judged: Judged, rules: Collection[str]
) -> tuple[tuple[str, ...], Walk | None, str]:
    """The backends that a request may reach, first the one to ask first; of several, their walk, and why that one.

    `rules` are those that fired in the request.

    Raises:
        GatewayError: there is none.
    """
    pool, ready = asking.model.pool, asking.ready
    if asking.tenant.backends is not None:
        ready = tuple([name for name in ready if name in asking.tenant.backends])
        if not ready:
            raise unavailable("no backend left that the tenant's requests may reach")
    if pool is None:
        return ready[:1], None, ""
    tokens_in, tokens_out = tokens_of(tree, door, judged.prompt_chars, judged.capped)
    if pool.lacks or pool.context:
        ready = walk.able(pool, ready, features(tree, door), tokens_in + tokens_out)
        if not ready:
            raise GatewayError(
                Kind.REQUEST_INVALID,
                "No model behind this name takes such a request: it is too long, or asks for what none of them can do.",
                param="model",
                cause="no backend left that can do it",
            )
    allowed = walk.allowed(pool, ready, rules)
    if not allowed:
        raise unavailable("no backend left that may see what was found")
    if len(allowed) == 1:
        return allowed, None, ""
    why = pool.select.value

    def price(backend: str) -> int | None:
        found = price_of(asking.prices, asking.model.name, backend, asking.at_s)
        return None if found is None else worst(found, tokens_in, tokens_out)

    def fastest(backends: Sequence[str], lot: float) -> str:
        nonlocal why
        tenant, model = asking.caller.tenant, asking.model.name
        choice = asking.latencies.choose(model, backends, lot, streamed=asking.streamed, tenant=tenant)
        why += ";explored" if choice.explored else ""
        return choice.backend

    points = 0
    if pool.select is Select.COMPLEXITY:
        points = score(tree, door, judged.prompt_chars, features(tree, door)).points
        why += f";score={points}"
    caller = f"{asking.caller.tenant}/{asking.caller.principal}"
    chosen = walk.choose(pool, allowed, Draw(asking.caller.request_id, caller, price, fastest, points))
    return chosen.backends, chosen, why


def features(tree: dict[str, Any], door: Door) -> frozenset[str]:
    """What a request asks of a model beyond text: of `gateway.policy.model.FEATURES`."""
    asked = door.as_chat(tree)
    found = {"tools"} if asked.get("tools") or asked.get("functions") else set()
    for message in asked.get("messages") or ():
        content = message.get("content")
        for part in content if type(content) is list else ():
            found.add(_PARTS.get(str(part.get("type")), "") if type(part) is dict else "")
    if _asks_for_schema(door.plain(tree)):
        found.add("json_schema")
    return frozenset(found & set(FEATURES))


def _asks_for_schema(tree: dict[str, Any]) -> bool:
    """In the words of chat, of responses, or of Anthropic's messages."""
    holders = [tree.get("response_format")]
    holders += [each.get("format") for each in (tree.get("text"), tree.get("output_config")) if type(each) is dict]
    return any(type(each) is dict and each.get("type") == "json_schema" for each in holders)


def tokens_of(tree: dict[str, Any], door: Door, chars: int, capped: tuple[str, int] | None) -> tuple[int, int]:
    """Tokens of a prompt of `chars`, and of an answer as it may be, or usually is: good enough to choose by."""
    caps = [*wishes(tree, door).caps.values(), *(() if capped is None else (capped[1],))]
    return chars // _CHARS, min(caps, default=_USUAL_TOKENS)


def tell(head: PassResponseHead, model: Model, journal: Journal) -> PassResponseHead:
    """The answer's head, with the backend that gave it, and why it was asked, where policy lets clients know."""
    if model.pool is None or not model.pool.tell:
        return head
    told = [(contract.BACKEND_HEADER, journal.backend), (contract.ATTEMPTS_HEADER, journal.attempts or "1")]
    if journal.select:
        told.append((contract.SELECT_HEADER, journal.select))
    return replace(head, change=HeaderChange((*head.change.put, *told), head.change.remove))


def unavailable(cause: str) -> GatewayError:
    """The refusal of a request for which there is no backend."""
    return GatewayError(Kind.BACKEND_UNAVAILABLE, "The model is not available at the moment.", cause=cause)
