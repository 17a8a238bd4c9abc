"""How many tokens a text has: exactly for OpenAI's public encodings, from above for models whose own is not public.

The tables live in the extension of `bpe-openai`. Importing its Python package would build them a second time, as
dictionaries of 70 MB in each worker, for functions that nobody calls here; so the extension alone is loaded, and each
table when the first text asks for it.
"""

import importlib.util
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from pathlib import Path
from typing import Any, Final, Protocol

#: What models.yaml may say of a model where its name tells nothing.
FAMILIES: Final = ("o200k", "cl100k", "claude", "other")
_ENCODINGS: Final = {"o200k": "o200k_base", "cl100k": "cl100k_base", "claude": "o200k_base", "other": "o200k_base"}

#: OpenAI's models by encoding (tiktoken, `model.py`). The first pattern that fits counts; names are of clients or of
#: operators, so the patterns are anchored and linear.
_BY_NAME: Final = (
    (re.compile(r"(?:.{0,64}/)?(?:ft:)?(?:chatgpt-4o|gpt-4o|gpt-4\.[15]|gpt-5|gpt-oss|o[134](?:-|\Z))"), "o200k"),
    (re.compile(r"(?:.{0,64}/)?(?:ft:)?(?:gpt-4(?:-|\Z)|gpt-3\.5|gpt-35)"), "cl100k"),
    (re.compile(r"(?:.{0,64}/)?(?:ft:)?(?:text-embedding-(?:ada-002|3-)|(?:davinci|babbage)-002)"), "cl100k"),
    (re.compile(r"(?:.{0,64}[/.])?claude-3"), "claude"),
    (re.compile(r"(?:.{0,64}[/.])?claude-(?:opus|sonnet|haiku)-4(?:-[0-6])?(?:-\d{8}|-latest)?(?:@|\Z)"), "claude"),
)

#: For models whose tokenizer is not public: hundredths of an o200k token. Recorded exchanges in English show Claude to
#: 4.6 at 100 to 116, Claude Opus 4.8 at 143; vocabularies of 32,000 tokens make a fifth to a third more.
_HUNDREDTHS: Final = {"o200k": 100, "cl100k": 100, "claude": 118, "other": 150}


class _Table(Protocol):
    def count(self, text: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """Counts for one family of models. Cheap to hold: tables are shared, and loaded by the first text."""

    family: str

    @property
    def exact(self) -> bool:
        """Whether it counts as the model does, or only never less."""
        return _HUNDREDTHS[self.family] == 100

    def count(self, text: str) -> int:
        """Tokens of a text that stands alone."""
        if not text:
            return 0
        wide = 0 if text.isascii() else len(text.encode("utf-8", "surrogatepass")) - len(text)
        return self.weigh(self.raw(text), len(text), wide)

    def raw(self, text: str) -> int:
        """Tokens of the encoding, before `weigh`."""
        table = _table(_ENCODINGS[self.family])
        try:
            return table.count(text)
        except UnicodeEncodeError:  # half a surrogate pair: JSON can spell it, UTF-8 cannot
            return table.count(text.encode("utf-8", "replace").decode())

    def weigh(self, raw: int, chars: int, wide: int) -> int:
        """What `raw` tokens of a text are to this family; `wide`: its bytes in UTF-8 beyond one a character.

        Other vocabularies know fewer words of other scripts, so those count half a token more for each such byte; none
        of them needs more tokens than there are bytes.
        """
        if self.exact:
            return raw
        return min(-(-raw * _HUNDREDTHS[self.family] // 100) + (wide + 1) // 2, chars + wide)


def tokenizer(model: str, family: str = "") -> Tokenizer:
    """The tokenizer of a model by its name, or of the family that the policy names."""
    return Tokenizer(family or family_of(model))


def family_of(model: str) -> str:
    """What the name tells; `other`, which counts most, where it tells nothing."""
    name = model.lower()
    return next((family for pattern, family in _BY_NAME if pattern.match(name)), "other")


def loaded(model: str, family: str = "") -> bool:
    """Whether counting for the model costs no loading: estimates that nobody pays for ask first."""
    return _ENCODINGS[family or family_of(model)] in _held


def read_once() -> tuple[Path, ...]:
    """The file that loaded tables were copied out of: nobody looks at its tables again."""
    return (Path(_bindings().__file__),) if _held else ()


_held: Final[set[str]] = set()


@cache
def _table(encoding: str) -> _Table:
    """Takes 20 to 70 ms and 20 to 35 MB once in a process."""
    table: _Table = _bindings().tokenizer_for_encoding(encoding)
    table.count("a")  # the library loads on first use; better here than inside an exchange
    _held.add(encoding)
    return table


@cache
def _bindings() -> Any:
    spec = importlib.util.find_spec("bpe_openai")  # finds, does not import
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("bpe-openai is not installed")
    for directory in spec.submodule_search_locations:
        for suffix in EXTENSION_SUFFIXES:
            path = Path(directory) / f"_bindings{suffix}"
            if path.is_file():
                name = "bpe_openai._bindings"
                loader = ExtensionFileLoader(name, str(path))
                found = importlib.util.spec_from_file_location(name, path, loader=loader)
                if found is None:
                    break
                module = sys.modules.get(name) or importlib.util.module_from_spec(found)
                loader.exec_module(module)
                return module
    raise ModuleNotFoundError("bpe-openai has no extension for this Python")
