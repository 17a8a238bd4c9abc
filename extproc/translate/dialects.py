"""The dialects by name: `Backend.dialect` and the front doors'. The one place that knows them all."""

from types import MappingProxyType
from typing import Final

from extproc.translate.anthropic import ANTHROPIC
from extproc.translate.bedrock import BEDROCK
from extproc.translate.dialect import Back, Front
from extproc.translate.gemini import GEMINI
from extproc.translate.openai import AZURE, OPENAI
from extproc.translate.responses import RESPONSES

_BACKS: Final[tuple[Back, ...]] = (OPENAI, AZURE, ANTHROPIC, GEMINI, BEDROCK)
#: Those whose backends are asked, by name.
DIALECTS: Final = MappingProxyType({each.name: each for each in _BACKS})
_FRONTS: Final[tuple[Front, ...]] = (OPENAI, RESPONSES, ANTHROPIC, GEMINI)

#: Those whose clients are answered, by name.
FRONTS: Final = MappingProxyType({each.name: each for each in _FRONTS})
