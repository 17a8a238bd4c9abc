"""Who wrote a text, as far as a detector cares. Not where it stood in a request: that is the extractor's knowledge."""

from enum import StrEnum
from typing import Final


class Provenance(StrEnum):
    """Where the words come from. The same words mean different things: a document has no business giving orders."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    HISTORY = "history"
    TOOL_RESULT = "tool_result"
    DOCUMENT = "document"
    TOOL_DESCRIPTION = "tool_description"


#: Written by the tenant: giving the model its role and forbidding it to tell are what these texts are for.
TRUSTED: Final = frozenset({Provenance.SYSTEM, Provenance.DEVELOPER})
#: Written by neither the tenant nor the user: data, in which an order to the model is out of place.
FOREIGN: Final = frozenset({Provenance.TOOL_RESULT, Provenance.DOCUMENT, Provenance.TOOL_DESCRIPTION})
