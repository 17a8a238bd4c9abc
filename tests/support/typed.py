"""Trees made from declared types, with something planted at every place where a string may stand. Knows no API.

Takes the official SDKs' pydantic models and the gateway's own msgspec types, so a position that a type gains is planted
without anybody's doing.
"""

import types
import typing
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
import pydantic

#: Numbers that place something are the first place; every other number is 1.
_FIRST = ("index",)
_NOTHING = (type(None), msgspec.UnsetType)


@cache
def fields(kind: type) -> tuple[tuple[str, Any, bool], ...]:
    """(name on the wire, type, whether it must be there) of every field."""
    if issubclass(kind, msgspec.Struct):
        config = kind.__struct_config__
        tag = () if config.tag is None else ((config.tag_field, typing.Literal[config.tag], True),)
        own = tuple((each.encode_name, each.type, each.required) for each in msgspec.structs.fields(kind))
        return (*tag, *own)
    return tuple((each.alias or name, each.annotation, each.is_required()) for name, each in kind.model_fields.items())


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct | pydantic.BaseModel)


def _opened(kind: Any) -> tuple[Any, tuple[Any, ...], Any]:
    """(origin, arguments, type) without annotations."""
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    origin = typing.get_origin(kind)
    return (typing.Union if origin is types.UnionType else origin), typing.get_args(kind), kind


def least(kind: Any, name: str = "") -> Any:
    """The smallest value of a type."""
    least_items = any(
        getattr(each, "min_length", None) for each in typing.get_args(kind)[1:] if hasattr(each, "min_length")
    )
    origin, inner, kind = _opened(kind)
    if origin is typing.Union:
        return least(next((each for each in inner if each not in _NOTHING), None), name)
    if origin is typing.Literal:
        return inner[0]
    if origin is list:
        return [least(inner[0])] if least_items else []
    if _is_record(kind):
        return {field: least(each, field) for field, each, must in fields(kind) if must}
    number = 0 if name.endswith(_FIRST) else 1
    return {str: "x", int: number, float: 1.0, bool: False, type(None): None}.get(kind, {})


def planted(kind: Any, seed: str, within: tuple[type, ...] = ()) -> Iterator[tuple[str, Any]]:
    """(where, value) for every place of a type where a string may stand, each holding `seed` there."""
    origin, inner, kind = _opened(kind)
    if kind is str or origin is typing.Literal:
        yield "", seed
    elif origin is typing.Union:
        for each in inner:
            yield from planted(each, seed, within)
    elif origin in {list, typing.Sequence}:
        for where, value in planted(inner[0], seed, within):
            yield f"[]{where}", [value]
    elif origin is dict:
        yield "{key}", {seed: least(inner[1])}
        for where, value in planted(inner[1], seed, within):
            yield f".*{where}", {"k": value}
    elif _is_record(kind):
        if kind in within:
            return
        whole = least(kind)
        for field, each, _ in fields(kind):
            for where, value in planted(each, seed, (*within, kind)):
                yield f".{field}{where}", {**whole, field: value}
    elif kind in {object, typing.Any} or isinstance(kind, typing.TypeVar):
        yield "?", seed
        yield "?.k", {"k": [seed]}
        yield "?{key}", {seed: 1}
