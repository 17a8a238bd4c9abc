"""Which functions and which input a Rego source mentions, judged from its syntax tree. Evaluates nothing.

Decisions must follow from input and data alone: one that asks the network stops a worker, one that throws dice cannot
be remembered, replayed or audited. So functions are allowed by name, and mention counts: an alias, a mock (`with`) or
a reference in brackets is as good as a call. What a later version of OPA adds is not allowed until it is listed here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.policy.opa import FIELDS

#: Operators and what the parser makes of syntax.
_SYNTAX: Final = (
    *("and", "assign", "div", "eq", "equal", "gt", "gte", "lt", "lte", "minus", "mul", "neq", "or", "plus", "rem"),
    *("set_diff", "internal.member_2", "internal.member_3", "internal.print", "internal.template_string"),
)
#: Pure functions of OPA 1.20 (`opa capabilities`) whose answer does not grow far beyond their arguments.
ALLOWED: Final = frozenset(
    (
        *_SYNTAX,
        *("abs", "ceil", "floor", "round", "numbers.range", "numbers.range_step", "format_int", "to_number"),
        *("all", "any", "count", "max", "min", "product", "sort", "sum", "walk", "intersection", "union"),
        *("array.concat", "array.flatten", "array.reverse", "array.slice"),
        *("object.filter", "object.get", "object.keys", "object.remove", "object.subset", "object.union"),
        *("object.union_n", "graph.reachable", "graph.reachable_paths"),
        *("base64.decode", "base64.encode", "base64.is_valid", "base64url.decode", "base64url.encode"),
        *("base64url.encode_no_pad", "hex.decode", "hex.encode"),
        *("bits.and", "bits.lsh", "bits.negate", "bits.or", "bits.rsh", "bits.xor"),
        *("cast_array", "cast_boolean", "cast_null", "cast_object", "cast_set", "cast_string"),
        *("is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set", "is_string", "type_name"),
        *("concat", "contains", "endswith", "indexof", "indexof_n", "lower", "replace", "split", "sprintf"),
        *("startswith", "substring", "trim", "trim_left", "trim_prefix", "trim_right", "trim_space", "trim_suffix"),
        *("upper", "strings.any_prefix_match", "strings.any_suffix_match", "strings.count"),
        *("strings.render_template", "strings.replace_n", "strings.reverse", "strings.split_n"),
        *("crypto.hmac.equal", "crypto.hmac.md5", "crypto.hmac.sha1", "crypto.hmac.sha256", "crypto.hmac.sha512"),
        *("crypto.md5", "crypto.sha1", "crypto.sha256"),
        *("crypto.x509.parse_certificate_request", "crypto.x509.parse_certificates"),
        *("glob.match", "glob.quote_meta", "re_match", "regex.find_all_string_submatch_n", "regex.find_n"),
        *("regex.globs_match", "regex.is_valid", "regex.match", "regex.replace", "regex.split"),
        "regex.template_match",
        *("graphql.is_valid", "graphql.parse", "graphql.parse_and_verify", "graphql.parse_query"),
        *("graphql.parse_schema", "graphql.schema_is_valid"),
        *("io.jwt.decode", "io.jwt.verify_eddsa", "io.jwt.verify_es256", "io.jwt.verify_es384"),
        *("io.jwt.verify_es512", "io.jwt.verify_hs256", "io.jwt.verify_hs384", "io.jwt.verify_hs512"),
        *("io.jwt.verify_ps256", "io.jwt.verify_ps384", "io.jwt.verify_ps512", "io.jwt.verify_rs256"),
        *("io.jwt.verify_rs384", "io.jwt.verify_rs512"),
        *("json.filter", "json.is_valid", "json.marshal", "json.marshal_with_options", "json.patch", "json.remove"),
        *("json.unmarshal", "yaml.is_valid", "yaml.marshal", "yaml.unmarshal"),
        *("net.cidr_contains", "net.cidr_contains_matches", "net.cidr_intersects", "net.cidr_is_valid"),
        *("net.cidr_merge", "net.cidr_overlap"),
        *("print", "trace", "rego.metadata.chain", "rego.metadata.rule"),
        *("semver.compare", "semver.is_valid", "units.parse", "units.parse_bytes", "uri.is_valid", "uri.parse"),
        *("urlquery.decode", "urlquery.decode_object", "urlquery.encode", "urlquery.encode_object", "uuid.parse"),
        *("time.add_date", "time.clock", "time.date", "time.diff", "time.format", "time.parse_duration_ns"),
        *("time.parse_ns", "time.parse_rfc3339_ns", "time.weekday"),
    )
)
_NETWORK: Final = "it asks the network"
_CHANCE: Final = "its answer is another one each time"
_CLOCK: Final = "it reads the clock; the time is `input.time`"
_KEYS: Final = "private keys have no place in a policy"
#: The rest of OPA's functions, and why.
REFUSED: Final[Mapping[str, str]] = {
    "http.send": _NETWORK,
    "net.lookup_ip_addr": _NETWORK,
    "json.match_schema": "it fetches what a schema refers to",  # OPA, "Capabilities": allow_net is about these too
    "json.verify_schema": "it fetches what a schema refers to",
    "opa.runtime": "it tells the environment of the process",
    "rand.intn": _CHANCE,
    "uuid.rfc4122": _CHANCE,
    "io.jwt.encode_sign": _CHANCE,
    "io.jwt.encode_sign_raw": _CHANCE,
    "time.now_ns": _CLOCK,
    "io.jwt.decode_verify": f"{_CLOCK}. io.jwt.verify_* are allowed",
    "crypto.x509.parse_and_verify_certificates": _CLOCK,
    "crypto.x509.parse_and_verify_certificates_with_options": _CLOCK,
    "crypto.parse_private_keys": _KEYS,
    "crypto.x509.parse_keypair": _KEYS,
    "crypto.x509.parse_rsa_private_key": _KEYS,
    "providers.aws.sign_req": _KEYS,
    "net.cidr_expand": "its answer can be larger than memory; net.cidr_contains asks the same question",
    "rego.parse_module": "a policy reads requests, not policies",
    "internal.test_case": "it is the test runner's own",
}

#: Every path that the input document may have (docs/opa.md). `headers`, say, would be undefined for ever.
INPUT: Final = frozenset((*FIELDS, "time", "version"))


@dataclass(frozen=True, slots=True)
class Mention:
    """A reference of a source: its first name and the fixed ones after it. Not `whole` where a variable follows."""

    names: tuple[str, ...]
    whole: bool
    called: bool

    @property
    def dotted(self) -> str:
        """As people write it."""
        return ".".join(self.names)


def mentions(tree: Any) -> Iterator[Mention]:
    """Every reference in a module's syntax tree. Walks without recursion: nesting is the author's choice."""
    todo: list[tuple[Any, bool]] = [(tree, False)]
    while todo:
        node, called = todo.pop()
        if isinstance(node, list):
            todo.extend((item, False) for item in node)
        elif isinstance(node, dict):
            kind, value = node.get("type"), node.get("value")
            if kind == "ref" and isinstance(value, list) and value:
                yield _mention(value, called=called)
                # A head that is no plain name (a call, an array), and variables in brackets, are looked at as well.
                todo.extend((item, False) for item in value if item.get("type") not in {"var", "string"})
            elif kind == "var" and isinstance(value, str):
                yield Mention((value,), whole=True, called=called)
            elif kind == "call" and isinstance(value, list) and value:
                todo.append((value[0], True))
                todo.extend((item, False) for item in value[1:])
            else:
                terms = node.get("terms")
                if isinstance(terms, list) and terms:  # an expression that is a call
                    todo.append((terms[0], True))
                    todo.extend((item, False) for item in terms[1:])
                    todo.extend((item, False) for key, item in node.items() if key != "terms")
                else:
                    todo.extend((item, False) for item in node.values())


def _mention(terms: list[Any], *, called: bool) -> Mention:
    names: list[str] = []
    for at, term in enumerate(terms):
        if term.get("type") != ("string" if at else "var"):
            return Mention(tuple(names), whole=False, called=called)
        names.append(term["value"])
    return Mention(tuple(names), whole=True, called=called)


def own_names(trees: Iterable[Any]) -> frozenset[str]:
    """What the sources name themselves: rules, imports and their aliases."""
    found: set[str] = set()
    for tree in trees:
        for rule in tree.get("rules") or ():
            head = rule.get("head") or {}
            found.add(str((head.get("ref") or [{"value": head.get("name", "")}])[0].get("value", "")))
        for each in tree.get("imports") or ():
            path = each["path"]["value"]
            found.add(str(each.get("alias") or path[-1].get("value", "")))
    return frozenset(found)


def forbidden(mention: Mention, own: frozenset[str]) -> str:
    """Why a source may not mention it, or ""."""
    if not mention.names or mention.names[0] in {"data", "input"}:
        return ""
    dotted = mention.dotted
    for name, why in REFUSED.items():
        if dotted == name or dotted.startswith(f"{name}."):
            return f"{name} is not allowed: {why}"
        if not mention.whole and name.startswith(f"{dotted}."):
            return f"{dotted}[...] could be {name}, which is not allowed"
    if mention.called and dotted not in ALLOWED and mention.names[0] not in own:
        return f"{dotted} is no function that is allowed here"
    return ""


def reads(found: Iterable[Mention]) -> dict[str, Mention]:
    """Which parts of the input document are read: "" is all of it, "caller" a branch, "caller.tenant" a leaf."""
    return {".".join(each.names[1:]): each for each in found if each.names and each.names[0] == "input"}


def missing(part: str) -> bool:
    """Whether the input document never has this part, so that a rule about it would never hold."""
    return bool(part) and not any(part == leaf or part.startswith(f"{leaf}.") for leaf in INPUT) and not _below(part)


def leaves(part: str) -> frozenset[str]:
    """The fields that a read of this part depends on."""
    return _below(part) or frozenset(leaf for leaf in INPUT if part == leaf or part.startswith(f"{leaf}."))


def _below(part: str) -> frozenset[str]:
    return frozenset(leaf for leaf in INPUT if not part or leaf.startswith(f"{part}."))
