"""Whether a JSON tree is what a provider's own package declares: its TypedDicts and pydantic models, read strictly.

The packages themselves send unknown fields without a word, and judge lists lazily; a translation that invents a field
must not pass.
"""

import functools
import typing
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NotRequired, Required, get_args, get_origin

from pydantic import BaseModel
from typing_extensions import is_typeddict

_SEQUENCES = ("SequenceNotStr", "Iterable", "Sequence", "list", "List")


def complaints(value: Any, kind: Any, where: str = "") -> list[str]:
    """What is wrong with `value` as a `kind`; empty where nothing is."""
    origin = get_origin(kind)
    if origin is typing.Annotated:
        return complaints(value, get_args(kind)[0], where)
    if origin in (Required, NotRequired):
        return complaints(value, get_args(kind)[0], where)
    if kind is Any or kind is object:
        return []
    if kind is None or kind is type(None):
        return [] if value is None else [f"{where}: {value!r} is not null"]
    if origin is Literal:
        return [] if value in get_args(kind) else [f"{where}: {value!r} is none of {get_args(kind)}"]
    if is_typeddict(kind):
        return _typed_dict(value, kind, where)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _model(value, kind, where)
    if origin is dict:
        if not isinstance(value, dict):
            return [f"{where}: not an object"]
        return [c for key, each in value.items() for c in complaints(each, get_args(kind)[1], f"{where}.{key}")]
    if origin is not None and _is_sequence(origin):
        if not isinstance(value, list):
            return [f"{where}: not a list"]
        return [c for i, each in enumerate(value) for c in complaints(each, get_args(kind)[0], f"{where}[{i}]")]
    if _is_union(origin):
        return _union(value, get_args(kind), where)
    if kind is float:
        return [] if type(value) in (int, float) else [f"{where}: not a number"]
    return [] if type(value) is kind else [f"{where}: {type(value).__name__} is not {kind}"]


def _is_union(origin: Any) -> bool:
    return origin is typing.Union or getattr(origin, "__name__", "") == "UnionType"


def _is_sequence(origin: Any) -> bool:
    return origin in (list, Iterable, Sequence) or getattr(origin, "__name__", "") in _SEQUENCES


def _union(value: Any, kinds: tuple[Any, ...], where: str) -> list[str]:
    tried = []
    for kind in kinds:
        tried.append(complaints(value, kind, where))
        if not tried[-1]:
            return []
    return min(tried, key=lambda found: (len(found), sum(map(len, found))))


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _typed_dict(value: Any, kind: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: not an object"]
    hints = _hints(kind)
    # Not `__required_keys__`: where annotations are strings, Python does not see `Required` in them.
    needed = {name for name, hint in hints.items() if get_origin(hint) is Required}
    out = [f"{where}.{name}: missing" for name in sorted(needed - value.keys())]
    for name, each in value.items():
        if name in hints:
            out += complaints(each, hints[name], f"{where}.{name}")
        elif getattr(kind, "__pydantic_config__", {}).get("extra") != "allow":
            out.append(f"{where}.{name}: not declared by {kind.__name__}")
    return out


def _model(value: Any, kind: type[BaseModel], where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: not an object"]
    fields = {(field.alias or name): field for name, field in kind.model_fields.items()}
    out = [f"{where}.{name}: missing" for name, field in fields.items() if field.is_required() and name not in value]
    for name, each in value.items():
        if name in fields:
            out += complaints(each, fields[name].annotation, f"{where}.{name}")
        else:
            out.append(f"{where}.{name}: not declared by {kind.__name__}")
    return out
