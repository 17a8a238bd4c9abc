"""The policy, keys and credentials of a test stack, and the Envoy configuration that belongs to them."""

import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from authz import apikey
from extproc.detectors.catalogue import POLICY_IDS
from gateway.policy.load import load
from gateway.secrets import reference
from ports import free_port

if TYPE_CHECKING:
    from control.edge.spec import EdgeSpec
    from stack import Stack

#: What each provider is given; a test that finds one anywhere but at its own provider has found a leak.
PROVIDER_KEYS: Final = {
    "main": "sk-provider-main-0000",
    "other": "sk-provider-other-0000",
    "dead": "sk-provider-dead",
}
PEPPER: Final = "v1"
AUDIENCE: Final = "ostiary"  # of the token service

#: tenant -> its policy. JSON is YAML, so nothing here needs a YAML writer.
TENANTS: Final = {
    "acme": {"models": ["*"], "routes": ["*"]},
    "narrow": {"models": ["gpt-test"], "routes": ["/v1/chat/completions", "/v1/models"]},
    "slow": {"models": ["*"], "routes": ["*"], "rate": {"requests": 2, "window_s": 3600}},
    # Blocks what the others redact.
    "strict": {
        "models": ["*"],
        "routes": ["*"],
        "guards": {"request": {"pii.*": "block"}, "response": {"pii.*": "block"}},
    },
    # Sees everything, changes nothing: the control group.
    "watched": {
        "models": ["*"],
        "routes": ["*"],
        "guards": {"request": {"*": "flag"}, "response": {"*": "flag"}},
    },
}
#: key name -> (tenant, further fields)
KEYS: Final[dict[str, tuple[str, dict[str, object]]]] = {
    **{tenant: (tenant, {}) for tenant in TENANTS},
    "expired": ("acme", {"expires_at": 1_600_000_000}),
    "disabled": ("acme", {"disabled": True}),
}
MODELS: Final = {
    "gpt-test": "main",
    "gpt-other": "other",
    "gpt-dead": "dead",
    "gpt-keyless": "keyless",
    "gpt-open": "open",
    "gpt-secure": "secure",
    "claude-test": "anthropic",
}


@dataclass(frozen=True, slots=True)
class Bundle:
    """Where everything lies, and the keys in clear text."""

    directory: Path
    peppers: Path
    keys: Mapping[str, str]
    ids: Mapping[str, str]


def write(
    root: Path,
    ports: Mapping[str, int],
    *,
    limits: Mapping[str, int],
    tls: tuple[int, Path] | None = None,
    issuer: str = "",
) -> Bundle:
    """Write the policy directory and the pepper file.

    `tls`: port and CA of a provider behind TLS. `issuer`: of the token service, if the policy shall have one.
    """
    directory = root / "policy"
    directory.mkdir(mode=0o750)
    peppers_file = root / "peppers"
    _write(peppers_file, f"{PEPPER}: {secrets.token_hex(32)}\n", 0o600)
    peppers = apikey.Peppers.of(reference.peppers(peppers_file))
    keys, ids, entries = {}, {}, {}
    for name, (tenant, fields) in KEYS.items():
        minted = apikey.mint(apikey.new_id(secrets.token_bytes), secrets.token_bytes, peppers)
        keys[name], ids[name] = minted.text, minted.id
        entries[minted.id] = {
            "tenant": tenant,
            "principal": f"{name}-ci",
            "digest": minted.digest,
            "pepper": minted.pepper,
            **fields,
        }
    root_file: dict[str, object] = {
        "name": "test",
        "guards": {"request": {"*": "redact"}, "response": {"*": "redact"}},
        # A suite fails to authenticate more often in a minute than one address may, and then all of it is refused.
        "damping": {"failures": 1000},
    }
    if limits:
        root_file["limits"] = dict(limits)
    if issuer:
        root_file["token_service"] = {"issuer": issuer, "audience": AUDIENCE}
    files = {
        "policy.yaml": root_file,
        "tenants.yaml": TENANTS,
        "keys.yaml": entries,
        "models.yaml": MODELS,
        "backends.yaml": _backends(directory, ports, tls),
    }
    for name, content in files.items():
        (directory / name).write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    return Bundle(directory, peppers_file, keys, ids)


def _backends(directory: Path, ports: Mapping[str, int], tls: tuple[int, Path] | None) -> dict[str, object]:
    backends: dict[str, object] = {}
    for name, port in {**ports, "dead": free_port()}.items():
        _write(directory / f"{name}.key", PROVIDER_KEYS[name] + "\n", 0o600)
        backends[name] = {
            "url": f"http://127.0.0.1:{port}/base-{name}",
            "credential": {"file": f"{name}.key"},
        }
    main = ports["main"]
    backends["keyless"] = {"url": f"http://127.0.0.1:{main}", "credential": {"file": "nowhere.key"}}
    backends["open"] = {"url": f"http://localhost:{main}"}
    backends["anthropic"] = {
        "url": f"http://127.0.0.1:{main}/base-anthropic",
        "dialect": "anthropic",
        "credential": {"file": "main.key", "header": "x-api-key"},
    }
    port, authority = tls or (main, None)
    backends["secure"] = {
        "url": f"https://localhost:{port}/base-secure",
        "credential": {"file": "main.key", "header": "x-api-key"},
        **({"ca_file": str(authority)} if authority else {}),
    }
    return backends


def _write(path: Path, text: str, mode: int) -> None:
    path.touch(mode)
    path.write_text(text)


def envoy_yaml(stack: "Stack") -> str:
    """What `ostiary envoy render` would write for the stack."""
    spec = edge_spec(stack)
    from control.edge.render import render  # noqa: PLC0415  # half a second: only where Envoy starts

    return render(spec, load(stack.bundle.directory, rules=POLICY_IDS))


def edge_spec(stack: "Stack") -> "EdgeSpec":
    """What ostiary.yaml would say for the stack."""
    with warnings.catch_warnings():
        # envoy-data-plane declares its validators in a way that pydantic 2.12 warns about; not ours to change.
        warnings.simplefilter("ignore", DeprecationWarning)
        import control.edge.render  # noqa: F401, PLC0415
        from control.edge.spec import Control, EdgeSpec, Tls  # noqa: PLC0415

    edge = dict(stack.options.edge)
    edge.setdefault("control", Control(enabled=stack.options.control, remote_admin=stack.options.control))
    trust = {"client_ca": str(stack.authority.pem)} if stack.client_pair else {}
    own = {"cert": str(stack.server_cert.cert), "key": str(stack.server_cert.key)}
    tls = Tls(**{**own, **trust, **edge.pop("tls", {})})
    return EdgeSpec(
        tls=tls,
        run_dir=str(stack.run_dir),
        admin_socket=str(stack.admin_socket),
        policy_dir=str(stack.bundle.directory),
        port=stack.port,
        workers=stack.options.workers,
        access_log=str(stack.access_log_file),
        **edge,
    )
