"""The way from a caller's words to a backend's: another dialect, another name of the model. Translates nothing itself.

The request crosses where it leaves (`inspect` for a lone backend, `adapt` for each attempt of a pool), the answer
always in `inspect`, in front of all guards, which so judge what the caller will read (docs/adr, translation). Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from extproc.core.named_front import NamedFront
from extproc.providers.door import Door
from extproc.providers.gemini import GenerateContent
from extproc.translate.anthropic import ANTHROPIC
from extproc.translate.attempt import Attempt, OnLoss, Sent
from extproc.translate.dialect import DEFAULT_MAX_TOKENS, DENIALS, SSE, Front, Target, Thinks
from extproc.translate.dialects import DIALECTS
from extproc.translate.openai import AZURE, OPENAI
from extproc.translate.responses import RESPONSES
from gateway.errors import GatewayError
from gateway.policy.model import Backend, Model, Policy

#: Front doors whose requests any chat backend can answer, beside Gemini's, whose path says half of them.
_FRONTS: Final[Mapping[str, Front]] = {
    "/v1/chat/completions": OPENAI,
    "/v1/responses": RESPONSES,
    "/v1/messages": ANTHROPIC,
}
#: Where Azure takes responses as OpenAI does, by the deployment's name in the body (v1 API).
_AZURES: Final = "/openai/v1/responses"
#: `Model.thinking` -> how requests are written.
_THINKS: Final = {None: Thinks.EFFORT, "effort": Thinks.EFFORT, "budget": Thinks.BUDGET, "none": Thinks.NOT}


@dataclass(frozen=True, slots=True)
class Crossing:
    """What becomes of requests of one front door for one backend. Immutable."""

    path: str  # the front door's, or the backend's for the same
    name: str  # what the backend calls the model
    attempt: Attempt | None = None  # None: it speaks the caller's dialect, and only name or path differ
    in_path: bool = False  # whether the path alone says the name: the body stays as it is

    def request(self, body: bytes) -> Sent:
        """The request for the backend. Raises REQUEST_INVALID: what cannot, or by policy must not, be carried over."""
        if self.attempt is not None:
            return self.attempt.request(body)
        if self.in_path:
            return Sent(self.path, (), body, (), stream="?" in self.path)
        tree: dict[str, Any] = orjson.loads(body)
        tree["model"] = self.name
        return Sent(self.path, (), orjson.dumps(tree), (), stream=tree.get("stream") is True)


def crossing(door: Door, model: Model, backend: Backend) -> Crossing | None:
    """How requests at `door` reach a backend that `speaks` so; None: as they are."""
    name = model.upstream_name(backend.name)
    if _alike(door, backend):
        if (there := door.at(name)) != door.path:
            return Crossing(there, name, in_path=True)
        return None if name == model.name else Crossing(there, name)
    if backend.dialect == AZURE.name and backend.speaks_responses and _FRONTS.get(door.path) is RESPONSES:
        return Crossing(_AZURES, name)
    target = Target(
        model=name,
        max_tokens=model.max_output_tokens or DEFAULT_MAX_TOKENS,
        thinks=_THINKS[model.thinking],
        sampling=model.sampling,
    )
    named = door if isinstance(door, GenerateContent) else None
    return _translating(named, door.path, backend.dialect, target, model.on_loss)


@lru_cache(maxsize=4096)  # one entry for each front door, backend's dialect and model of the policies that are held
def _translating(named: GenerateContent | None, path: str, dialect: str, target: Target, on_loss: str) -> Crossing:
    front = _FRONTS[path] if named is None else NamedFront(named)
    return Crossing(path, target.model, Attempt(front, DIALECTS[dialect], target, OnLoss(on_loss)))


def told_type(across: Crossing | None, content_type: str) -> str:
    """The media type of an answer as it is told: streams of every backend become server-sent events."""
    kind = content_type.partition(";")[0].strip().lower()
    if across is None or across.attempt is None or across.attempt.back.stream_type == SSE:
        return kind
    if kind == SSE:
        return ""  # no stream of this backend's
    return SSE if kind == across.attempt.back.stream_type else kind


def denied(across: Crossing | None, status: int) -> bool:
    """Whether a backend refused the gateway's own credential."""
    return status in (DENIALS if across is None or across.attempt is None else across.attempt.back.denials)


def speaks(door: Door, backend: Backend) -> bool:
    """Whether a backend can answer at a door, in the caller's dialect or by translation."""
    return _alike(door, backend) or (_translates(door) and backend.dialect in DIALECTS)


def _translates(door: Door) -> bool:
    return door.path in _FRONTS or isinstance(door, GenerateContent)


def _alike(door: Door, backend: Backend) -> bool:
    """Whether a backend answers at a door as it is, untranslated."""
    if _FRONTS.get(door.path) is RESPONSES and not backend.speaks_responses:
        return False
    return backend.dialect == door.dialect


def able(
    door: Door, tree: dict[str, Any], model: Model, policy: Policy, ready: Iterable[str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The backends of a pool that a request can be carried to, and what would be lost on the way to each.

    Raises REQUEST_INVALID: it can be carried to none.
    """
    body, found, lost = b"", [], {}
    refused: GatewayError | None = None
    for name in ready:
        way = crossing(door, model, policy.backends[name])
        if way is not None and way.attempt is not None:
            body = body or orjson.dumps(tree)
            try:
                lost[name] = way.request(body).told
            except GatewayError as error:
                refused = refused or error
                continue
        found.append(name)
    if not found and refused is not None:
        raise refused
    return tuple(found), lost
