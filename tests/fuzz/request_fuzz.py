"""Fuzz admission with hostile requests: `PYTHONPATH=.:tests/support python tests/fuzz/request_fuzz.py [seconds] [seed]`.

Invariant: whatever bytes come, the exchange passes them or refuses with a clear 4xx, never with an internal error; and
what passes holds no planted address, neither plainly nor in an encoding.
"""

import base64
import json
import random
from dataclasses import replace

import fuzzing
import worlds
from extproc.explain import judge
from gateway.policy.model import Action, Bounds, BoundSchema, Limits, Part, Topic

MAIL = "joe.bloggs@example.com"
ENCODED = base64.b64encode(MAIL.encode()).decode()
PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/completions", "/v1/embeddings")
#: Patterns and terms that make engines which backtrack stand still, and the texts that do it.
SLOW = ("(a+)+$", "(a|a)*b", "(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$")
HOSTILE = (
    "a" * 4000 + "!", "\x00", "\ufeff", "\u202e", "\ud83d", "%" * 999, "&#" * 999, "\\u" * 999, "A" * 4001, "{" * 400,
    "0" * 999, "\u0430\u0440\u0440\u04cf\u0435 " * 99, "=" * 500, "\x1f" * 99, "\n" * 500, "<|im_start|>", "''\"\"", "AAAA\n" * 300,
)  # fmt: skip
NUMBERS = (0, -1, 2**63, 2**64 - 1, 1e308, -1e-308, 2.0**53, True, None)


def held() -> worlds.Policy:
    base = worlds.policy(request=worlds.settings(Action.REDACT), strict_schema=False, limits=Limits(json_nodes=3000))
    schema = {"properties": {name: {"pattern": slow} for name, slow in zip("abcd", SLOW, strict=True)}}
    tenant = replace(
        base.tenants["acme"],
        bounds=Bounds(banned={"slow": (*SLOW, "apple pie")}),
        schemas={
            part.value: BoundSchema(
                name=part.value,
                part=part,
                source=json.dumps(schema),
                tools=frozenset() if part is Part.METADATA else frozenset({"*"}),
            )
            for part in Part
        },
        topics={
            "slow": Topic(name="slow", allowed=False, terms=SLOW, examples=tuple(f"{each} is it" for each in SLOW * 2))
        },
    )
    return replace(base, tenants={"acme": tenant})


WORLD = worlds.FakeWorld(held())
CLOCK = worlds.FakeClock()


def value(dice: random.Random, depth: int = 0) -> object:
    """A JSON value that is anything at all, with an address in it more often than not."""
    what = dice.random()
    if what < 0.2 or depth > 4:
        return f"x {dice.choice((MAIL, ENCODED, ENCODED.encode().hex(), MAIL.replace('@', '%40')))} y"
    if what < 0.5:
        return dice.choice(HOSTILE)
    if what < 0.6:
        return dice.choice(NUMBERS)
    if what < 0.65:
        return json.dumps(value(dice, depth + 1))
    if what < 0.85:
        return {word(dice): value(dice, depth + 1) for _ in range(dice.randint(0, 5))}
    return [value(dice, depth + 1) for _ in range(dice.randint(0, 5))]


def word(dice: random.Random) -> str:
    return dice.choice(
        ("type", "role", "content", "text", "name", "function", "arguments", "input", "metadata", "tools", "a", "b", "id",
         "tool_calls", "image_url", "url", "source", "data", "parameters", "\x00", "k" * 300)
    )  # fmt: skip


def body(dice: random.Random, path: str) -> bytes:
    call = {"name": "t", "arguments": json.dumps(value(dice))}
    turns = [
        {"role": "user", "content": value(dice)},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": call}]},
        {"role": "tool", "tool_call_id": "1", "content": f"{value(dice)}"},
    ]
    whole: dict[str, object] = {"model": "gpt-4o-mini", "messages": dice.sample(turns, dice.randint(0, 3))}
    if path in PATHS[1:]:
        whole |= {"input": dice.choice((whole.pop("messages"), value(dice))), "prompt": value(dice)}
    if path == "/v1/messages":
        whole |= {"messages": [{"role": "user", "content": value(dice)}], "max_tokens": 5}
    for _ in range(dice.randint(0, 3)):
        whole[word(dice)] = value(dice)
    raw = json.dumps(whole, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")
    harm = dice.random()
    if harm < 0.1:
        raw = raw[: dice.randint(0, len(raw))]
    elif harm < 0.15:
        raw = b"[" * 2000 + raw + b"]" * 2000
    elif harm < 0.2:
        raw = raw.replace(b"{", b'{"model": "gpt-4o-mini", ', 2)
    elif harm < 0.25:
        raw = raw.replace(b"null", b"1" * 400).replace(b"true", b"1e999")
    elif harm < 0.3:
        raw = raw[:-1] + b"".join(b', "k%d": 1' % n for n in range(4000)) + b"}"
    return raw


def case(dice: random.Random) -> None:
    path = dice.choice(PATHS)
    raw = body(dice, path)
    told = judge(raw, path, WORLD, worlds.CALLER, CLOCK)
    if told.decision == "refuse":
        assert 400 <= told.status < 500, (told.code, raw)
        return
    sent = json.dumps(json.loads(told.body or raw), ensure_ascii=False)
    assert MAIL not in sent, raw
    assert ENCODED not in sent, raw


if __name__ == "__main__":
    fuzzing.main(case)
