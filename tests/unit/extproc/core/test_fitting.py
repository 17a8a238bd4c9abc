"""Each thing that speaks against a backend is told, and nothing where nothing does."""

from dataclasses import replace

from extproc.core.fitting import reasons
from gateway.policy.model import Model, Pool, Restriction
from worlds import policy

POOL = Pool(
    backends=("a", "b"),
    lacks={"a": frozenset({"tools", "image"})},
    context={"a": 100},
    restrictions=(Restriction(rule="pii.*", backends=frozenset({"b"})),),
)
TENANT = policy().tenants["acme"]
MODEL = Model(name="m", backend="a", pool=POOL)


def test_everything_is_told_at_once():
    tenant = replace(TENANT, backends=frozenset({"b"}))
    assert list(reasons(tenant, MODEL, "a", {"tools"}, 101, {"pii.card", "secret.key"})) == [
        "the tenant's requests may not go there",
        "it lacks tools",
        "it takes 100 tokens, and the request may need 101",
        "pii.card was found, which only b may see",
    ]


def test_what_fits_has_no_reasons_against_it():
    assert list(reasons(TENANT, MODEL, "a", {"json_schema"}, 100, {"secret.key"})) == []
    assert list(reasons(TENANT, MODEL, "b", {"tools"}, 10**6, {"pii.card"})) == []
    assert list(reasons(TENANT, replace(MODEL, pool=None), "a", {"tools"}, 10**6, {"pii.card"})) == []
