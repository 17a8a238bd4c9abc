"""Marks: the names by which a credential or its holder can be revoked. Pure.

A caller has up to five marks; one revoked mark refuses the caller. Marks are ids of registry entries.
"""

from enum import StrEnum

from gateway.identity import Caller


class What(StrEnum):
    """What a mark names."""

    KEY = "key"  # an API key's id, or the `jwt:`/`opaque:` id of one token, as audit records show it
    SUBJECT = "subject"  # a principal of a tenant
    CLIENT = "client"  # `client_id` of a tenant
    TENANT = "tenant"
    CERTIFICATE = "certificate"  # SHA-256 of its DER, lower-case hex


def mark(what: What, tenant: str, name: str) -> str:
    """The mark's text. Subjects and clients are names within a tenant; the others are unique by themselves."""
    if what in {What.SUBJECT, What.CLIENT}:
        return f"{what.value}:{tenant}/{name}"
    return f"{what.value}:{tenant if what is What.TENANT else name}"


def marks_of(caller: Caller) -> tuple[str, ...]:
    """Every mark of an identified caller."""
    found = [
        f"key:{caller.key_id}",
        f"subject:{caller.tenant}/{caller.principal}",
        f"tenant:{caller.tenant}",
    ]
    if caller.client:
        found.append(f"client:{caller.tenant}/{caller.client}")
    if caller.certificate:
        found.append(f"certificate:{caller.certificate}")
    return tuple(found)
