"""Where the index of questions lives, by the settings of the process: nowhere else, in a Redis 8, or nowhere at all."""

import asyncio

import pytest

np = pytest.importorskip("numpy", reason="only with `make analysis`")

import valkey_server  # noqa: E402 -- after it is known to be there
from clocks import ManualClock  # noqa: E402
from ostiary import indexing  # noqa: E402
from ostiary.problem import Problem  # noqa: E402

PLACE = "a" * 64


@pytest.fixture
def hidden(monkeypatch):
    """Whether the process kept its memory to itself; this one must not, others look at it."""
    calls = []
    monkeypatch.setattr(indexing.undumpable, "apply", lambda: calls.append(True))
    return calls


@pytest.fixture
def configured(tmp_path, monkeypatch, hidden):
    peppers = tmp_path / "peppers"
    peppers.touch(0o600)
    peppers.write_text("v1: " + "ab" * 32 + "\n")
    monkeypatch.setenv("OSTIARY_PEPPERS_FILE", str(peppers))
    monkeypatch.setenv("OSTIARY_SIMILAR_URL", f"unix://similar:hunter2@{tmp_path}/nobody.sock")
    return peppers


async def test_without_the_setting_nothing_is_shared_and_no_pepper_is_read(monkeypatch, hidden):
    monkeypatch.delenv("OSTIARY_SIMILAR_URL", raising=False)
    monkeypatch.setenv("OSTIARY_PEPPERS_FILE", "/nowhere")
    assert await indexing.shared(ManualClock()) is None
    assert hidden == []


async def test_a_redis_that_is_away_keeps_nothing_from_starting(configured, hidden, capsys):
    shared = await indexing.shared(ManualClock())
    assert hidden == [True]
    assert not await asyncio.to_thread(shared.index.holds, "acme", PLACE)
    await shared.close()
    assert "hunter2" not in capsys.readouterr().out


async def test_a_server_without_vector_sets_is_a_sentence(configured, monkeypatch, tmp_path_factory):
    with valkey_server.running(tmp_path_factory.mktemp("v")) as valkey:
        monkeypatch.setenv("OSTIARY_SIMILAR_URL", valkey.url)
        with pytest.raises(Problem, match="OSTIARY_SIMILAR_URL has no vector sets") as caught:
            await indexing.shared(ManualClock())
    assert "Valkey has no vector sets" in caught.value.hint


async def test_a_pepper_file_that_others_may_read_is_a_sentence(configured):
    configured.chmod(0o644)
    with pytest.raises(Problem, match="index of like questions"):
        await indexing.shared(ManualClock())


async def test_an_address_in_the_clear_is_a_sentence_without_its_password(configured, monkeypatch):
    monkeypatch.setenv("OSTIARY_SIMILAR_URL", "redis://similar:hunter2@redis.example:6379")
    with pytest.raises(Problem, match="plaintext") as caught:
        await indexing.shared(ManualClock())
    assert "hunter2" not in str(caught.value)
