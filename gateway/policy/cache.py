"""The `cache` block of a tenant: which answers are kept, how long, and for whom. Reads no file, keeps nothing."""

from typing import Final

from gateway.policy.field import Shape, Table, shape
from gateway.policy.kept import Cache, Likeness, Scope, Similar
from gateway.policy.prices import Refer
from gateway.policy.problem import Problems
from gateway.similar import CHARS, DEADLINE_MAX_MS
from gateway.similar import ENTRIES as QUESTIONS

#: Of entries. Beyond a week an answer is rather a document; below a second nothing is saved.
TTL_S: Final = (1, 7 * 86_400)
#: Becomes a field of a hash in Valkey, and is typed by operators.
TAG: Final[Shape] = shape(r"[a-z0-9][a-z0-9_.-]{0,39}", "a tag of up to 40 of a-z, 0-9, _ . and -")
_TAGS: Final = 16  # each is looked up with every request
_MODEL: Final = shape(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}", "a model name of up to 128 of A-Z a-z 0-9 . _ : / @ -")
_TEMPERATURE: Final = shape(r"[01](?:\.[0-9]{1,3})?|2(?:\.0{1,3})?", "a temperature from 0 to 2")
_ENTRY_BYTES: Final = (1024, 1024 * 1024)  # sent whole between Valkey and a worker, and to the caller in one message
_ENTRIES: Final = (1, 1_000_000)
#: A request that waits holds a stream and a reservation.
_WAIT_MS: Final = (0, 30_000)
#: A request waits so long for a store that hangs; below the least, one that is well would be late.
_DEADLINE_MS: Final = (5, 5000)
_CHARGES: Final = ("nothing", "full")
#: Below the least, an index that is well would be late.
_INDEX_MS: Final = (5, DEADLINE_MAX_MS)


def read_cache(table: Table | None, refer: Refer, problems: Problems) -> Cache | None:
    """What the block says; without it nothing is kept, and `cache: {}` keeps with the defaults."""
    if table is None:
        return None
    usual = Cache()
    tags = table.words("tags", TAG, optional=True)
    if len(tags) > _TAGS:
        problems.add(table.mark, (*table.path, "tags"), f"more than {_TAGS} tags")
    models = table.words("models", _MODEL, optional=True)
    for at, word in enumerate(models):
        refer(word, (*table.path, "models", f"[{at}]"), "models")
    scope = Scope(table.choice("scope", tuple(Scope), default=usual.scope.value) or usual.scope)
    read = Cache(
        scope=scope,
        ttl_s=table.integer("ttl_s", *TTL_S, default=usual.ttl_s),
        models=frozenset(word.text for word in models),
        tags=frozenset(word.text for word in tags),
        tools=table.flag("tools"),
        personal=table.flag("personal"),
        max_temperature=float(table.text("max_temperature", _TEMPERATURE, default=str(usual.max_temperature))),
        entry_bytes=table.integer("entry_bytes", *_ENTRY_BYTES, default=usual.entry_bytes),
        entries=table.integer("entries", *_ENTRIES, default=usual.entries),
        wait_ms=table.integer("wait_ms", *_WAIT_MS, default=usual.wait_ms),
        deadline_ms=table.integer("deadline_ms", *_DEADLINE_MS, default=usual.deadline_ms),
        charge=table.choice("charge", _CHARGES, default="nothing") == "full",
        similar=_similar(table, scope, problems),
    )
    table.close()
    return read


def _similar(cache: Table, scope: Scope, problems: Problems) -> Similar | None:
    """`similar: {}` compares with the defaults; without it nothing is compared."""
    table = cache.table("similar")
    if table is None:
        return None
    usual = Similar()
    read = Similar(
        likeness=Likeness(table.choice("likeness", tuple(Likeness), default=usual.likeness.value) or usual.likeness),
        scope=Scope(table.choice("scope", tuple(Scope), default=usual.scope.value) or usual.scope),
        max_chars=table.integer("max_chars", *CHARS, default=usual.max_chars),
        entries=table.integer("entries", *QUESTIONS, default=usual.entries),
        deadline_ms=table.integer("deadline_ms", *_INDEX_MS, default=usual.deadline_ms),
    )
    if read.scope is Scope.TENANT and scope is not Scope.TENANT:
        problems.add(table.mark, (*table.path, "scope"), "wider than the cache's own", "give that `scope: tenant` too")
    table.close()
    return read
