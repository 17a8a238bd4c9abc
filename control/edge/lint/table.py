"""Every rule there is, by area. docs/envoy-lint.md is generated from here, and a test holds it current."""

from typing import Final

from control.edge.lint import (
    attempts,
    authz,
    bootstrap,
    chain,
    clusters,
    edge,
    limits,
    modes,
    plane,
    processors,
    routes,
    tls,
)
from control.edge.lint.rule import ERROR, WARNING, Rule, Severity

_AREAS: Final = (authz, modes, processors, attempts, chain, routes, plane, limits, edge, tls, clusters, bootstrap)

#: A rule exists once it is defined in its area; nothing has to be listed twice.
RULES: Final[tuple[Rule, ...]] = tuple(
    found for area in _AREAS for found in vars(area).values() if isinstance(found, Rule)
)

#: What the reader itself may say of a file: id, severity, why it matters, what to do.
INPUT: Final[dict[str, tuple[Severity, str, str]]] = {
    "input.not-yaml": (
        ERROR,
        "Nothing in the file can be judged.",
        "Give a YAML or JSON file that Envoy accepts (`envoy --mode validate -c FILE`).",
    ),
    "input.not-bootstrap": (
        ERROR,
        "There is no listener with an HTTP connection manager to judge.",
        "Give an Envoy bootstrap with static_resources.listeners.",
    ),
    "input.too-large": (
        ERROR,
        "A file of this size is not read.",
        "Give the bootstrap itself, without embedded data.",
    ),
    "input.too-complex": (
        ERROR,
        "A file that nests so deep, or grows so far when its aliases are expanded, is not read.",
        "Write the configuration with fewer levels, values or aliases.",
    ),
    "input.duplicate-key": (
        ERROR,
        "Envoy keeps one of the two silently, and a reader may believe the other.",
        "Remove one of them; snake_case and lowerCamelCase spell the same field.",
    ),
    "input.merge-key": (
        WARNING,
        "Envoy 1.40 knows aliases but no merge keys, and refuses the file.",
        "Repeat the shared values, or alias a whole mapping.",
    ),
    "input.more-documents": (
        ERROR,
        "Envoy reads the first YAML document only; what follows is never in force.",
        "Put everything into one document.",
    ),
}


def as_markdown() -> str:
    """The page for people: each rule with its reason and remedy."""
    rows = [(each.id, each.severity, each.why, each.remedy) for each in RULES]
    rows += [(rule_id, severity, why, remedy) for rule_id, (severity, why, remedy) in INPUT.items()]
    table = "\n".join(
        f"| `{rule_id}` | {severity.value} | {_cell(why)} | {_cell(remedy)} |"
        for rule_id, severity, why, remedy in rows
    )
    return f"{_HEAD.format(count=len(RULES), errors=sum(each.severity is ERROR for each in RULES))}{table}\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


_HEAD: Final = """\
# What `ostiary envoy lint` looks for

`ostiary envoy lint FILE` reads an Envoy bootstrap that a platform team wrote itself, as YAML or JSON. It reports
every setting that would weaken the gateway, with line, column and remedy. It does not start Envoy, and does not
replace `envoy --mode validate`, which says whether Envoy accepts the file at all.

- An **error** lets something pass unguarded, unidentified or unseen. The command ends with status 1.
- A **warning** weakens, slows, or cannot be checked from this file.

A chain is *governed* when an ext_authz or ext_proc filter stands in it; when the file has no such filter anywhere,
every HTTP chain is. Clusters that governed routes lead to are governed too, with their members. Listeners beside
them that reach no governed cluster are none of the gateway's business.

There are {count} rules, {errors} of them errors, and what the reader itself reports (`input.*`). This page is
generated: `python -m control.edge.lint.table > docs/envoy-lint.md`.

| rule | severity | why it matters | remedy |
|---|---|---|---|
"""


if __name__ == "__main__":
    import sys

    sys.stdout.write(as_markdown())
