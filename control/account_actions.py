"""The lines of the admin API about service accounts and signing keys. Says what goes on record, does no work."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from control import problem
from control.accounts import Accounts
from control.admin import Action, Done, Wish
from control.bearer import SCOPE
from control.problem import Refusal, unavailable
from control.signing import Signing, SigningError
from control.wrapper import WrapError
from gateway.policy.model import Policy, TokenService
from gateway.registry.model import RegistryError

_PATH: Final = "/admin/v1/accounts"
_ONE: Final = f"{_PATH}/{{id}}"
_SIGNING: Final = "/admin/v1/signing-keys"
_CREATED: Final = 201


def actions(accounts: Accounts) -> tuple[Action, ...]:
    """One action for each line; only the answers of `create` and `rotate` hold a secret."""

    async def create(wish: Wish) -> Done:
        return _done(await accounts.create(_meant(wish.body), wish.by), _CREATED)

    async def listed(wish: Wish) -> Done:
        unknown = wish.query.keys() - {"tenant"}
        if unknown:
            raise problem.invalid(min(unknown)[:64], "unknown parameter")
        return Done({"accounts": await accounts.list(wish.query.get("tenant", ""))})

    async def show(wish: Wish) -> Done:
        return _done(await accounts.show(wish.names[0]))

    async def change(wish: Wish) -> Done:
        return _done(await accounts.change(wish.names[0], _meant(wish.body)))

    async def rotate(wish: Wish) -> Done:
        return _done(await accounts.rotate(wish.names[0], wish.body), _CREATED)

    async def disable(wish: Wish) -> Done:
        return _done(await accounts.disable(wish.names[0]))

    async def enable(wish: Wish) -> Done:
        return _done(await accounts.enable(wish.names[0]))

    async def delete(wish: Wish) -> Done:
        return _done(await accounts.delete(wish.names[0]))

    return (
        Action("account.list", "GET", _PATH, listed),
        Action("account.create", "POST", _PATH, create),
        Action("account.show", "GET", _ONE, show),
        Action("account.change", "PATCH", _ONE, change),
        Action("account.delete", "DELETE", _ONE, delete),
        Action("account.rotate", "POST", f"{_ONE}/rotate", rotate),
        Action("account.disable", "POST", f"{_ONE}/disable", disable),
        Action("account.enable", "POST", f"{_ONE}/enable", enable),
    )


def signing_actions(signing: Signing, policy: Callable[[], Policy]) -> tuple[Action, ...]:
    """The token service's signing keys: looked at, and turned ahead of time."""

    async def listed(_: Wish) -> Done:
        return Done({"signing_keys": [asdict(slot) for slot in signing.slots()]})

    async def rotate(wish: Wish) -> Done:
        distrust = wish.body.get("distrust", False)
        if type(distrust) is not bool or wish.body.keys() - {"distrust", "reason"}:
            raise problem.invalid("distrust", "expected true or false, and no other field")
        try:
            kid = await signing.turn(_service(policy()), distrust=distrust)
        except SigningError as failure:
            raise problem.conflict(f"The signing keys were not turned: {failure}.") from None
        except (RegistryError, WrapError):
            raise unavailable("The signing keys could not be turned: registry or vault are away.") from None
        return Done({"kid": kid}, subject=kid)

    return (
        Action("signing_key.list", "GET", _SIGNING, listed),
        Action("signing_key.rotate", "POST", f"{_SIGNING}/rotate", rotate),
    )


def _service(policy: Policy) -> TokenService:
    if policy.token_service is None:
        raise Refusal("no_token_service", "The policy in force has no token service.", status=problem.CONFLICT)
    return policy.token_service


def _meant(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The wish without `operator`, which must be true where the scopes open the admin API, and nowhere else.

    That scope stands above tenants: nobody shall give it to a tenant's service by copying a list of scopes.
    """
    scopes = body.get("scopes")
    opens = isinstance(scopes, list) and SCOPE in scopes
    if opens and body.get("operator") is not True:
        raise problem.invalid("scopes", f"{SCOPE} opens the whole admin API, for all tenants; say `operator` as well")
    if not opens and "operator" in body:
        raise problem.invalid("operator", f"means something only with the scope {SCOPE}")
    return {name: value for name, value in body.items() if name != "operator"}


def _done(told: Mapping[str, Any], status: int = 200) -> Done:
    return Done(told, status, tenant=str(told["tenant"]), subject=str(told["client_id"]))
