"""One tenant, its keys and a request builder for the tests of authz. Holds no fake that does I/O."""

from dataclasses import replace

from authz.apikey import Peppers, mint
from authz.decide import Ask
from gateway.policy.model import Key, Limits, Policy, RateLimit, Tenant
from protos.ext_authz_pb2 import CheckRequest

NOW_S = 1_800_000_000.0
PEPPERS = Peppers(current="v2", secrets={"v1": bytes(range(32)), "v2": bytes(range(32, 64))})
REQUEST_ID = "7e0f0c6e-3a52-4b7e-9d0c-2a8a6f1f3f11"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def ones(count: int) -> bytes:
    return b"\x01" * count


def _key(key_id: str, tenant: str = "acme", **changes) -> tuple[str, Key]:
    minted = mint(key_id, ones, PEPPERS)
    record = Key(
        id=minted.id,
        tenant=tenant,
        principal=f"{key_id[:5]}@{tenant}",
        scopes=("chat", "embed"),
        digest=minted.digest,
        pepper=minted.pepper,
    )
    return minted.text, replace(record, **changes)


GOOD, _good = _key("alice0000001")
EXPIRED, _expired = _key("oscar0000001", expires_at=int(NOW_S))
DISABLED, _disabled = _key("dinah0000001", disabled=True)
NARROW, _narrow = _key("nancy0000001", tenant="narrow")
LIMITED, _limited = _key("larry0000001", tenant="limited", rate=RateLimit(requests=5))
ORPHAN, _orphan = _key("orson0000001", tenant="gone")
UNKNOWN = mint("nobody000001", ones, PEPPERS).text


def _tenant(tenant_id: str, routes: frozenset[str] = frozenset({"*"}), rate: RateLimit | None = None) -> Tenant:
    return Tenant(id=tenant_id, models=frozenset({"*"}), routes=routes, request={}, response={}, rate=rate)


TENANTS = [
    _tenant("acme"),
    _tenant("narrow", routes=frozenset({"/v1/models"})),
    _tenant("limited", rate=RateLimit(requests=50)),
]
KEYS = [_good, _expired, _disabled, _narrow, _limited, _orphan]
POLICY = Policy(
    version="p-0123456789ab",
    name="test",
    tenants={tenant.id: tenant for tenant in TENANTS},
    keys={key.id: key for key in KEYS},
    models={},
    backends={},
    limits=Limits(body_bytes=1000),
)


class NoKeys:
    """Issuers whose keys could not be had."""

    def usable(self, issuer):
        return None

    async def renew(self, issuer):
        return False


def bearer(key: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {key}")


def ask(*headers: tuple[str, str], method: str = "POST", target: str = "/v1/chat/completions") -> Ask:
    return Ask(method, target, headers)


def raw(asked: Ask, *, joined: bool = False) -> bytes:
    """What Envoy sends: raw header bytes, or values `joined` by comma as without encode_raw_headers."""
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.path = asked.method, asked.target
    message.attributes.source.certificate = asked.certificate
    for name, value in asked.headers:
        if joined:
            http.headers[name] = f"{http.headers[name]},{value}" if name in http.headers else value
        else:
            http.header_map.headers.add(key=name, raw_value=value.encode("latin-1"))
    return message.SerializeToString()
