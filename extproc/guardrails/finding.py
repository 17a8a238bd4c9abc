"""What a detector reports. Never the matched text: findings are written to logs and audit records."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """A span [start, end) of characters in the scanned text that one rule claims."""

    rule: str
    start: int
    end: int
    confidence: float = 1.0
