"""The way to advisers: what is sent, and every way in which an answer does not count."""

import asyncio
import json

import pytest

from extproc.advisers import Advisers
from extproc.core.questions import Advice, Advise, Advised, Failed
from gateway import advice
from gateway.fetch import FetchError, Pipe, StatusError
from gateway.policy.model import Adviser, Credential
from worlds import FakeClock

NER = Adviser(name="names", engine="ner")
TEXTS = (("user", "Call Jane"), ("tool_result", "Nothing"))


class FakeLine:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked, self.closed = list(answers), [], False

    async def post(self, headers, content, max_bytes, deadline_s):
        self.asked.append((headers, content, deadline_s))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return reply()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self):
        self.closed = True


def reply(*findings, **more):
    return json.dumps({"schema": advice.SCHEMA, "findings": list(findings), **more}).encode()


def desk(line, adviser=NER, directory=""):
    advisers = Advisers(lambda _adviser, _directory: line, FakeClock())
    advisers.follow({adviser.name: adviser}, str(directory))
    return advisers


def question(adviser=NER, texts=TEXTS):
    return Advise(adviser, "req-1", "acme", texts)


async def test_a_question_is_the_contract_and_findings_come_back():
    line = FakeLine(reply({"rule": "pii.person", "text": 0, "score": 0.8, "start": 5, "end": 9}))
    told = await desk(line).ask(question())
    assert told == Advised((Advice("pii.person", 0, 0.8, 5, 9),))
    headers, content, deadline_s = line.asked[0]
    asked = advice.read_question(content)
    assert [(text.provenance, text.text) for text in asked.texts] == list(TEXTS)
    assert (asked.tenant, asked.request_id, asked.deadline_ms, deadline_s) == ("acme", "req-1", 250, 0.25)
    assert headers == {"content-type": "application/json"}


async def test_a_text_that_was_not_judged_to_its_end_is_told():
    assert await desk(FakeLine(reply(partial=[1]))).ask(question()) == Advised((), partial=True)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (FetchError("no answer within 0.25 s"), "no answer within 0.25 s"),
        (StatusError(503), "answered 503"),
        (b"<html>Call Jane</html>", "not the contract"),
        (reply({"rule": "pii.person", "text": 7, "score": 0.8}), "not the contract"),
        (reply({"rule": "pii.person", "text": 0, "score": 0.8, "start": 5, "end": 99}), "not the contract"),
        (RuntimeError("Call Jane"), "RuntimeError"),
    ],
)
async def test_whatever_is_no_answer_is_a_failure_without_a_word_of_the_prompt(answer, reason):
    told = await desk(FakeLine(answer)).ask(question())
    assert told == Failed(reason)
    assert "Jane" not in told.reason


async def test_a_service_that_fails_again_and_again_is_left_alone_for_a_while():
    line = FakeLine(FetchError("failed: ConnectError"))
    advisers = desk(line)
    for _ in range(5):
        await advisers.ask(question())
    assert await advisers.ask(question()) == Failed("circuit open")
    assert len(line.asked) == 5


async def test_questions_that_it_will_not_take_open_no_circuit():
    line = FakeLine(StatusError(413))
    advisers = desk(line)
    for _ in range(8):
        assert await advisers.ask(question()) == Failed("answered 413")


async def test_more_than_it_takes_is_not_sent():
    line = FakeLine(reply())
    advisers = desk(line)
    assert isinstance(await advisers.ask(question(texts=(("user", "x"),) * 2000)), Failed)
    assert isinstance(await advisers.ask(question(texts=(("user", "x" * (5 << 20)),))), Failed)
    assert line.asked == []


async def test_questions_under_way_are_bounded():
    gate = asyncio.Event()
    advisers = desk(FakeLine(gate))
    waiting = [asyncio.create_task(advisers.ask(question())) for _ in range(64)]
    await asyncio.sleep(0)
    assert await advisers.ask(question()) == Failed("too many questions at a time")
    gate.set()
    assert set(await asyncio.gather(*waiting)) == {Advised(())}


async def test_a_service_gets_its_credential_and_a_missing_file_is_a_failure(tmp_path):
    (tmp_path / "key").write_text("s3cret\n")
    (tmp_path / "key").chmod(0o600)
    service = Adviser(name="out", url="https://guard.example/", credential=Credential(file="key"))
    line = FakeLine(reply())
    assert await desk(line, service, tmp_path).ask(question(service)) == Advised(())
    assert line.asked[0][0]["authorization"] == "Bearer s3cret"
    assert await desk(line, service, tmp_path / "nowhere").ask(question(service)) == Failed("secret unreadable")


async def test_who_is_no_longer_in_the_policy_is_hung_up_on():
    line = FakeLine(reply())
    advisers = desk(line)
    advisers.follow({}, "")
    for _ in range(3):
        await asyncio.sleep(0)
    assert line.closed


async def test_an_adviser_that_the_policy_no_longer_has_is_not_asked():
    line = FakeLine(reply())
    advisers = desk(line)
    assert await advisers.ask(question(Adviser(name="former", engine="ner"))) == Failed("no longer in the policy")
    assert line.asked == []


async def test_an_engine_is_asked_over_its_socket(tmp_path):
    """A real server on a Unix socket, by hand: the pipe speaks HTTP/1.1 to it."""
    asked = []

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        asked.append((head.partition("\r\n")[0], await reader.readexactly(length)))
        body = reply()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    path = tmp_path / "a.sock"
    server = await asyncio.start_unix_server(serve, path)
    pipe = Pipe(str(path), "/v1/advice/ner")
    advisers = Advisers(lambda _adviser, _directory: pipe, FakeClock())
    advisers.follow({"names": NER}, "")
    assert await advisers.ask(question()) == Advised(())
    assert asked[0][0] == "post /v1/advice/ner http/1.1"
    server.close()
    await server.wait_closed()
    path.unlink()
    assert isinstance(await advisers.ask(question()), Failed)
    await advisers.close()
