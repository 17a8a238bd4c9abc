"""A vault without a network: logins, tokens, secrets and leases of which a test decides everything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from clocks import ManualClock
from gateway.policy.model import Vault, VaultAuth, VaultSecret
from gateway.secrets.reference import Secret
from gateway.vault.wire import VaultError

PLACE = VaultSecret(path="secret/data/llm/openai", field="key")
LEASED = VaultSecret(path="database/creds/llm", field="password")
APPROLE = VaultAuth(method="approle", mount="approle", role_id_file="role-id", secret_id_file="secret-id")
VAULT = Vault(address="http://127.0.0.1:8200", auth=APPROLE)


def middle() -> float:
    """Draws no luck: every jitter is at its middle."""
    return 0.5


class FakeVault:
    """Satisfies `Asks`."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.fault: VaultError | None = None  # whatever is asked
        self.faults: dict[str, VaultError] = {}  # by path
        self.stored: dict[str, tuple[int, dict[str, Any]]] = {}
        self.tokens: dict[str, float] = {}  # text -> end
        self.token_ttl_s = 600
        self.renewable = True
        self.longest_s = 3600.0  # of a token, after its login
        self.lease_ttl_s = 100
        self.leases: dict[str, str] = {}  # id -> token
        self.lease_renewal_s = 100
        self.asked: list[tuple[str, str]] = []
        self.wishes: list[dict[str, Any]] = []
        self.logins = 0
        self.before: Callable[[str], None] = lambda path: None

    def dial(self, vault: Vault, directory: Path) -> "FakeVault":
        return self

    def paths(self) -> list[str]:
        return [path for _, path in self.asked]

    def put(self, path: str, version: int, **fields: Any) -> None:
        self.stored[path] = (version, fields)

    def revoke_all(self) -> None:
        self.tokens.clear()
        self.leases.clear()

    async def ask(
        self, method: str, path: str, *, token: Secret | None = None, wish: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        self.asked.append((method, path))
        self.wishes.append(wish or {})
        self.before(path)
        if self.fault or path in self.faults:
            raise self.fault or self.faults[path]
        if path.endswith("/login"):
            return self._login()
        text = token.reveal() if token is not None else ""
        if self.tokens.get(text, 0.0) <= self.clock.monotonic():
            raise VaultError("was answered 403", 403)
        return self._served(path, text, wish or {})

    def _login(self) -> dict[str, Any]:
        self.logins += 1
        text = f"token-{self.logins}"
        self.tokens[text] = self.clock.monotonic() + self.token_ttl_s
        return {
            "auth": {"client_token": text, "lease_duration": self.token_ttl_s, "renewable": self.renewable},
        }

    def _served(self, path: str, text: str, wish: dict[str, Any]) -> dict[str, Any]:
        now = self.clock.monotonic()
        match path:
            case "auth/token/lookup-self":
                return {"data": {"ttl": int(self.tokens[text] - now), "renewable": self.renewable}}
            case "auth/token/renew-self":
                ttl_s = int(min(self.token_ttl_s, self.longest_s))
                self.tokens[text] = now + ttl_s
                return {"auth": {"lease_duration": ttl_s}}
            case "auth/token/revoke-self":
                del self.tokens[text]
                return {}
            case "sys/leases/renew":
                if wish["lease_id"] not in self.leases:
                    raise VaultError("was answered 400", 400)
                return {"lease_id": wish["lease_id"], "lease_duration": self.lease_renewal_s, "renewable": True}
            case LEASED.path:
                lease_id = f"{path}/{len(self.asked)}"
                self.leases[lease_id] = text
                return {
                    "lease_id": lease_id,
                    "lease_duration": self.lease_ttl_s,
                    "renewable": True,
                    "data": {"username": "v-llm", "password": f"pw-{len(self.asked)}"},
                }
        if path not in self.stored:
            raise VaultError("was answered 404", 404)
        version, fields = self.stored[path]
        return {"lease_id": "", "lease_duration": 0, "data": {"data": fields, "metadata": {"version": version}}}


def write_auth(directory: Path) -> None:
    """The files that `APPROLE` names."""
    for name in ("role-id", "secret-id"):
        file = directory / name
        file.touch(0o600)
        file.write_text(f"the-{name}\n")
