"""Worker sockets on disk."""

import socket

import pytest

from ostiary import socketfile
from ostiary.problem import Problem


@pytest.fixture
def place(tmp_path):
    return tmp_path / "worker-0.sock"


def listener(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    return server


def test_nothing_there_is_fine(place):
    socketfile.clear(place)


def test_what_a_dead_worker_left_is_removed(place):
    listener(place).close()
    socketfile.clear(place)
    assert not place.exists()


def test_a_living_worker_keeps_its_socket(place):
    with listener(place), pytest.raises(Problem, match="another process"):
        socketfile.clear(place)
    assert place.exists()


def test_another_file_is_never_removed(place):
    place.write_text("mine")
    with pytest.raises(Problem, match="not a socket"):
        socketfile.clear(place)
    assert place.read_text() == "mine"


def test_a_link_to_a_socket_is_not_followed(place, tmp_path):
    with listener(tmp_path / "other"):
        place.symlink_to(tmp_path / "other")
        with pytest.raises(Problem, match="not a socket"):
            socketfile.clear(place)


def test_a_socket_appears_complete_and_only_its_owner_withdraws_it(place, tmp_path):
    with listener(tmp_path / "w0.new") as first:
        inode = socketfile.publish(tmp_path / "w0.new", place, 0o660)
        assert place.stat().st_mode & 0o777 == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(place))
        first.close()
    with listener(tmp_path / "w0.new"):
        successor = socketfile.publish(tmp_path / "w0.new", place, 0o600)
        if successor != inode:  # a file system may give the same number again
            socketfile.withdraw(place, inode)
            assert place.exists()
        socketfile.withdraw(place, successor)
        assert not place.exists()
        socketfile.withdraw(place, successor)
