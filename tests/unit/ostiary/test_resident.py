"""Giving memory back: pages of files go and come again as they were; what was changed in memory alone stays."""

import ctypes
import mmap
import re
import sys
from pathlib import Path

import pytest
import structlog

from extproc.counting.tokenizer import Tokenizer, read_once
from ostiary import resident

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="madvise of Linux")
_SIZE = 64 * mmap.PAGESIZE


def _file(tmp_path: Path) -> Path:
    path = tmp_path / "table.bin"
    path.write_bytes(bytes(range(256)) * (_SIZE // 256))
    return path


def _resident_kib(path: Path) -> int:
    """Of every mapping of the file."""
    told = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    ours = [block for block in told if block.splitlines() and block.splitlines()[0].endswith(str(path))]
    return sum(int(found[1]) for block in ours if (found := re.search(r"(?m)^Rss:\s+(\d+)", block)))


def test_pages_of_a_file_that_was_read_once_are_given_back_and_come_again(tmp_path):
    path = _file(tmp_path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), _SIZE, mmap.MAP_PRIVATE, mmap.PROT_READ) as mapped:
        assert bytes(mapped) == path.read_bytes()
        assert _resident_kib(path) == _SIZE // 1024
        resident.give_back((path,))
        assert _resident_kib(path) == 0
        assert bytes(mapped) == path.read_bytes()


def test_pages_that_were_changed_in_memory_stay(tmp_path):
    path = _file(tmp_path)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), _SIZE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    mapped[:7] = b"changed"
    start = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    assert (
        ctypes.CDLL(None).mprotect(ctypes.c_void_p(start), ctypes.c_size_t(_SIZE), mmap.PROT_READ) == 0
    )  # as a loader
    resident.give_back((path,))
    assert mapped[:7] == b"changed"
    mapped.close()


def test_files_that_nobody_names_stay(tmp_path):
    path = _file(tmp_path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), _SIZE, mmap.MAP_PRIVATE, mmap.PROT_READ) as mapped:
        assert bytes(mapped) == path.read_bytes()
        resident.give_back()
        assert _resident_kib(path) == _SIZE // 1024


@pytest.mark.parametrize("file", ["absent", "unreadable"])
def test_where_the_system_does_not_tell_what_is_mapped_nothing_fails_and_one_line_says_so(tmp_path, monkeypatch, file):
    resident._say_once.cache_clear()
    # A directory stands for what may not be read: root, as whom tests may run, reads files of any mode.
    monkeypatch.setattr(resident, "_SMAPS", tmp_path if file == "unreadable" else tmp_path / "none")
    with structlog.testing.capture_logs() as told:
        resident.give_back((_file(tmp_path),))
        resident.give_back((_file(tmp_path),))
    assert [line["event"] for line in told] == ["memory_not_given_back"]


def test_tokens_are_counted_the_same_without_the_file_that_their_table_was_read_from():
    text = "What a table holds was copied: 27 words, 汉字, and 😀. " * 20
    before = Tokenizer("o200k").count(text)
    (file,) = read_once()
    resident.give_back((file,))
    assert _resident_kib(file) < 16 * 1024  # code and relocated tables; loading has read twice as much and more
    assert Tokenizer("o200k").count(text) == before
