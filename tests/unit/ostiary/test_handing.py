"""Which part of control hands certificates out, if any; its socket, and its end."""

import json
from dataclasses import replace

import pytest

from clocks import ManualClock
from gateway.settings import Settings
from ostiary import handing
from ostiary.problem import Problem

REST = {"workers": {"run_dir": "run"}, "admin": {"socket": "admin.sock"}, "policy_dir": "policy"}
VAULT = {"address": "http://127.0.0.1:1", "auth": {"token_file": "none"}, "role": "edge", "names": ["a.example"]}


@pytest.fixture
def settings(tmp_path):
    return Settings(run_dir=tmp_path, edge_file=tmp_path / "ostiary.yaml")


def told(settings, tls):
    settings.edge_file.write_text(json.dumps({"tls": tls, **REST}))
    return handing.compose(settings, ManualClock())


def test_without_a_spec_or_with_files_nothing_is_handed_out(settings):
    assert handing.compose(replace(settings, edge_file=None), ManualClock()) is None
    assert told(settings, {"cert": "c", "key": "k"}) is None


def test_a_spec_that_cannot_be_used_is_a_problem(settings):
    with pytest.raises(Problem, match="OSTIARY_EDGE_FILE"):
        handing.compose(settings, ManualClock())
    with pytest.raises(Problem, match=r"tls\.vault\.role is missing"):
        told(settings, {"vault": {name: value for name, value in VAULT.items() if name != "role"}})


def test_before_there_is_a_certificate_its_end_is_told_as_none(settings):
    assert b"ostiary_listener_certificate_end_timestamp_seconds 0.0" in told(settings, {"vault": VAULT}).metrics()


async def test_its_socket_is_its_owners_and_goes_with_it(settings):
    made = told(settings, {"vault": VAULT})
    await made.start(settings)
    path = settings.run_dir / "secrets.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    await made.close()
    assert not path.exists()
