"""A real vault with a provider's key in it, and a gateway whose policy takes it from there by AppRole."""

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openbao import Bao

#: What docs/credentials.md tells operators to write.
RULES = 'path "secret/data/llm/*" { capabilities = ["read"] }\n'
PATH = "secret/data/llm/main"
AWS_PATH = "secret/data/llm/aws"
SIGNED_MODEL = "signed"  # served by a backend whose requests are signed
REFRESH_S = 1
STALE_S = 8  # more than two deadlines of a request to the vault: a loaded machine is no outage


@dataclass(slots=True)
class Approle:
    """The files of one AppRole in a directory."""

    role_id: str
    secret_id: str = field(repr=False)


def prepare(bao: Bao) -> Approle:
    """Mounts, rules and a role: once in a vault's life."""
    bao.call("sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    bao.call("sys/auth/approle", {"type": "approle"})
    bao.call("sys/policies/acl/gateway", {"policy": RULES})
    role = {"token_policies": ["gateway"], "token_ttl": "60s", "token_max_ttl": "10m"}
    bao.call("auth/approle/role/gateway", role)
    made = bao.call("auth/approle/role/gateway/secret-id", {})["data"]["secret_id"]
    return Approle(bao.call("auth/approle/role/gateway/role-id")["data"]["role_id"], made)


def put(bao: Bao, value: str) -> None:
    """A new version of the provider's key."""
    bao.call(PATH, {"data": {"key": value}})


def put_aws(bao: Bao, key_id: str, secret: str) -> None:
    """A new version of the keys that requests are signed with."""
    bao.call(AWS_PATH, {"data": {"access_key": key_id, "secret_key": secret}})


def new_key() -> str:
    return f"sk-vaulted-{secrets.token_hex(12)}"


def section(address: str, **more: Any) -> dict[str, Any]:
    """`vault:` of a policy."""
    auth = {"approle": {"role_id_file": "role-id", "secret_id_file": "secret-id"}}
    return {"address": address, "auth": auth, "refresh_s": REFRESH_S, "stale_s": STALE_S, **more}


def into_policy(directory: Path, address: str, approle: Approle) -> None:
    """Backend "main" takes its key from the vault, and there is one more, whose requests are signed with keys of it."""
    for name, text in (("role-id", approle.role_id), ("secret-id", approle.secret_id)):
        file = directory / name
        file.touch(0o600)
        file.write_text(text)
    root = json.loads((directory / "policy.yaml").read_text())
    (directory / "policy.yaml").write_text(json.dumps(root | {"vault": section(address)}))
    backends = json.loads((directory / "backends.yaml").read_text())
    backends["main"]["credential"] = {"vault": {"path": PATH, "field": "key"}}
    signing = {"vault": {"path": AWS_PATH}, "region": "eu-central-1"}
    backends["signed"] = {"url": backends["main"]["url"], "dialect": "bedrock", "credential": {"aws": signing}}
    (directory / "backends.yaml").write_text(json.dumps(backends))
    models = json.loads((directory / "models.yaml").read_text())
    (directory / "models.yaml").write_text(json.dumps(models | {SIGNED_MODEL: "signed"}))
