"""Whether Rego may become policy: it compiles, it is pure, it reads what there is. Runs where policies are loaded."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from authz.opa import library, purity
from authz.opa.library import LibraryError
from gateway.policy.model import Opa
from gateway.policy.opa import DIRECTORY, Fault
from gateway.policy.problem import Mark, nearest

#: How OPA begins a complaint: file, line, code of the fault.
_PLACE: Final = re.compile(r"(rego/[\w.-]{1,255}):([0-9]{1,9}): (rego_\w{1,60}: )?")
_LINES: Final = 12  # of OPA's message; it repeats itself for every consequence of a mistake


def check(opa: Opa) -> Iterator[Fault]:
    """Everything that is wrong with the sources (`gateway.policy.opa.Compile`)."""
    if not library.installed():
        where = Mark("policy.yaml", 1, 1)
        how = "install requirements/opa.txt, or name an OPA server with `url`"
        yield Fault(where, "opa: the OPA library is not there for this platform, so Rego cannot be evaluated", how)
        return
    trees, broken = parse(opa.sources)
    yield from broken
    if broken:
        return
    impure = list(_impure(opa.sources, trees))
    yield from impure
    yield from _reads(opa, trees)
    if impure:
        return  # nothing of it is compiled: OPA evaluates what is constant while it compiles
    try:
        library.Engine(opa).close()
    except LibraryError as error:
        yield from complaint(error)
        return
    if not any(_decides(opa.package, tree) for tree in trees.values()):
        hint = "name it in `package`, and write `decision := {...}`"
        yield Fault(Mark(DIRECTORY, 1, 1), f"no source has a rule `decision` in package {opa.package}", hint)


def check_tests(sources: Mapping[str, str], tests: Mapping[str, str]) -> Iterator[Fault]:
    """The same of unit tests, which may mock input and read whatever they like."""
    trees, broken = parse({**sources, **tests})
    yield from broken
    if not broken:
        yield from _impure(tests, trees)


def parse(sources: Mapping[str, str]) -> tuple[dict[str, Any], list[Fault]]:
    """Syntax trees by file, and what does not parse."""
    trees: dict[str, Any] = {}
    broken: list[Fault] = []
    for name, text in sources.items():
        try:
            trees[name] = library.parse(name, text)
        except LibraryError as error:
            broken += complaint(error, name)
    return trees, broken


def complaint(error: LibraryError, file: str = DIRECTORY) -> list[Fault]:
    """What OPA says, by line of the source."""
    text = str(error)
    found = list(_PLACE.finditer(text))
    if not found:
        return [Fault(Mark(file, 1, 1), _plain(text))]
    ends = [*(match.start() for match in found[1:]), len(text)]
    faults = {
        Fault(Mark(match[1], int(match[2]), 1), _plain(text[match.end() : end])): None
        for match, end in zip(found, ends, strict=True)
    }
    return list(faults)[:_LINES]


def _plain(text: str) -> str:
    """One line, without the source line that OPA quotes below a tab: the reader has the place."""
    return " ".join(text.partition("\n\t")[0].split()) or "refused by OPA"


def _impure(sources: Mapping[str, str], trees: Mapping[str, Any]) -> Iterator[Fault]:
    own = purity.own_names(trees.values())
    for name, text in sources.items():
        told: set[str] = set()
        for mention in purity.mentions(trees[name]):
            why = purity.forbidden(mention, own)
            if why and why not in told:
                told.add(why)
                yield Fault(_find(name, text, mention.names), why)


def _reads(opa: Opa, trees: Mapping[str, Any]) -> Iterator[Fault]:
    """Input that is never there; and, where decisions are remembered, input that they are not remembered by."""
    for name, text in opa.sources.items():
        for part, mention in sorted(purity.reads(purity.mentions(trees[name])).items()):
            where = _find(name, text, mention.names)
            if purity.missing(part):
                yield Fault(where, f"the input document has no {part}", nearest(part, sorted(purity.INPUT)))
            elif opa.cache_on:
                unkept = sorted(purity.leaves(part) - {*opa.cache_on, "version"})
                if unkept:
                    told = ", ".join(unkept)
                    never = "; what depends on time cannot be remembered" if "time" in unkept else ""
                    why = f"reads {told}, which `cache_on` does not name: another caller's decision would count{never}"
                    yield Fault(where, why, "name all that is read, or leave cache_on out")


def _decides(package: str, tree: Any) -> bool:
    path = ".".join(str(term.get("value")) for term in tree["package"]["path"])
    heads = ((rule.get("head") or {}) for rule in tree.get("rules") or ())
    return path == f"data.{package}" and any(
        head.get("name") == "decision" or [term.get("value") for term in head.get("ref") or ()][:1] == ["decision"]
        for head in heads
    )


def _find(name: str, text: str, names: tuple[str, ...]) -> Mark:
    """Where it most likely stands: OPA's tree tells no lines."""
    for wanted in (".".join(names), names[-1], names[0]):
        at = text.find(wanted)
        if at >= 0:
            return Mark(name, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
    return Mark(name, 1, 1)
