"""The `opa` section and the Rego beside it: what is asked, by whom it is answered. Reads Rego, does not understand it.

Whether sources compile is found out by a `Compile` that the caller brings along: the kernel loads no policy engine.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import orjson

from gateway.policy.field import Table, shape
from gateway.policy.files import list_names, read_text
from gateway.policy.issuer import FILE, read_url
from gateway.policy.model import Opa
from gateway.policy.problem import Mark, Problems, nearest, secret_at, shown

DIRECTORY: Final = "rego"
DATA: Final = f"{DIRECTORY}/data.json"
_SOURCE: Final = ".rego"
#: Rego's own unit tests (`ostiary policy test`): no part of what decides, so no part of the policy's version.
TESTS: Final = "_test.rego"

#: Fields of the input document that a decision may be remembered by. `time` is none of them: it is never the same.
FIELDS: Final = (
    *("caller.tenant", "caller.principal", "caller.key_id", "caller.method", "caller.client"),
    *("caller.scopes", "caller.groups", "caller.certificate"),
    *("request.method", "request.path", "request.size"),
    "source.address",
)

_MAX_SOURCES: Final = 64  # a package for each team and each concern
_MAX_SOURCE_CHARS: Final = 256 * 1024  # the longest Rego files that people maintain by hand have some thousand lines
_DEADLINE_MS: Final = (1, 1000)  # Envoy waits for authz, and a client waits for Envoy

_PACKAGE: Final = shape(
    r"[a-z_][a-z0-9_]{0,62}(?:\.[a-z_][a-z0-9_]{0,62}){0,7}", "a package such as ostiary.authz, in lower case"
)
_FIELD: Final = shape(r"[a-z_.]{1,40}", "a field of the input document, such as caller.tenant")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a Rego source, and where."""

    mark: Mark
    message: str
    hint: str = ""


#: Whether the library can take the policy, and whether it may: no answer means yes.
Compile: TypeAlias = Callable[[Opa], Iterable[Fault]]


def read_opa(table: Table | None, directory: Path, compiled: Compile | None, problems: Problems) -> Opa | None:
    """The section of policy.yaml with the files of `rego/`; None where the policy has neither."""
    sources, data = _files(directory, problems)
    if table is None:
        for name in (*sources, *((DATA,) if data is not None else ())):
            # A rule that nobody evaluates is a rule that nobody enforces.
            problems.add(Mark(name, 1, 1), (), "not evaluated", "policy.yaml has no `opa:` section")
        return None
    before = len(problems)
    read = Opa(
        package=table.text("package", _PACKAGE),
        sources=MappingProxyType(sources),
        data="{}" if data is None else data,
        cache_on=_cache_on(table, problems),
        url=_server(table, problems),
        ca_file=table.maybe("ca_file", FILE),
        cert_file=table.maybe("cert_file", FILE),
        key_file=table.maybe("key_file", FILE),
        deadline_ms=table.integer("deadline_ms", *_DEADLINE_MS, default=50),
    )
    table.close()
    if not read.package:
        return read  # reported already, or the section could not be read
    _judge(read, table, problems, told=data is not None)
    if len(problems) == before and compiled is not None and read.url is None:
        for fault in compiled(read):
            problems.add(fault.mark, (), fault.message, fault.hint)
    return read


def _judge(read: Opa, table: Table, problems: Problems, *, told: bool) -> None:
    """What does not go together."""
    if read.url is None:
        if not read.sources:
            hint = f"put Rego into {DIRECTORY}/*{_SOURCE}, or name an OPA server with `url`"
            problems.add(table.mark, table.path, "no Rego to evaluate", hint)
        for name in ("ca_file", "cert_file", "key_file"):
            if getattr(read, name) is not None:
                problems.add(table.mark, (*table.path, name), "means nothing without `url`")
        return
    if read.sources or told:
        why = f"the server at `url` decides; {DIRECTORY}/ would never be evaluated"
        problems.add(table.mark, (*table.path, "url"), why, f"remove `url`, or keep {DIRECTORY}/ elsewhere")
    if read.cache_on:
        # The server changes its policy without a word to us, so an answer of before might still count.
        why = "decisions of a server are not remembered: nothing tells when its policy changes"
        problems.add(table.mark, (*table.path, "cache_on"), why)
    if (read.cert_file is None) is not (read.key_file is None):
        problems.add(table.mark, table.path, "cert_file and key_file belong together")
    if not read.url.startswith("https://"):
        for name in ("ca_file", "cert_file"):
            if getattr(read, name) is not None:
                problems.add(table.mark, (*table.path, name), "means nothing without https")


def _cache_on(table: Table, problems: Problems) -> tuple[str, ...]:
    found = table.words("cache_on", _FIELD, optional=True)
    for at, word in enumerate(found):
        if word.text not in FIELDS:
            path = (*table.path, "cache_on", f"[{at}]")
            never = "a decision that depends on the time cannot be remembered" if word.text == "time" else ""
            problems.add(word.mark, path, f"unknown field {shown(word.text)}", never or nearest(word.text, FIELDS))
    return tuple(dict.fromkeys(word.text for word in found))


def _server(table: Table, problems: Problems) -> str | None:
    """The server's origin. The path under it is OPA's own (`/v1/data/...`)."""
    url = read_url(table, "url", problems, optional=True)
    if not url:
        return None
    origin = url.rstrip("/")
    if origin.count("/") != 2 or "?" in origin:
        problems.add(table.mark, (*table.path, "url"), "expected https://host[:port] without a path")
    return origin


def _files(directory: Path, problems: Problems) -> tuple[dict[str, str], str | None]:
    """Sources by name, and the text of data.json if it is there."""
    sources: dict[str, str] = {}
    data: str | None = None
    for entry in list_names(directory / DIRECTORY):
        name = f"{DIRECTORY}/{entry}"
        if entry.endswith(TESTS):
            continue
        if name != DATA and not entry.endswith(_SOURCE):
            problems.add(Mark(name, 1, 1), (), "not read", f"{DIRECTORY}/ holds *{_SOURCE} and data.json")
            continue
        text = read_text(directory / name, name, problems)
        if text is None:
            continue
        _refuse_secrets(text, name, problems)
        if name == DATA:
            data = _data(text, problems)
        else:
            _check_source(text, name, problems)
            sources[name] = text
    if len(sources) > _MAX_SOURCES:
        problems.add(Mark(DIRECTORY, 1, 1), (), f"{len(sources)} sources, at most {_MAX_SOURCES} are read")
    return sources, data


def _check_source(text: str, name: str, problems: Problems) -> None:
    if len(text) > _MAX_SOURCE_CHARS:
        problems.add(Mark(name, 1, 1), (), f"larger than {_MAX_SOURCE_CHARS // 1024} KiB", "split it")
    at = text.find("\0")
    if at >= 0:
        # The library takes C strings: what stands behind a NUL would be shown to people and never evaluated.
        problems.add(Mark(name, text.count("\n", 0, at) + 1, 1), (), "holds a NUL character")


def _data(text: str, problems: Problems) -> str:
    """The document as one line: how it was written does not change the policy's version."""
    mark = Mark(DATA, 1, 1)
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        problems.add(Mark(DATA, error.lineno, error.colno), (), f"not JSON: {error.msg}")
        return "{}"
    if not isinstance(document, dict):
        problems.add(mark, (), "expected a JSON object: it becomes `data` in Rego")
        return "{}"
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()


def _refuse_secrets(text: str, name: str, problems: Problems) -> None:
    at = secret_at(text)
    if at >= 0:
        mark = Mark(name, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
        problems.add(mark, (), "holds what looks like a live key or secret", "remove and revoke it")
