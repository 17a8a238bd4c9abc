"""The dialects by name: `Backend.dialect` and the front doors'. The one place that knows them all."""

from types import MappingProxyType
from typing import Final

from extproc.translate.anthropic import ANTHROPIC
from extproc.translate.dialect import Dialect
from extproc.translate.gemini import GEMINI
from extproc.translate.openai import AZURE, OPENAI

_ALL: Final[tuple[Dialect, ...]] = (OPENAI, AZURE, ANTHROPIC, GEMINI)

DIALECTS: Final = MappingProxyType({each.name: each for each in _ALL})
#: Those whose clients are answered. The front doors of today speak the first two.
FRONTS: Final = (OPENAI.name, ANTHROPIC.name, GEMINI.name)
