"""The admin API: which wish a request is, who asks, and what goes on record. Changes nothing itself."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, unquote

import orjson
import structlog

from control.problem import Refusal
from control.request import Answer, Request, answer, error
from gateway import strict
from gateway.audit.record import Record
from gateway.clock import Clock
from gateway.contract import ACTOR_HEADER, ACTOR_NAME
from gateway.telemetry import redact

_log: Final = structlog.get_logger(__name__)

_REASON_CHARS: Final = 500  # a sentence or two; longer texts belong into a ticket, whose number fits
_NAME_CHARS: Final = 600  # the longest id in a path: a mark with a tenant and a subject of 256 characters
_ASKED_CHARS: Final = 2000  # a key with a hundred models; a JWK Set is cut off
_PARAMETERS: Final = 16  # no list takes more
_REFUSED_FROM: Final = 400


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. `name` is what a local operator says, or the account of the token."""

    name: str
    proof: str  # "uid:1000": the kernel's word; "jwt:…": an access token of ours, as its own record names it


@dataclass(frozen=True, slots=True)
class Wish:
    """One request of an operator, understood as far as its form goes."""

    actor: Actor
    names: tuple[str, ...]  # what the braces of the action's path stand for, decoded
    query: Mapping[str, str]
    body: Mapping[str, Any]
    reason: str
    now: float  # unix seconds

    @property
    def by(self) -> str:
        """The actor as registry entries and records show it."""
        return f"{self.actor.name} ({self.actor.proof})"


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a wish. `tenant` and `subject` are for the record; `body` may hold a secret and is not."""

    body: Mapping[str, Any] = field(repr=False)
    status: int = 200
    tenant: str = ""
    subject: str = ""  # id of the key, account or mark
    key_id: str = ""  # of an API key


@dataclass(frozen=True, slots=True)
class Action:
    """One line of the table in docs/control.md. `run` may raise Refusal."""

    name: str  # of the record: "key.create"
    method: str
    path: str  # "/admin/v1/keys/{id}"
    run: Callable[[Wish], Awaitable[Done]]

    @property
    def changes(self) -> bool:
        """Whether it goes on record. What only reads may also be asked while nothing can be put on record."""
        return self.method != "GET"


class Journal(Protocol):
    """What the admin API needs of gateway.audit.trail.Trail."""

    @property
    def healthy(self) -> bool:
        """Whether a record would be taken."""
        ...

    def offer(self, record: Record) -> bool:
        """Take a record, or say that it was not taken."""
        ...


#: Who asks, or the answer that refuses: 401, 403, 503.
Admit = Callable[[Request], Awaitable[Actor | Answer]]


async def local(request: Request) -> Actor | Answer:
    """The operator on the local socket. Its permission was the authentication; the name is only told."""
    if request.peer_uid is None:
        return error(403, "forbidden", "This socket is for local operators.")
    claimed = request.header(ACTOR_HEADER)
    name = claimed if ACTOR_NAME.fullmatch(claimed) else f"uid-{request.peer_uid}"
    return Actor(name, f"uid:{request.peer_uid}")


class Admin:
    """Handler of everything below /admin/v1/."""

    def __init__(self, actions: Sequence[Action], admit: Admit, journal: Journal, clock: Clock) -> None:
        self._actions = [(action, _pattern(action.path)) for action in actions]
        self._admit = admit
        self._journal = journal
        self._clock = clock

    async def __call__(self, request: Request) -> Answer:
        """Admit, understand, record, do."""
        actor = await self._admit(request)
        if isinstance(actor, Answer):
            self._record(request, "admin.refused", Actor("", ""), actor)
            return actor
        fitting = [(action, found) for action, path in self._actions if (found := path.fullmatch(request.path))]
        if not fitting:
            return error(404, "not_found", "The admin API has no such path.")
        chosen = next(((action, found) for action, found in fitting if action.method == request.method), None)
        if chosen is None:
            allow = ", ".join(sorted({action.method for action, _ in fitting}))
            return error(405, "method_not_allowed", f"Allowed here: {allow}.", ("allow", allow))
        action, found = chosen
        try:
            wish = _wish(request, actor, found)
        except Refusal as refusal:
            return refused(refusal)
        return await (self._change(request, action, wish) if action.changes else self._read(action, wish))

    async def _read(self, action: Action, wish: Wish) -> Answer:
        try:
            done = await action.run(wish)
        except Refusal as refusal:
            return refused(refusal)
        return answer(done.body, done.status)

    async def _change(self, request: Request, action: Action, wish: Wish) -> Answer:
        if not self._journal.healthy:
            return error(503, "audit_unavailable", "The change could not be put on record, so it was not made.")
        # Stands until the change is known to have been made, and then also tells of a crash or a deadline.
        ended, done, recorded = error(500, "internal_error", "unfinished"), Done({}), False
        try:
            done = await action.run(wish)
            ended = answer(done.body, done.status)
        except Refusal as refusal:
            ended = refused(refusal)
        finally:
            recorded = self._record(request, action.name, wish.actor, ended, wish, done)
        if not recorded and ended.status < _REFUSED_FROM:
            # Nor is a new secret handed out: what nobody can find in the records, nobody shall use.
            return error(
                500, "unrecorded", "The change was made, and could not be put on record. Look at it, or undo it."
            )
        return ended

    def _record(
        self,
        request: Request,
        name: str,
        actor: Actor,
        ended: Answer,
        wish: Wish | None = None,
        done: Done | None = None,
    ) -> bool:
        code = strict.json_object(ended.body)["error"]["code"] if ended.status >= _REFUSED_FROM else ""
        done = done or Done({})
        details = {"proof": actor.proof, "subject": done.subject, "address": request.address, "asked": _asked(wish)}
        taken = self._journal.offer(
            Record(
                writer="control",
                request_id=request.request_id,
                started_at=request.now,
                duration_s=max(0.0, self._clock.now() - request.now),
                tenant=done.tenant,
                principal=actor.name,
                key_id=done.key_id,
                method=name,
                path=request.path[:_NAME_CHARS],
                status=ended.status,
                outcome="completed" if not code else "failed" if ended.status >= 500 else "refused",
                code=code,
                reason=wish.reason if wish is not None else "",
                details={key: value for key, value in details.items() if value},
            )
        )
        if not taken:
            _log.error("admin_action_not_recorded", action=name, request_id=request.request_id, status=ended.status)
        return taken


def _asked(wish: Wish | None) -> str:
    """What the wish asked for, rights among it. Wishes hold no secrets; what looks like one is masked all the same."""
    fields = {name: value for name, value in wish.body.items() if name != "reason"} if wish is not None else {}
    return orjson.dumps(redact.event(fields)).decode()[:_ASKED_CHARS] if fields else ""


def refused(refusal: Refusal) -> Answer:
    """A refusal as the admin API tells it."""
    return error(refusal.status, refusal.code, refusal.message, where=refusal.field)


def _pattern(path: str) -> re.Pattern[str]:
    """A template as a pattern over the raw path; a name in braces is one segment."""
    parts = ("([^/]+)" if part.startswith("{") else re.escape(part) for part in path.split("/"))
    return re.compile("/".join(parts))


def _wish(request: Request, actor: Actor, found: re.Match[str]) -> Wish:
    names = tuple(_decoded(name) for name in found.groups())
    body: Mapping[str, Any] = {}
    if request.body:
        if request.header("content-type").partition(";")[0].strip().lower() != "application/json":
            raise Refusal("content_type_unsupported", "The body must be application/json.", status=415)
        try:
            body = strict.json_object(request.body)
        except ValueError:
            raise Refusal(
                "json_invalid", "The body must be one JSON object without duplicate names.", status=400
            ) from None
    reason = body.get("reason", "")
    if not isinstance(reason, str) or len(reason) > _REASON_CHARS or not (reason.isprintable()):
        raise Refusal("invalid", f"expected a text of at most {_REASON_CHARS} printable characters", field="reason")
    try:
        pairs = parse_qsl(
            request.query, keep_blank_values=True, strict_parsing=bool(request.query), max_num_fields=_PARAMETERS
        )
    except ValueError:
        raise Refusal("invalid", "The query is malformed.", status=400) from None
    if len(dict(pairs)) != len(pairs):
        raise Refusal("invalid", "A parameter of the query stands twice.", status=400)
    return Wish(actor, names, dict(pairs), body, reason, request.now)


def _decoded(name: str) -> str:
    try:
        text = unquote(name, errors="strict")
    except UnicodeDecodeError:
        text = ""
    if not text or len(text) > _NAME_CHARS or not text.isprintable():
        raise Refusal("not_found", "There is nothing of that name.", status=404)
    return text
