"""Whether a request may go upstream, and in which form. Pure functions; every no is a GatewayError."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from extproc.core import body as request_body
from extproc.core import bounds, encoded
from extproc.core.cap import cap, put, splice
from extproc.core.crossing import Crossing, crossing, speaks
from extproc.core.texts import broken, lay
from extproc.guardrails import contracts, topics
from extproc.guardrails.assessor import Assessor, Position
from extproc.guardrails.guard import Guard, Tally
from extproc.providers import anthropic, openai, schema
from extproc.providers.door import Door, Opened, invalid
from extproc.providers.gemini import GenerateContent
from gateway import contract, named_path
from gateway.errors import GatewayError, Kind
from gateway.identity import NO_OBLIGATIONS, Obligations
from gateway.named_path import Named
from gateway.policy.model import Model, Policy, Tenant

_JSON: Final = "application/json"
DOORS: Final = {**openai.DOORS, **anthropic.DOORS}


@dataclass(slots=True)
class Judged:
    """A request that the guards let pass, in the tree that they were laid over."""

    texts: list[str] = field(repr=False)  # every text of the tree as it was judged
    changed: bool  # whether the tree is no longer what the client wrote
    capped: tuple[str, int] | None  # field and value that bound the output, where the request does not

    @property
    def prompt_chars(self) -> int:
        """Characters that the model may be shown."""
        return sum(map(len, self.texts))


def door_at(path: str) -> Door | None:
    """The front door for a path without query."""
    door = DOORS.get(path)
    if door is not None:
        return door
    named = named_path.named(path)
    return None if named is None else GenerateContent(named)


def door_of(target: str) -> Door:
    """The front door for a path with query; authz lets no other through, so this is the second lock."""
    path, _, query = target.partition("?")
    door = door_told(path)
    refused = named_path.refuse_query(door.named, query) if isinstance(door, GenerateContent) else None
    if refused is not None:
        raise refused
    return door


def door_told(front: str) -> Door:
    """The door whose `front` was told on."""
    door = door_at(front)
    if door is None:
        raise GatewayError(Kind.ROUTE_UNKNOWN, "The gateway has no such route.")
    return door


def check_head(headers: dict[str, str], door: Door, tenant: Tenant, *, empty: bool) -> schema.Schema:
    """The schema for the body that follows. Refuses what could not be read: wrong type or version, compressed, none."""
    if empty:
        raise GatewayError(Kind.BODY_EMPTY, "The request has no body; send a JSON object.")
    kind, _, parameters = headers.get("content-type", "").partition(";")
    charset = parameters.replace(" ", "").lower()
    if kind.strip().lower() != _JSON or charset not in {"", "charset=utf-8", 'charset="utf-8"'}:
        raise GatewayError(Kind.CONTENT_TYPE_UNSUPPORTED, f"Send the body as {_JSON} in UTF-8.")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise GatewayError(
            Kind.CONTENT_ENCODING_UNSUPPORTED,
            "Compressed request bodies cannot be inspected; send the body without content-encoding.",
        )
    return door.versions.choose(headers, tenant.api_versions.get(door.path, ()))


def parse(raw: bytes, policy: Policy) -> dict[str, Any]:
    """The body as a JSON object within the policy's bounds."""
    limit = policy.limits.body_bytes
    if len(raw) > limit:
        raise GatewayError(Kind.BODY_TOO_LARGE, f"The request body is larger than {limit} bytes.")
    return request_body.parse(raw, policy.limits)


def conforms(tree: dict[str, Any], door: Door, form: schema.Schema, policy: Policy, tenant: Tenant) -> bool:
    """Whether `form` names every field of the body; where policy is strict, one that it does not is refused."""
    known = form.check(tree, strict=tenant.strict_schema)
    asked = door.as_chat(tree)
    schema.count(asked, policy.limits)
    bounds.check(asked, tenant.bounds)
    if door.cap_field:  # others have no output
        bounds.check_format(door.plain(tree), tenant.bounds)
    return known


def choose(model: str, policy: Policy, tenant: Tenant, obligations: Obligations = NO_OBLIGATIONS) -> Model:
    """The model that a public name stands for, if tenant and caller may use it."""
    chosen = policy.models.get(model)
    if chosen is None:
        raise unknown_model()
    if not tenant.may_use(chosen.name):
        raise GatewayError(Kind.MODEL_FORBIDDEN, "Your tenant may not use this model.", param="model")
    if obligations.models is not None and chosen.name not in obligations.models:
        raise GatewayError(Kind.MODEL_FORBIDDEN, "You may not use this model.", param="model", cause="obligation")
    return chosen


def speaking(door: Door, model: Model, policy: Policy) -> tuple[str, ...]:
    """The backends of a model that can answer at a door; some doors have no words in other dialects."""
    found = tuple([name for name in model.backends if speaks(door, policy.backends[name])])
    if found:
        return found
    others = (*DOORS.values(), GenerateContent(Named("v1beta", "MODEL", streams=False)))
    paths = [f"POST {other.front}" for other in others if speaks(other, policy.backends[model.backend])]
    raise invalid("model", f"a model of this route; the one that you named is served at {' or '.join(paths)}")


def way_of(backend: str, told: Mapping[str, str], policy: Policy | None) -> Crossing | None:
    """How an attempt that `inspect` pinned reaches a backend; None: as it is, or not at all, as `prepare` will say."""
    if policy is None:
        return None
    door = door_at(told.get(contract.FRONT_PATH, ""))
    model = policy.models.get(told.get(contract.MODEL, ""))
    known = policy.backends.get(backend)
    if door is None or model is None or known is None:
        return None
    return crossing(door, model, known)


def unknown_model() -> GatewayError:
    """No such model, or none that the caller may see."""
    return GatewayError(
        Kind.MODEL_UNKNOWN,
        "The gateway knows no model of this name. GET /v1/models lists those that you may use.",
        param="model",
    )


def judge(
    tree: dict[str, Any],
    door: Door,
    guard: Guard,
    assessor: Assessor,
    tally: Tally,
    tenant: Tenant,
    obligations: Obligations = NO_OBLIGATIONS,
    doubtful: list[Position] | None = None,
) -> Judged:
    """Judge the request and lay the guard over its tree. Raises GatewayError for what must not pass.

    `doubtful`: see `Assessor.judge`.
    """
    caps = [most for most in (obligations.max_tokens, tenant.bounds.max_tokens) if most is not None]
    capped = cap(tree, door, min(caps, default=None))
    if tenant.schemas:
        contracts.check(tree, tenant.schemas, guard, tally)
    if tenant.topics:
        about = topics.judge(door.positions(tree), tenant.topics, guard, tally)
        if about is not None:
            raise refused_whole(about)
    refused = assessor.judge(door.positions(tree), tally, doubtful)
    if refused is not None:
        raise refused_whole(refused)
    signed = broken(door.sealed(tree), guard, tally) or encoded.broken(door.sealed(tree), guard, tally)
    if signed is not None:
        raise GatewayError(
            Kind.REQUEST_BLOCKED,
            "The request holds a file or signed thinking with data that policy does not let through, and to change it"
            f" would spoil it (rule {signed}). Leave it out and retry.",
            cause=signed,
        )
    laid = lay(tree, guard, tally)
    if laid.blocked is not None:
        raise refused_span(laid.blocked)
    opened = encoded.lay(tree, laid.texts, guard, tally)
    if opened.blocked is not None:
        raise refused_span(opened.blocked)
    if tenant.bounds.banned or tenant.bounds.patterns:
        files = [each["text"] for each in door.sealed(tree) if type(each.get("text")) is str]
        bounds.banned([*laid.texts, *files], tenant.bounds)
    return Judged(laid.texts, laid.changed or opened.changed, capped)


def refused_whole(rule: str) -> GatewayError:
    """The refusal of a request for what a text of it is as a whole."""
    reads = "an attempt to take over the model," if rule.startswith("injection.") else "content of a kind"
    return GatewayError(
        Kind.REQUEST_BLOCKED,
        f"The request reads like {reads} which policy refuses (rule {rule}).",
        cause=rule,
    )


def refused_span(rule: str) -> GatewayError:
    """The refusal of a request for something that stands in it."""
    return GatewayError(
        Kind.REQUEST_BLOCKED,
        f"The request holds data that policy does not let through (rule {rule}). Remove it and retry.",
        cause=rule,
    )


def write(raw: bytes, tree: dict[str, Any], opened: Opened, door: Door, judged: Judged) -> bytes | None:
    """The bytes that go upstream; None means: byte for byte as the client wrote them."""
    edited, spliced = judged.changed or bool(opened.left_out), raw
    for name, value in (*opened.puts, *(() if judged.capped is None else (judged.capped,))):
        if name.partition(".")[0] in tree:  # as null: a second one of its name would be anybody's guess
            edited = True
        else:
            spliced = splice(spliced, name, value)
        put(tree, name, value)
    if opened.stream:
        asking = None if edited else door.splice_usage(spliced, tree)
        if asking is None:
            door.force_usage(tree)
            edited = True
        else:
            spliced = asking
    if edited:
        spliced = orjson.dumps(tree)
    return None if spliced is raw else spliced


def system_prompts(tree: dict[str, Any], door: Door) -> list[str]:
    """What the request tells the model before its user speaks."""
    found: list[str] = []
    messages = door.as_chat(tree).get("messages")
    for message in messages if type(messages) is list else ():
        if message.get("role") in {"system", "developer"}:
            content = message.get("content")
            parts = [{"text": content}] if type(content) is str else content or ()
            found += [part["text"] for part in parts if type(part) is dict and type(part.get("text")) is str]
    return found
