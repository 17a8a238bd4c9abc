"""What an answer is judged by, taken from its request; and whoever listens to the answer with that. Pure."""

from dataclasses import dataclass

from extproc.core import admission
from extproc.core.form import RULE_ID as FORM_ID
from extproc.core.form import Form, form_of
from extproc.core.length import Length
from extproc.core.reply import JsonReply, Reply, StreamReply
from extproc.guardrails.contracts import Contracts
from extproc.guardrails.guard import Guard, Tally
from extproc.guardrails.promised import Promised, promised
from extproc.providers.door import Door, Opened, Seen
from extproc.providers.turns import READERS
from gateway.policy.guard import LENGTH_ID
from gateway.policy.model import Limits, Tenant


@dataclass(frozen=True, slots=True)
class Terms:
    """What one exchange's answer is judged by."""

    door: Door
    opened: Opened
    tenant: Tenant
    limits: Limits
    watching: Guard  # knows the request's system prompts
    promised: Promised
    wanted: int  # answers that the request asks for

    def listener(self, guard: Guard, tally: Tally, seen: Seen, *, streams: bool) -> tuple[Reply, Form | None]:
        """Who takes the answer, and the form that it is compared with. `guard`: `watching`, or one made of it."""
        reader = READERS.get(self.door.path)
        most, length, form = self.tenant.max_answer_chars, None, None
        if most is not None and guard.runs(LENGTH_ID):
            length = Length(most, self.wanted, self.door.path, guard, tally)
        if reader is not None:
            form = form_of(self.promised, Contracts.of(self.tenant.schemas), guard, tally)
        if not streams:
            return JsonReply(self.door, guard, tally, seen, self.limits.answer_bytes, form, length), form
        stream = self.door.stream(guard, tally, seen, show_usage=self.opened.wants_usage)
        return StreamReply(stream, self.limits.event_bytes, form, None if reader is None else reader(), length), form


def terms(tree: dict[str, object], door: Door, opened: Opened, tenant: Tenant, limits: Limits, guard: Guard) -> Terms:
    """Of the request in `tree`; `guard` is the tenant's for answers."""
    watching = guard.watching(admission.system_prompts(tree, door)) if guard.watches else guard
    plain = door.plain(tree)
    n = plain.get("n")
    return Terms(
        door=door,
        opened=opened,
        tenant=tenant,
        limits=limits,
        watching=watching,
        promised=promised(plain) if watching.runs(FORM_ID) else Promised(),
        wanted=door.prompts(tree) * (n if type(n) is int else 1),
    )
