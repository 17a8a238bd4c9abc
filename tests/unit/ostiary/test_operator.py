"""The operator's client against a socket that answers what it is told."""

import argparse
import json
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from ostiary import operator
from ostiary.problem import Problem


@contextmanager
def answering(path: Path, answer: bytes):
    """One connection is taken, its request kept, `answer` written."""
    asked = bytearray()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(1)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as reading:
                length = 0
                while (line := reading.readline()) not in (b"\r\n", b""):
                    asked.extend(line)
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                asked.extend(b"\r\n" + reading.read(length))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield asked
        thread.join(10)
        assert not thread.is_alive()


def response(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode() + body


def test_a_wish_travels_with_its_body_and_its_actor(tmp_path):
    path = tmp_path / "s"
    with answering(path, response(201, b'{"id": "k1"}')) as asked:
        told = operator.call("POST", "/admin/v1/keys", {"tenant": "acme"}, socket=path, actor="ada")
    assert told == {"id": "k1"}
    head, _, body = bytes(asked).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /admin/v1/keys HTTP/1.1\r\n")
    assert b"x-ostiary-actor: ada" in head
    assert json.loads(body) == {"tenant": "acme"}


def test_without_a_name_the_user_is_the_actor(tmp_path):
    path = tmp_path / "s"
    with answering(path, response(200, b"{}")) as asked:
        operator.call("GET", "/healthz", None, socket=path)
    assert f"x-ostiary-actor: {operator._user()}".encode() in asked


def test_an_answer_without_a_body_is_an_empty_object(tmp_path):
    with answering(tmp_path / "s", response(204, b"")):
        assert operator.call("DELETE", "/admin/v1/keys/k1", None, socket=tmp_path / "s") == {}


def test_a_refusal_is_told_with_its_field_and_its_code(tmp_path):
    body = json.dumps({"error": {"code": "invalid", "message": "expected a whole number", "field": "rate"}}).encode()
    with answering(tmp_path / "s", response(422, body)), pytest.raises(Problem) as refused:
        operator.call("POST", "/admin/v1/keys", {}, socket=tmp_path / "s")
    assert str(refused.value) == "rate: expected a whole number"
    assert "invalid" in refused.value.hint


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"[" * 100_000, b'{"error": "text"}', b"\xff"])
def test_a_refusal_that_is_no_refusal_of_ours_is_still_a_sentence(tmp_path, body):
    with answering(tmp_path / "s", response(500, body)), pytest.raises(Problem, match="control"):
        operator.call("GET", "/", None, socket=tmp_path / "s")


def test_an_answer_that_is_no_http_is_a_sentence(tmp_path):
    with answering(tmp_path / "s", b"what?\r\n\r\n"), pytest.raises(Problem, match="broke the connection"):
        operator.call("GET", "/", None, socket=tmp_path / "s")


def test_no_socket_says_that_control_is_not_running(tmp_path):
    with pytest.raises(Problem, match="not running") as refused:
        operator.call("GET", "/", None, socket=tmp_path / "s")
    assert "ostiary up" in refused.value.hint


def test_a_dead_socket_says_so_too(tmp_path):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "s"))
        with pytest.raises(Problem, match="not running"):
            operator.call("GET", "/", None, socket=tmp_path / "s")


@pytest.mark.parametrize("name", ["a b", "ada\r\nx: y", "-ada", "ä", "x" * 65])
def test_an_actor_that_fits_no_header_is_refused_before_anything_is_sent(tmp_path, name):
    with pytest.raises(Problem, match="actor"):
        operator.call("GET", "/", None, socket=tmp_path / "nowhere", actor=name)


def test_the_socket_is_that_of_the_environment_first(tmp_path, monkeypatch):
    monkeypatch.setenv("OSTIARY_RUN_DIR", str(tmp_path))
    assert operator.default_socket() == tmp_path / "operator.sock"


def test_else_that_of_ostiary_up_in_this_directory(tmp_path, monkeypatch):
    monkeypatch.delenv("OSTIARY_RUN_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert operator.default_socket() == Path(".ostiary/run/operator.sock")


def test_a_command_may_name_socket_and_actor(tmp_path):
    parser = argparse.ArgumentParser()
    operator.add_arguments(parser)
    arguments = parser.parse_args(["--socket", str(tmp_path / "s"), "--actor", "ada"])
    with answering(tmp_path / "s", response(200, b'{"keys": []}')) as asked:
        assert operator.ask(arguments, "GET", "/admin/v1/keys") == {"keys": []}
    assert b"x-ostiary-actor: ada" in asked
