"""Whatever JSON comes, of clients or providers: a translation or a typed error, and nothing that grows without bound."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extproc.translate import eventstream
from extproc.translate.attempt import Attempt
from extproc.translate.dialect import Target
from extproc.translate.dialects import DIALECTS, FRONTS
from gateway.errors import GatewayError, Kind
from tools.golden_translate import MAX_EVENT_BYTES, ORIGIN, cases, wire

JUNK = st.sampled_from(
    [None, True, False, 0, -1, 1.5, 10**18, "", "x", "\ud7ff\x00", [], {}, [[]], [{}], {"type": "text"}, [None], ["a"],
     {"type": ["text"]}, {"type": {}}, [{"type": "text", "text": 5}], {"content": {"content": []}}],
).map(copy.deepcopy)  # fmt: skip
REQUESTS = cases("requests")
ANSWERS = cases("answers")
STREAMS = cases("streams")


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        found += places(value, (*path, key))
    return found


def spoiled(tree: Any, data: st.DataObject) -> Any:
    """The tree with a few of its places torn out, replaced or put elsewhere."""
    tree = copy.deepcopy(tree)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(tree)[1:] or [()]))
        if not path:
            return data.draw(JUNK)
        holder = tree
        for step in path[:-1]:
            holder = holder[step]
        if data.draw(st.booleans()) and isinstance(holder, dict):
            del holder[path[-1]]
        else:
            holder[path[-1]] = data.draw(JUNK)
    return tree


def attempts(name: str) -> list[Attempt]:
    own = FRONTS[name]
    return [Attempt(own, back, Target(model="m")) for back in DIALECTS.values() if back.family != own.family]


def kind_of(call: Any, *args: Any) -> Kind | None:
    """How a call is refused; None where it is not. Other exceptions pass, and fail the test."""
    try:
        call(*args)
    except GatewayError as error:
        return error.kind
    return None


WITHHELD = (None, Kind.BACKEND_ANSWER_INVALID)
FUZZ = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", REQUESTS)
@FUZZ
@given(data=st.data())
def test_a_spoiled_request_is_translated_or_refused(name, data):
    tree = spoiled(REQUESTS[name]["request"], data)
    for attempt in attempts(name.partition("/")[0]):
        assert kind_of(attempt.request, orjson.dumps(tree)) in (None, Kind.REQUEST_INVALID, Kind.JSON_INVALID)


@pytest.mark.parametrize("name", ANSWERS)
@FUZZ
@given(data=st.data())
def test_a_spoiled_answer_is_translated_or_withheld(name, data):
    case = ANSWERS[name]
    tree = spoiled(case["answer"], data)
    back = DIALECTS[name.partition("/")[0]]
    for front in FRONTS:
        attempt = Attempt(FRONTS[front], back, Target(model="m"))
        assert kind_of(attempt.answer, case.get("status", 200), orjson.dumps(tree), ORIGIN) in WITHHELD


@pytest.mark.parametrize("name", STREAMS)
@FUZZ
@given(data=st.data())
def test_a_spoiled_stream_is_translated_or_withheld(name, data):
    events = list(STREAMS[name]["stream"])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(events) - 1))
        what = data.draw(st.sampled_from(["spoil", "drop", "twice", "swap"]))
        if what == "spoil" and isinstance(events[at], dict):
            events[at] = spoiled(events[at], data)
        elif what == "drop" and len(events) > 1:
            del events[at]
        elif what == "twice":
            events.insert(at, events[at])
        else:
            events[at], events[-1] = events[-1], events[at]
    raw = b"".join(
        wire({"stream": [event]}) if isinstance(event, str) or (isinstance(event, dict) and type(event.get("type", "")) is str)
        else b"data: " + orjson.dumps(event) + b"\n\n"
        for event in events
    )  # fmt: skip
    back = DIALECTS[name.partition("/")[0]]
    for front in FRONTS:
        if front == back.name:
            continue
        assert kind_of(run, FRONTS[front], back, [raw]) in WITHHELD


def run(front: Any, back: Any, pieces: list[bytes]) -> None:
    stream = Attempt(front, back, Target(model="m")).stream(ORIGIN, MAX_EVENT_BYTES)
    for piece in pieces:
        stream.feed(piece)
    stream.close()


PAIRS = [(front, back) for back in ("openai", "anthropic", "gemini", "bedrock") for front in FRONTS if front != back]


@pytest.mark.parametrize(("front", "back"), PAIRS)
@FUZZ
@given(raw=st.binary(max_size=300), status=st.sampled_from([200, 204, 302, 400, 418, 500, 529, 599]))
def test_an_answer_that_is_no_json_is_told_as_an_error(front, back, raw, status):
    attempt = Attempt(FRONTS[front], DIALECTS[back], Target(model="m"))
    if status == 200:
        assert kind_of(attempt.answer, status, raw, ORIGIN) in WITHHELD
        return
    told = attempt.answer(status, raw, ORIGIN)
    assert 400 <= told.status < 600
    assert orjson.loads(told.body)["error"]["message"]


START = eventstream.event("messageStart", b"{}")
BYTES = st.binary(max_size=60) | st.sampled_from([b"data: {}\n\n", b"data: [DONE]\n\n", b"\n\n", START])


@pytest.mark.parametrize(("front", "back"), PAIRS)
@FUZZ
@given(pieces=st.lists(BYTES, max_size=8))
def test_a_stream_of_any_bytes_is_told_or_withheld(front, back, pieces):
    assert kind_of(run, FRONTS[front], DIALECTS[back], pieces) in WITHHELD
