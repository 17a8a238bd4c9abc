"""How tokens of a cloud are had for a backend: the `google` or `azure` block of its credential. Asks no endpoint."""

from typing import Final

from gateway.policy.field import Table, shape
from gateway.policy.issuer import read_url
from gateway.policy.model import Grant, VaultSecret
from gateway.policy.place import FILE, read_place
from gateway.policy.problem import Problems
from gateway.policy.tree import Broken

KINDS: Final = ("google", "azure")
_GOOGLE_URL: Final = "https://oauth2.googleapis.com/token"
_GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_AZURE_SCOPE: Final = "https://cognitiveservices.azure.com/.default"
#: Directory (tenant) and application (client) of Microsoft Entra: a UUID, or a verified domain for the directory.
_TENANT: Final = shape(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", "the directory's id or domain")
_CLIENT: Final = shape(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", "the application's id, a UUID")
_SCOPE: Final = shape(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}(?: [\x21\x23-\x5b\x5d-\x7e]{1,256}){0,7}", "scopes (RFC 6749)")


def read_grant(kind: str, table: Table, problems: Problems, *, vault: str) -> Grant:
    """The block. `vault`: why nothing can lie there."""
    google = kind == "google"
    url = read_url(table, "token_url", problems, optional=True)
    client, tenant = "", ""
    if not google:
        client = table.text("client", _CLIENT)
        tenant = table.text("tenant", _TENANT, default="" if url else None)
        if url and tenant:  # the one of the two that is not asked may be the one that was meant
            problems.add(table.mark, (*table.path, "tenant"), "token_url names the directory already", "remove one")
    proofs = ("account",) if google else ("secret", "certificate")
    named = [each for each in proofs if table.node(each) is not None]
    if len(named) != 1:
        problems.add(table.mark, table.path, f"needs one of {', '.join(proofs)}: where the secret lies")
    proof = named[0] if named else proofs[0]
    file, place = _lying(table.table(proof), problems, vault)
    grant = Grant(
        kind=kind,
        token_url=url or (_GOOGLE_URL if google else f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"),
        scope=table.text("scope", _SCOPE, default=_GOOGLE_SCOPE if google else _AZURE_SCOPE),
        client=client,
        ca_file=table.text("ca_file", FILE, default=""),
        proof=proof,
        file=file,
        vault=place,
    )
    table.close()
    return grant


def _lying(table: Table | None, problems: Problems, vault: str) -> tuple[str, VaultSecret | None]:
    """Where the secret lies: in a file or in the vault."""
    if table is None:
        return "", None
    place = None if isinstance(table.node("vault"), Broken) else table.table("vault")
    if place is not None and vault:
        problems.add(place.mark, place.path, vault)
    if place is not None and table.node("file") is not None:
        problems.add(table.mark, (*table.path, "file"), "the secret lies in a file or in the vault", "remove one")
    file = table.text("file", FILE, default=None if place is None else "")
    found = None if place is None else read_place(place, problems)
    table.close()
    return file, found
