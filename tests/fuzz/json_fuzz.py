"""Fuzz request parsing: `PYTHONPATH=.:tests/support python tests/fuzz/json_fuzz.py [seconds] [seed]`.

Invariant: for any bytes, the parser returns what the standard library reads from them, or raises GatewayError; and it
returns nothing that has a duplicate key, a lost integer, or more depth or nodes than the limits allow.
"""

import json
import random
from typing import Any

import fuzzing
from extproc.core.body import parse
from gateway.errors import GatewayError
from gateway.policy.model import Limits

LIMITS = Limits(json_depth=6, json_nodes=40)
PARTS = (
    "{", "}", "[", "]", ",", ":", '"', "\\", '\\"', '"a"', '"b":', '"a":1', '":"', " ", "\n", "1", "-0", "1.5", "1e5", "1e999",
    "18446744073709551615", "18446744073709551616", "-9223372036854775809", "true", "null", "NaN", "\\ud800", "\\u0061", "é",
    "\ufeff", "\0", "{}", "[]", '{"a":', '{"a":[', "]}", '"x":{"y":2}', "[[[[[[[[",
)  # fmt: skip


def document(dice: random.Random, depth: int = 0) -> str:
    """Mostly valid JSON, with keys that may repeat."""
    kind = dice.randint(0, 9)
    if depth > 4 or kind < 4:
        return dice.choice(
            ('"t"', '": "', '"\\\\"', "1", "12345678901234567890", "98765432109876543210", "0.5", "null")
        )
    inner = [document(dice, depth + 1) for _ in range(dice.randint(0, 4))]
    if kind < 7:
        return "[" + ",".join(inner) + "]"
    space = dice.choice(("", " ", "\n", "\t "))
    return "{" + ",".join(f'"{dice.choice(("a", "b", ":", "c", "d", "e"))}"{space}:{value}' for value in inner) + "}"


def strict(body: bytes) -> Any:
    """What the body says, or ValueError: duplicate keys, constants and lost integers are errors."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(found)) != len(found):
            raise ValueError("duplicate key")
        return dict(found)

    def integer(digits: str) -> int:
        if not -(2**63) <= int(digits) < 2**64:
            raise ValueError("integer")
        return int(digits)

    def constant(name: str) -> float:
        raise ValueError(name)

    found = json.loads(body.decode(), object_pairs_hook=pairs, parse_int=integer, parse_constant=constant)
    json.dumps(found, ensure_ascii=False).encode()  # lone surrogates raise UnicodeEncodeError, a ValueError
    return found


def size(value: Any) -> tuple[int, int]:
    """(depth, nodes)."""
    if not isinstance(value, dict | list):
        return 0, 0
    inner = [size(item) for item in (value.values() if isinstance(value, dict) else value)]
    return 1 + max((depth for depth, _ in inner), default=0), len(value) + sum(nodes for _, nodes in inner)


def case(dice: random.Random) -> None:
    text = document(dice) if dice.random() < 0.7 else "".join(dice.choices(PARTS, k=dice.randint(0, 14)))
    if dice.random() < 0.5:
        text = '{"a":' + text + "}"
    body = text.encode()
    if dice.random() < 0.05:
        body = body[: dice.randint(0, len(body))] + bytes([dice.randrange(256)])
    try:
        expected = strict(body)
    except ValueError:
        expected = None
    expected = expected if isinstance(expected, dict) else None
    try:
        found: Any = parse(body, LIMITS)
    except GatewayError:
        depth, nodes = size(expected)
        infinite = "Infinity" in json.dumps(expected)  # 1e999 is a number to the standard library
        assert expected is None or depth > LIMITS.json_depth or nodes > LIMITS.json_nodes or infinite, body
        return
    assert found == expected, body
    assert size(found)[0] <= LIMITS.json_depth
    assert size(found)[1] <= LIMITS.json_nodes


if __name__ == "__main__":
    fuzzing.main(case)
