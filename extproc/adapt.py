"""What one attempt at one backend needs: path, authority, credential; and nothing of any other attempt. Pure.

Envoy shares request headers between attempts (design: Routing and attempts), so every known credential header and
everything of ours is removed before anything is set.
"""

import re
from collections.abc import Mapping
from typing import Final, Protocol

from extproc.core.commands import HeaderChange
from extproc.core.events import Headers
from extproc.translate.attempt import Sent
from gateway import contract
from gateway.errors import Dialect, GatewayError, Kind
from gateway.policy.model import Backend, Policy, Signing
from gateway.sigv4 import Ask, AwsKey, sign

#: Says who is behind the gateway; no provider needs to know.
_PRIVATE_HEADERS: Final = frozenset(
    {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-client-cert", "x-forwarded-host", "forwarded", "via",
     "traceparent", "tracestate", "baggage"},
)  # fmt: skip
#: Whose events the guards know. Other headers of this prefix switch on betas, whose events and blocks nobody here
#: knows, or say whom Anthropic shall bill: none of them is a client's to set.
_ANTHROPIC_PREFIX: Final = "anthropic-"
_ANTHROPIC_VERSION: Final = ("anthropic-version", "2023-06-01")
#: What Google, Azure and AWS take from headers beside the call: which fields to answer (without usage, budgets would
#: settle by an estimate), another method, who pays, which deployment answers. Only the gateway says so.
_STEERING_PREFIXES: Final = ("x-goog-", "x-vertex-", "azureml-", "x-http-method", "x-amz")
#: In whose name Bedrock's requests are signed, whatever its hosts are called (service model, `signingName`).
_AWS_SERVICE: Final = "bedrock"
#: Vertex AI names the version in front of the project, in the backend's URL; the Gemini API in front of the model.
_VERTEX: Final = "/publishers/google"
_GEMINI_VERSION: Final = re.compile(r"\A/v[0-9]+[a-z0-9]*(?=/models/)")
#: Envoy finds no route for a request without it; the route takes it off.
_SCHEME_HEADER: Final = "x-forwarded-proto"


class Keys(Protocol):
    """Provider credentials in memory."""

    def value(self, policy: Policy, backend: str) -> str | None:
        """The header value for a backend; "" when it needs none; None when there is none to be had."""
        ...

    def aws_key(self, policy: Policy, backend: str) -> AwsKey | None:
        """What requests to a backend are signed with; None when there is none to be had."""
        ...


def prepare(
    headers: Headers,
    backend_name: str,
    told: Mapping[str, str],
    policy: Policy | None,
    keys: Keys,
    sent: Sent | None = None,
    *,
    now_s: float,
    rewrite_host: bool = True,
) -> HeaderChange:
    """The header change for one attempt. Raises GatewayError when the attempt must not happen.

    `sent`: the request as the backend wants it, where that is not as the caller wrote it. `now_s`: the moment, by which
    a signature counts. `rewrite_host` False leaves authority and scheme to the route, which is chosen by them.
    """
    if policy is None:
        raise _refused(f"policy {told.get(contract.POLICY, 'none')} is not held here")
    allowed = told.get(contract.BACKENDS, "").split(",")
    backend = policy.backends.get(backend_name)
    if backend is None or backend_name not in allowed:
        raise _refused(f"host of backend {backend_name or 'unknown'} is outside the pinned set")
    secret = keys.value(policy, backend_name)
    if secret is None:
        raise _refused(f"no credential for backend {backend_name}")
    front = told.get(contract.FRONT_PATH, "")
    if not front.startswith("/"):
        raise _refused("inspect pinned no path")
    put = [(":path", _path(backend, front if sent is None else sent.path))]
    if rewrite_host:
        put.append((":authority", backend.authority))
    if backend.credential is not None and backend.credential.aws is not None:
        put += _signed(backend, backend.credential.aws, sent, keys.aws_key(policy, backend_name), now_s)
    elif backend.credential is not None and secret:
        put.append((backend.credential.header.lower(), secret))
    if backend.dialect == Dialect.ANTHROPIC:
        put.append(_ANTHROPIC_VERSION)
    if sent is None and (length := told.get(contract.BODY_BYTES)) and rewrite_host:
        put.append(("content-length", length))  # an attempt before this one may have had another body
    if sent is not None:
        put += [header for header in sent.headers if header[0] != _ANTHROPIC_VERSION[0]]
    written = {name for name, _ in put}
    if not rewrite_host:
        written.add(_SCHEME_HEADER)
    # A header of another backend's own choice opens that backend: an earlier attempt or a client may have set it.
    others = {other.credential.header.lower() for other in policy.backends.values() if other.credential is not None}
    remove = tuple(sorted({name for name, _ in headers if (_foreign(name) or name in others) and name not in written}))
    return HeaderChange(put=tuple(put), remove=remove)


def _path(backend: Backend, path: str) -> str:
    if backend.dialect == "gemini" and backend.base_path.endswith(_VERTEX):
        path = _GEMINI_VERSION.sub("", path)
    return backend.base_path + path


def _signed(
    backend: Backend, signing: Signing, sent: Sent | None, key: AwsKey | None, now_s: float
) -> tuple[tuple[str, str], ...]:
    """What makes an attempt one that AWS takes: it is made of the path, the host and the body that leave."""
    if sent is None:
        raise _refused("a request is signed with a body that is not known")
    if key is None:
        raise _refused(f"no key to sign for backend {backend.name}")
    path, _, query = sent.path.partition("?")
    ask = Ask(
        method="POST",
        host=backend.authority,
        path=backend.base_path + path,
        query=query,
        headers=sent.headers,
        body=sent.body,
    )
    return sign(ask, key, region=signing.region, service=_AWS_SERVICE, now_s=now_s)


def _foreign(name: str) -> bool:
    return (
        name in contract.CREDENTIAL_HEADERS
        or name in _PRIVATE_HEADERS
        or name == contract.ACCEPT_ENCODING
        or name.startswith((*contract.OWNED_PREFIXES, _ANTHROPIC_PREFIX, *_STEERING_PREFIXES))
    )


def _refused(cause: str) -> GatewayError:
    return GatewayError(Kind.BACKEND_UNAVAILABLE, "The model is not available at the moment.", cause=cause)
