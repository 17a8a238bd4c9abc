"""The directory of `ostiary up` and `ostiary init`: certificates, keys, policy, envoy.yaml. Starts nothing.

What a person may edit (the policy) is written once and kept; what follows from ports and keys is written each time.
"""

import datetime as dt
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from authz import apikey
from gateway.clock import Clock
from gateway.policy.model import Policy
from gateway.policy.problem import PolicyError
from gateway.secrets import reference
from gateway.secrets.reference import SecretError
from ostiary import bundle, certificate
from ostiary.certificate import write_private
from ostiary.problem import Problem

if TYPE_CHECKING:
    from control.edge.spec import EdgeSpec

TENANTS: Final = ("acme", "globex")  # of policies/demo: the first redacts, the second blocks
BACKEND: Final = "demo"  # the name that policies/demo gives to its backend
CLAUDE: Final = "claude"  # the same server by Anthropic's dialect
NOVA: Final = "nova"  # the same server by AWS Bedrock's dialect
GEMINI: Final = "demo-gemini"  # the same server by Google's dialect
AWAY: Final = "away"  # the first backend of the pool that shows failover
_NOBODY: Final = "http://127.0.0.1:9"  # the discard service's port (RFC 863), where nothing listens
#: The demo model checks signatures made with its own key; id and region are part of the form alone.
_AWS_ID: Final = "AKIADEMODEMODEMODEMO"
_AWS_REGION: Final = "eu-central-1"
_PEPPER: Final = "v1"
_KEK_BYTES: Final = 32  # AES-256 (control/kek.py)
#: As policies/demo says it; the port follows the one that Envoy gets.
_ISSUER: Final = re.compile(r"^(  issuer: https://localhost:)[0-9]{1,5}$", re.MULTILINE)
#: A socket's path may have 107 bytes (unix(7)); "/worker-255.sock" and Envoy's "/envoy-admin.sock" need 18 of them.
_RUN_PATH_BYTES: Final = 107 - 18


@dataclass(frozen=True, slots=True)
class State:
    """Where everything lies below `root`."""

    root: Path

    @property
    def run(self) -> Path:
        """Sockets. A link to a short path when `root` is too long for them."""
        return (self.root / "run").resolve()

    @property
    def policy(self) -> Path:
        """The policy directory."""
        return self.root / "policy"

    @property
    def peppers(self) -> Path:
        """Peppers of the key digests."""
        return self.root / "secrets" / "peppers"

    @property
    def kek(self) -> Path:
        """What encrypts the token service's signing keys; for `ostiary control` alone."""
        return self.root / "control" / "kek"

    @property
    def keys(self) -> Path:
        """The demo keys in clear, for their owner alone: `tenant key` a line."""
        return self.root / "demo-keys"

    @property
    def credential(self) -> Path:
        """What the demo model demands as its provider key."""
        return self.root / "provider" / "credential"

    @property
    def aws_credential(self) -> Path:
        """The same as a pair of keys, for the backend whose requests are signed."""
        return self.credential.parent / "aws"

    @property
    def ca(self) -> Path:
        """The CA that clients must trust."""
        return self.root / "certs" / "ca.pem"

    @property
    def envoy(self) -> Path:
        """Envoy's configuration."""
        return self.root / "edge" / "envoy.yaml"

    @property
    def audit(self) -> Path:
        """Audit records."""
        return self.root / "audit"

    @property
    def logs(self) -> Path:
        """One log per part."""
        return self.root / "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What the caller decides about Envoy."""

    address: str
    port: int
    workers: int
    run: Path  # where the workers' sockets are, as Envoy sees them
    admin: Path  # Envoy's admin socket
    access_log: str


def create(root: Path) -> State:
    """Make the directories and secrets that are not there yet."""
    root = root.absolute()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    root.chmod(0o700)  # also of a directory that was there before: it holds keys
    state = State(root)
    _make_run(root / "run")
    # A directory per reader, so that a container can be given its own and no other's.
    owned = (state.policy, state.peppers.parent, state.kek.parent, state.credential.parent, state.envoy.parent)
    for directory in (*owned, state.audit, state.logs, root / "valkey"):
        directory.mkdir(mode=0o700, exist_ok=True)
    certificate.ensure(root / "certs", dt.datetime.now(dt.UTC))
    _once(state.peppers, f"{_PEPPER}: {secrets.token_hex(reference.PEPPER_BYTES)}\n")
    _once(state.kek, f"{_PEPPER}: {secrets.token_hex(_KEK_BYTES)}\n")
    _once(state.credential, f"sk-demo-{secrets.token_urlsafe(24)}\n")
    return state


def _make_run(run: Path) -> None:
    if run.is_symlink() and not run.exists():
        run.unlink()  # the short directory was cleaned away, for example by a reboot
    if len(os.fsencode(run)) > _RUN_PATH_BYTES and not run.exists():
        run.symlink_to(tempfile.mkdtemp(prefix="ostiary-"))
    run.mkdir(mode=0o750, exist_ok=True)


def _once(path: Path, content: str) -> None:
    if not path.exists():
        write_private(path, content.encode())


def write_policy(state: State, url: str, credential: Path | None, *, port: int) -> dict[str, str]:
    """Complete the policy: the demo's files unless edited, the backend's address, the demo keys. Returns the keys.

    `port` is Envoy's: the token service's clients compare the issuer with the address that they asked.
    """
    for source in sorted(_demo_policy().glob("*.yaml")):
        target = state.policy / source.name
        if not target.exists():
            shutil.copyfile(source, target)
    rules = state.policy / "policy.yaml"
    rules.write_text(_ISSUER.sub(rf"\g<1>{port}", rules.read_text(encoding="utf-8")), encoding="utf-8")
    backend: dict[str, object] = {"url": url}
    claude: dict[str, object] = {"url": url, "dialect": "anthropic"}
    gemini: dict[str, object] = {"url": url, "dialect": "gemini"}
    if credential is not None:
        backend["credential"] = {"file": str(credential.absolute())}
        claude["credential"] = {"file": str(credential.absolute()), "header": "x-api-key"}
        gemini["credential"] = {"file": str(credential.absolute()), "header": "x-goog-api-key"}
    nova: dict[str, object] = {"url": url, "dialect": "bedrock"}
    if credential is not None and credential == state.credential:
        line = f"{_AWS_ID}:{reference.read_secret(credential.absolute(), state.root).reveal()}\n"
        write_private(state.aws_credential, line.encode())
        nova["credential"] = {"aws": {"file": str(state.aws_credential.absolute()), "region": _AWS_REGION}}
    backends = {BACKEND: backend, CLAUDE: claude, NOVA: nova, GEMINI: gemini, AWAY: {"url": _NOBODY}}
    _write_yaml(state.policy / "backends.yaml", _others(state.policy / "backends.yaml") | backends)
    try:
        peppers = apikey.Peppers.of(reference.peppers(state.peppers))
    except SecretError as failure:
        raise Problem(str(failure), hint=f"Remove {state.peppers} and {state.keys} to start afresh.") from None
    keys = _keys(state, peppers)
    entries = {
        text.split("_")[1]: {
            "tenant": tenant,
            "principal": "demo",
            "digest": apikey.digest(text, peppers.secrets[peppers.current]),
            "pepper": peppers.current,
        }
        for tenant, text in keys.items()
    }
    (state.policy / "keys").mkdir(mode=0o700, exist_ok=True)
    _write_yaml(state.policy / "keys" / "demo.yaml", entries)
    return keys


def _others(path: Path) -> dict[str, object]:
    """The backends that somebody added: models may name them."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, UnicodeError):
        raise Problem(f"{path} is no YAML", hint="Mend it, or remove it to start afresh.") from None
    return found if isinstance(found, dict) else {}


def _demo_policy() -> Path:
    """policies/demo of the checkout or image, or the copy inside an installed package."""
    here = Path(__file__).parent
    for candidate in (here.parent / "policies" / "demo", here / "data" / "policy"):
        if candidate.is_dir():
            return candidate
    raise Problem("the demo policy is not there", hint="Run from a checkout, or reinstall ostiary.")


def _keys(state: State, peppers: apikey.Peppers) -> dict[str, str]:
    """The demo keys; the same ones after a restart."""
    if state.keys.exists():
        lines = [line.split() for line in state.keys.read_text(encoding="ascii").splitlines()]
        kept = {line[0]: line[1] for line in lines if len(line) == 2}
        if kept.keys() == set(TENANTS):
            return kept
    made = {
        tenant: apikey.mint(apikey.new_id(secrets.token_bytes), secrets.token_bytes, peppers).text for tenant in TENANTS
    }
    write_private(state.keys, "".join(f"{tenant} {key}\n" for tenant, key in made.items()).encode())
    return made


def write_envoy(state: State, edge: Edge) -> Policy:
    """Check the policy and write ostiary.yaml and envoy.yaml from it."""
    from control.edge import render  # noqa: PLC0415 -- Envoy's types take half a second, and not all need them

    wanted, policy = _wanted(state, edge)
    state.envoy.write_text(render.render(wanted, policy), encoding="utf-8")
    return policy


def move_envoy(state: State, edge: Edge, clock: Clock) -> tuple[Policy, bool]:
    """The same in parts, of which a running Envoy takes backends and pools. True: the rest waits for its restart."""
    from control.edge import dynamic  # noqa: PLC0415 -- as above
    from ostiary import edgefiles  # noqa: PLC0415

    wanted, policy = _wanted(state, edge)
    place = state.envoy.with_name("dynamic")
    done = edgefiles.publish(
        dynamic.parts(wanted, policy, str(place)),
        bootstrap=state.envoy,
        directory=place,
        admin=edge.admin,
        version=policy.version,
        clock=clock,
    )
    return policy, done.restart


def _wanted(state: State, edge: Edge) -> "tuple[EdgeSpec, Policy]":
    from control.edge import spec  # noqa: PLC0415
    from control.edge.mapping import SpecError  # noqa: PLC0415

    wanted = {
        "listener": {"address": edge.address, "port": edge.port},
        "tls": {"cert": "../certs/server.pem", "key": "../certs/server.key"},
        "workers": {"run_dir": str(edge.run), "count": edge.workers},
        "admin": {"socket": str(edge.admin)},
        "access_log": {"path": edge.access_log},
        "control": {"enabled": True},
        "policy_dir": "../policy",
    }
    source = state.envoy.with_name("ostiary.yaml")
    _write_yaml(source, wanted)
    try:
        return spec.read(source), bundle.load(state.policy)
    except (PolicyError, SpecError) as failure:
        raise Problem(str(failure), hint=f"The policy is in {state.policy}.") from None


def _write_yaml(path: Path, content: Mapping[str, object]) -> None:
    text = "# Written by ostiary at each start; changes of what it has written are lost.\n" + yaml.safe_dump(
        content, sort_keys=False
    )
    path.write_text(text, encoding="utf-8")
