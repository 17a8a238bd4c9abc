"""How requests of one backend are signed for AWS: the region, and where the keys lie. Signs nothing, reads no key."""

import re
from typing import Final

from gateway.policy.field import Table, shape
from gateway.policy.model import Signing, VaultSecret
from gateway.policy.place import FIELD, FILE, read_path
from gateway.policy.problem import Problems
from gateway.policy.tree import Broken

#: The dialect whose requests are signed: only there is the body known when the attempt is prepared.
SIGNED: Final = "bedrock"
REGION: Final = shape(r"[a-z]{2}(?:-[a-z]{2,10}){1,3}-[0-9]{1,2}", "a region such as eu-central-1")
#: AWS General Reference, "Amazon Bedrock endpoints", and interface endpoints of a VPC.
_HOST: Final = re.compile(
    r"(?:[a-z0-9-]+\.)?bedrock-runtime(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:vpce\.)?(?:amazonaws\.com(?:\.cn)?|api\.aws)"
)


def read_signing(table: Table, problems: Problems, host: str, *, vault: str) -> Signing:
    """A credential's `aws` block. `vault`: why nothing can lie there."""
    region = table.maybe("region", REGION)
    named = _HOST.fullmatch(host)
    if region is None and named is not None:
        region = named["region"]
    if region is None and table.node("region") is None:
        problems.add(table.mark, (*table.path, "region"), "missing", "the backend's host does not name it")
    place = None if isinstance(table.node("vault"), Broken) else table.table("vault")
    if place is not None and vault:
        problems.add(place.mark, place.path, vault)
    if place is not None and table.node("file") is not None:
        problems.add(table.mark, (*table.path, "file"), "the keys lie in a file or in the vault", "remove one")
    signing = Signing(
        region=region or "",
        file=table.text("file", FILE, default=None if place is None else ""),
        vault=() if place is None else _places(place, problems),
    )
    table.close()
    return signing


def _places(table: Table, problems: Problems) -> tuple[VaultSecret, ...]:
    """Fields of one path, so that a new key and its secret are always taken together. Names: the vault's AWS engine."""
    path = read_path(table, problems)
    fields = [
        table.text("access_key", FIELD, default="access_key"),
        table.text("secret_key", FIELD, default="secret_key"),
    ]
    token = table.maybe("session_token", FIELD)
    table.close()
    return tuple(VaultSecret(path=path, field=name) for name in (*fields, *(() if token is None else (token,))))
