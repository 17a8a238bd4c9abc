"""The compiler step: what it makes, and what it calls stale."""

import pytest

from tools import protos

SOURCE = 'syntax = "proto3"; package ostiary.sample; message Sample { string name = 1; }'


@pytest.fixture
def root(tmp_path):
    (tmp_path / "protos").mkdir()
    (tmp_path / "protos" / "sample.proto").write_text(SOURCE)
    protos.generate(tmp_path, tmp_path)
    return tmp_path


def test_fresh_files_are_not_stale(root):
    assert protos.stale(root) == []


def test_changed_source_makes_its_files_stale(root):
    (root / "protos" / "sample.proto").write_text(SOURCE.replace("= 1", "= 2"))
    assert protos.stale(root) == ["protos/sample_pb2.py"]


def test_left_over_file_is_stale(root):
    (root / "protos" / "gone_pb2.py").write_text("")
    assert protos.stale(root) == ["protos/gone_pb2.py"]


def test_missing_file_is_stale(root):
    (root / "protos" / "sample_pb2.pyi").unlink()
    assert protos.stale(root) == ["protos/sample_pb2.pyi"]


def test_source_that_does_not_compile_stops(root, capfd):
    (root / "protos" / "sample.proto").write_text("message")
    with pytest.raises(SystemExit):
        protos.generate(root, root)


def test_checked_in_files_are_fresh():
    assert protos.stale(protos.ROOT) == []
