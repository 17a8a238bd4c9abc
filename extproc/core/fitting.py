"""Why a backend may not get a request, in words for operators: what `route` goes by. Chooses nothing. Pure."""

from collections.abc import Collection, Iterator

from gateway.policy.model import Model, Tenant


def reasons(
    tenant: Tenant, model: Model, name: str, features: Collection[str], tokens: int, fired: Collection[str]
) -> Iterator[str]:
    """Everything that speaks against it. `features` and `tokens`: what the request asks for; `fired`: rules."""
    if tenant.backends is not None and name not in tenant.backends:
        yield "the tenant's requests may not go there"
    pool = model.pool
    if pool is None:
        return
    lacking = sorted(pool.lacks.get(name, frozenset()) & set(features))
    if lacking:
        yield f"it lacks {', '.join(lacking)}"
    if tokens > pool.context.get(name, tokens):
        yield f"it takes {pool.context[name]} tokens, and the request may need {tokens}"
    for each in pool.restrictions:
        rules = sorted(rule for rule in fired if each.covers(rule))
        if rules and name not in each.backends:
            yield f"{', '.join(rules)} was found, which only {', '.join(sorted(each.backends))} may see"
