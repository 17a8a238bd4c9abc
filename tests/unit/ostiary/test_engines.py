import asyncio
import sys

import pytest

from clocks import ManualClock
from gateway.policy.problem import PolicyError
from ostiary import engines
from ostiary.child import Launch
from ostiary.engines import Engines, missing, wanted
from ostiary.supervisor import Supervisor

WAITS = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()"


def advisers(directory, text):
    (directory / "advisers.yaml").write_text(text)


def test_only_engines_of_ours_are_wanted(tmp_path):
    assert wanted(tmp_path) == ()
    advisers(
        tmp_path, "outside: {url: 'https://guard.example.com/v1'}\nnames: {engine: ner}\njudge: {engine: injection}\n"
    )
    assert wanted(tmp_path) == ("injection", "ner")
    advisers(tmp_path, "# nobody\n")
    assert wanted(tmp_path) == ()


def test_a_cache_that_compares_questions_wants_the_index(tmp_path):
    tenants = tmp_path / "tenants"
    tenants.mkdir()
    (tmp_path / "tenants.yaml").write_text("acme: {cache: {}}\nshop: {}\n")
    (tenants / "one.yaml").write_text("# nobody\n")
    assert wanted(tmp_path) == ()
    (tenants / "two.yaml").write_text("late: {cache: {scope: tenant, similar: {}}}\n")
    assert wanted(tmp_path) == ("similar",)
    advisers(tmp_path, "names: {engine: ner}\n")
    assert wanted(tmp_path) == ("ner", "similar")


@pytest.mark.parametrize(
    "text", ["names: {engine: nor}", "names: [", "- ner", "names: {engine: ner, url: 'https://x.y'}"]
)
def test_a_file_with_mistakes_is_refused_or_names_nothing(tmp_path, text):
    advisers(tmp_path, text)
    try:
        assert wanted(tmp_path) == ()
    except PolicyError:
        pass


def test_packages_that_are_missing_are_named(monkeypatch):
    monkeypatch.setattr(engines, "NEEDS", {"ner": ("sys", "no_such_package"), "injection": ("sys",)})
    assert missing(("ner", "injection")) == ["no_such_package"]
    assert missing(("injection",)) == []


@pytest.fixture
async def keeping(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "NEEDS", {"ner": ("sys",), "injection": ("sys",)})
    launched = []

    def launch(names):
        launched.append(names)
        return Launch(name="analysis", command=[sys.executable, "-c", WAITS], environ={})

    def supervise(launch):
        return Supervisor(
            workers=1,
            launch=launch,
            drain_s=5,
            clock=ManualClock(),
            chance=lambda: 0.0,
            restarted=lambda _: None,
            buried=lambda _: None,
            what="analysis",
        )

    made = Engines(policy_dir=tmp_path, launch=launch, supervise=supervise)
    yield made, launched
    await made.close()


async def running(keeping):
    async with asyncio.timeout(10):
        while (child := keeping._keeper.slots[0].child if keeping._keeper.slots else None) is None:
            await asyncio.sleep(0.01)
    return child


async def test_the_process_follows_the_policy(tmp_path, keeping):
    made, launched = keeping
    await made.follow()
    assert launched == []
    advisers(tmp_path, "names: {engine: ner}")
    await made.follow()
    first = await running(made)
    await made.follow()
    assert launched == [("ner",)]
    assert not first.ended
    advisers(tmp_path, "names: {engine: ner}\njudge: {engine: injection}")
    await made.follow()
    assert first.ended
    second = await running(made)
    assert launched[-1] == made.serving == ("injection", "ner")
    advisers(tmp_path, "names: [")
    await made.follow()
    assert not second.ended
    (tmp_path / "advisers.yaml").unlink()
    await made.follow()
    assert second.ended
    assert made.serving == ()


async def test_without_the_packages_nothing_is_started(tmp_path, keeping, monkeypatch):
    made, launched = keeping
    monkeypatch.setattr(engines, "NEEDS", {"ner": ("no_such_package",)})
    advisers(tmp_path, "names: {engine: ner}")
    await made.follow()
    assert (launched, made.serving) == ([], ())
