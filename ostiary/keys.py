"""Makes API keys for operators: the key for its owner, the record for the policy. Stores neither."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from authz import apikey
from gateway.policy.problem import PolicyError, nearest
from gateway.secrets import reference
from gateway.secrets.reference import SecretError
from ostiary import bundle
from ostiary.problem import Problem


@dataclass(frozen=True, slots=True)
class NewKey:
    """`text` is the secret; `record` is YAML for keys.yaml."""

    text: str = field(repr=False)
    record: str


def make(tenant: str, principal: str, scopes: Sequence[str], peppers: apikey.Peppers) -> NewKey:
    """A new key under the current pepper."""
    minted = apikey.mint(apikey.new_id(secrets.token_bytes), secrets.token_bytes, peppers)
    entry: dict[str, object] = {"tenant": tenant, "principal": principal}
    if scopes:
        entry["scopes"] = list(scopes)
    entry |= {"digest": minted.digest, "pepper": minted.pepper}
    return NewKey(minted.text, yaml.safe_dump({minted.id: entry}, sort_keys=False))


def new(tenant: str, principal: str, scopes: Sequence[str], peppers_file: Path, policy: Path | None) -> int:
    """`ostiary keys new`: print the key, once, and what to paste."""
    try:
        peppers = apikey.Peppers.of(reference.peppers(peppers_file))
        if policy is not None:
            tenants = bundle.load(policy).tenants
            if tenant not in tenants:
                raise Problem(f"{policy} has no tenant {tenant!r}", hint=nearest(tenant, tenants))
    except SecretError as failure:
        raise Problem(str(failure), hint="A pepper file has a line such as `v1: $(openssl rand -hex 32)`.") from None
    except PolicyError as failure:
        raise Problem(str(failure)) from None
    made = make(tenant, principal, scopes, peppers)
    print(f"The key, shown this once. Give it to its owner:\n\n  {made.text}\n")
    print(f"Its record, without the key. Paste it into keys.yaml of the policy:\n\n{made.record}")
    return 0
