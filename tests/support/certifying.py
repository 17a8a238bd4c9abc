"""A real vault that signs the listener's certificate: a root, an intermediate that signs, a role, an AppRole for control."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from control.edge import spec
from openbao import Bao

#: What docs/credentials.md tells operators to write.
RULES = (
    'path "pki-edge/sign/listener" { capabilities = ["update"] }\n'
    'path "pki-clients/issuers" { capabilities = ["read", "list"] }\n'
    'path "pki-clients/issuer/*" { capabilities = ["read"] }\n'
)
ROLE = {
    "allowed_domains": "localhost",
    "allow_bare_domains": True,
    "allow_ip_sans": True,
    "key_type": "ec",
    "key_bits": 256,
    "client_flag": False,
    "max_ttl": "1h",
    "no_store": True,
}


class EdgePki:
    """The engines, and the files that control and clients need, in a directory."""

    def __init__(self, bao: Bao, directory: Path) -> None:
        self._bao = bao
        self._directory = directory
        for mount in ("pki-root", "pki-edge", "pki-clients"):
            bao.call(f"sys/mounts/{mount}", {"type": "pki", "config": {"max_lease_ttl": "48h"}})
        root = bao.call("pki-root/root/generate/internal", {"common_name": "root", "ttl": "48h", "key_type": "ec"})
        self.root = directory / "root.pem"
        self.root.write_text(root["data"]["certificate"] + "\n")
        self.new_intermediate()
        self.let(ROLE["max_ttl"])
        bao.call("sys/auth/approle", {"type": "approle"})
        bao.call("sys/policies/acl/edge", {"policy": RULES})
        bao.call("auth/approle/role/edge", {"token_policies": ["edge"], "token_ttl": "60s", "token_max_ttl": "10m"})
        for name, path, body in (("role-id", "role-id", None), ("secret-id", "secret-id", {})):
            told = bao.call(f"auth/approle/role/edge/{path}", body)["data"][name.replace("-", "_")]
            file = directory / name
            file.touch(0o600)
            file.write_text(told)

    def new_intermediate(self) -> None:
        """The CA that signs is replaced; the root, which clients know, stays."""
        wish = {"common_name": "edge", "key_type": "ec"}
        csr = self._bao.call("pki-edge/intermediate/generate/internal", wish)["data"]["csr"]
        signed = self._bao.call("pki-root/root/sign-intermediate", {"csr": csr, "ttl": "24h"})["data"]["certificate"]
        made = self._bao.call("pki-edge/intermediate/set-signed", {"certificate": signed})["data"]
        self._bao.call("pki-edge/config/issuers", {"default": made["imported_issuers"][0]})

    def let(self, max_ttl: str) -> None:
        """The longest life that the role gives."""
        self._bao.call("pki-edge/roles/listener", {**ROLE, "max_ttl": max_ttl})

    def new_client_authority(self, name: str) -> str:
        """One more CA of clients, which signs from now on; returns its id."""
        wish = {"common_name": name, "ttl": "24h", "key_type": "ec", "issuer_name": name}
        made = self._bao.call("pki-clients/root/rotate/internal", wish)["data"]["issuer_id"]
        self._bao.call("pki-clients/config/issuers", {"default": made})
        role = {"allow_any_name": True, "key_type": "ec", "client_flag": True, "server_flag": False, "max_ttl": "1h"}
        self._bao.call("pki-clients/roles/client", role)
        return str(made)

    def client(self, name: str) -> tuple[Path, Path]:
        """A client's certificate and key, of the CA that signs now."""
        issued = self._bao.call("pki-clients/issue/client", {"common_name": name, "ttl": "30m"})["data"]
        cert, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        cert.write_text(issued["certificate"] + "\n")
        key.touch(0o600)
        key.write_text(issued["private_key"] + "\n")
        return cert, key

    def spec(self, **more: Any) -> tuple[Path, dict[str, Any]]:
        """The spec that control reads, and what a stack's edge takes of it."""
        auth = {"approle": {"role_id_file": "role-id", "secret_id_file": "secret-id"}}
        vault = {
            "address": self._bao.url,
            "auth": auth,
            "mount": "pki-edge",
            "role": "listener",
            "names": ["localhost"],
            "addresses": ["127.0.0.1"],
            "lasts_s": 3600,
            "clients_mount": "pki-clients",
            "refresh_s": 1,
        }
        unused = {"workers": {"run_dir": "run"}, "admin": {"socket": "admin.sock"}, "policy_dir": "policy"}
        file = self._directory / "ostiary.yaml"
        file.write_text(json.dumps({"tls": {"vault": vault, "client_certificates": "optional"}, **unused, **more}))
        tls = spec.read(file).tls
        return file, {each.name: getattr(tls, each.name) for each in fields(tls)}
