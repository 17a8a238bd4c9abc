"""The dialects by name: `Backend.dialect` and the front doors'. The one place that knows them all."""

from types import MappingProxyType
from typing import Final

from extproc.translate.anthropic import ANTHROPIC
from extproc.translate.dialect import Dialect
from extproc.translate.openai import AZURE, OPENAI

_ALL: Final[tuple[Dialect, ...]] = (OPENAI, AZURE, ANTHROPIC)

DIALECTS: Final = MappingProxyType({each.name: each for each in _ALL})
#: Those that clients may speak: a front door serves them.
FRONTS: Final = (OPENAI.name, ANTHROPIC.name)
