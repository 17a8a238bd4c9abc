"""A JSON answer with its values put back, by the code that does it for streams; says where, for the rules to know."""

from collections.abc import Iterator
from typing import Any

from extproc.core.holdback import Spans
from extproc.core.restore import Restoring
from extproc.core.texts import KEY
from extproc.providers.spoken import Spoken, spoken

#: (id of the object or list, key or index or (KEY, key)) -> where values are. Holds while the tree does.
Returned = dict[tuple[int, Any], Spans]


def give_back(answer: dict[str, Any], restoring: Restoring) -> Returned:
    """Put back what may be, in place."""
    returned: Returned = {}
    for said in spoken(answer):
        value = said.holder[said.key]
        if type(value) is str:
            spans: list[tuple[int, int]] = []
            if said.key == "arguments":
                restorer = restoring.source(spans, said.tool or "")
            else:
                restorer = restoring.text(spans, said.tool, joined=said.joined)
            said.holder[said.key] = restorer.whole(value)
            if spans:
                returned[id(said.holder), said.key] = spans
        else:
            for holder, key in _strings(value):
                _give_one(holder, key, said, restoring, returned)
    return returned


def _give_one(holder: Any, key: Any, said: Spoken, restoring: Restoring, returned: Returned) -> None:
    """One string of a tree of arguments: a value, or a key where `key` is (KEY, name)."""
    spans: list[tuple[int, int]] = []
    restorer = restoring.text(spans, said.tool, joined=False)
    if type(key) is tuple:
        name = key[1]
        told = restorer.whole(name)
        if spans and told not in holder:
            holder[told] = holder.pop(name)
            returned[id(holder), (KEY, told)] = spans
            if (id(holder), name) in returned:
                returned[id(holder), told] = returned.pop((id(holder), name))
        return
    holder[key] = restorer.whole(holder[key])
    if spans:
        returned[id(holder), key] = spans


def _strings(tree: Any) -> Iterator[tuple[Any, Any]]:
    """(holder, place) of every string, values before the keys that they stand under."""
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if type(node) is dict:
            values = list(node.items())
        elif type(node) is list:
            values = list(enumerate(node))
        else:
            continue
        for key, value in values:
            if type(value) is str:
                yield node, key
            else:
                stack.append(value)
        if type(node) is dict:
            yield from ((node, (KEY, key)) for key, _ in values)
