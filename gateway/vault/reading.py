"""What a vault's answer to a read says: fields, version, lease. Pure; knows KV of both versions and leased secrets.

`of` makes the same of fields that come from elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.secrets.reference import Secret
from gateway.vault.wire import VaultError

#: It becomes a header, and Envoy takes 60 KiB of those together by default.
_VALUE_CHARS: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """One secret as it was read. `fields` holds those alone that can be a header's value, `texts` also longer ones."""

    fields: Mapping[str, Secret] = field(repr=False)
    texts: Mapping[str, Secret] = field(repr=False)
    version: int | str = 0  # a number in KV version 2, a word in AWS; 0: unknown
    lease_id: str = ""  # "": not leased, so nothing but the next reading tells of a change
    ttl_s: int = 0  # of the lease
    renewable: bool = False

    def says(self, other: "Reading") -> bool:
        """Whether the other one holds the same values."""
        return _revealed(self) == _revealed(other)


def read(answer: Mapping[str, Any]) -> Reading:
    """The secret in an answer. Raises VaultError where there is none."""
    data = answer.get("data")
    version = 0
    if isinstance(data, dict) and isinstance(data.get("metadata"), dict) and isinstance(data.get("data"), dict):
        told = data["metadata"].get("version")
        version, data = told if isinstance(told, int) else 0, data["data"]
    if not isinstance(data, dict):
        raise VaultError("was answered without a secret")
    found = of(data, version)
    lease_id, ttl_s = answer.get("lease_id"), whole(answer.get("lease_duration"))
    if not isinstance(lease_id, str) or not lease_id or not ttl_s:
        return found
    return replace(found, lease_id=lease_id, ttl_s=ttl_s, renewable=answer.get("renewable") is True)


def of(data: Mapping[str, Any], version: int | str) -> Reading:
    """What is of use in the fields of a secret that is stored."""
    fields = {name: Secret(text) for name, value in data.items() if (text := _line(value))}
    texts = {name: Secret(value) for name, value in data.items() if _is_text(value)}
    return Reading(fields, texts, version)


def whole(value: object) -> int:
    """A duration in seconds; 0 for what is none."""
    return value if type(value) is int and value > 0 else 0


def _revealed(reading: Reading) -> tuple[dict[str, str], dict[str, str]]:
    fields = {name: one.reveal() for name, one in reading.fields.items()}
    return fields, {name: one.reveal() for name, one in reading.texts.items()}


#: What stands between lines, and in front of them.
_BREAKS: Final = str.maketrans("", "", "\n\r\t")


def _is_text(value: object) -> bool:
    """Whether it may be a key in PEM or JSON: lines of visible ASCII."""
    if not isinstance(value, str) or len(value) > _VALUE_CHARS or not value.strip():
        return False
    return value.isascii() and value.translate(_BREAKS).isprintable()


def _line(value: object) -> str:
    """The value, if it can stand in a header: a line break in it would be a second one (RFC 9110, section 5.5)."""
    if not isinstance(value, str) or len(value) > _VALUE_CHARS:
        return ""
    text = value.removesuffix("\n").removesuffix("\r")  # whoever put it there from a file has put that too
    return text if text.isascii() and text.isprintable() else ""
