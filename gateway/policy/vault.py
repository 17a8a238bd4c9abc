"""The `vault` section of policy.yaml: which vault, and how workers log in to it. Asks no vault, opens no file."""

from typing import Final

from gateway.policy.field import Table, shape
from gateway.policy.issuer import FILE, read_url
from gateway.policy.model import Vault, VaultAuth
from gateway.policy.problem import Problems
from gateway.policy.tree import Broken

#: Each worker reads each secret so often: below a second a large fleet is a load test of its vault.
_REFRESH_S: Final = (1, 3600)
_STALE_S: Final = (1, 7 * 86_400)  # a week: longer than anybody leaves a vault sealed
#: Where Kubernetes puts the token of a pod's service account.
_JWT_FILE: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"

_SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_MOUNT: Final = shape(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,3}}", "where the method is mounted, such as approle")
_NAMESPACE: Final = shape(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,7}}/?", "a namespace such as team-a")
_ROLE: Final = shape(_SEGMENT, "the name of a role")
METHODS: Final = ("approle", "cert", "kubernetes", "token_file")


def read_vault(table: Table | None, problems: Problems) -> Vault | None:
    """The section of policy.yaml."""
    if table is None:
        return None
    address = read_url(table, "address", problems)
    if "?" in address:
        problems.add(table.mark, (*table.path, "address"), "has a query", "give scheme, host and port")
    ca_file = table.text("ca_file", FILE, default="")
    auth = _auth(table, problems)
    if address and not address.startswith("https://"):
        for name, path in (("ca_file", ca_file), ("auth", auth.cert_file)):
            if path:
                problems.add(table.mark, (*table.path, name), "certificates mean nothing without https")
    read = Vault(
        address=address,
        auth=auth,
        ca_file=ca_file,
        namespace=table.text("namespace", _NAMESPACE, default=""),
        refresh_s=table.integer("refresh_s", *_REFRESH_S, default=30),
        stale_s=table.integer("stale_s", *_STALE_S, default=3600),
    )
    if read.stale_s < read.refresh_s:
        problems.add(
            table.mark, (*table.path, "stale_s"), "shorter than refresh_s: each secret would end between readings"
        )
    table.close()
    return read


def _auth(table: Table, problems: Problems) -> VaultAuth:
    none = VaultAuth(method="token_file")
    auth = table.table("auth")
    if auth is None:
        hint = f"one of {', '.join(METHODS)}"
        problems.add(table.mark, (*table.path, "auth"), "missing", hint)
        return none
    nodes = {name: node for name in METHODS if (node := auth.node(name)) is not None}
    named = [name for name, node in nodes.items() if not isinstance(node, Broken)]  # reported already
    if len(named) > 1:
        problems.add(auth.mark, auth.path, "more than one way to log in", "keep one")
    elif not nodes:
        problems.add(auth.mark, auth.path, "no way to log in", f"one of {', '.join(METHODS)}")
    read = _method(named[0], auth) if len(named) == 1 else none
    auth.close()
    return read


def _method(name: str, auth: Table) -> VaultAuth:
    if name == "token_file":
        return VaultAuth(method=name, token_file=auth.text(name, FILE))
    table = auth.table(name)
    if table is None:
        return VaultAuth(method=name)
    mount = table.text("mount", _MOUNT, default=name)
    match name:
        case "approle":
            read = VaultAuth(
                method=name,
                mount=mount,
                role_id_file=table.text("role_id_file", FILE),
                secret_id_file=table.text("secret_id_file", FILE),
            )
        case "kubernetes":
            role, jwt_file = table.text("role", _ROLE), table.text("jwt_file", FILE, default=_JWT_FILE)
            read = VaultAuth(method=name, mount=mount, role=role, jwt_file=jwt_file)
        case _:
            read = VaultAuth(
                method=name,
                mount=mount,
                role=table.text("role", _ROLE, default=""),
                cert_file=table.text("cert_file", FILE),
                key_file=table.text("key_file", FILE),
            )
    table.close()
    return read
