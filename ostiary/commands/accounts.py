"""`ostiary accounts`: service accounts of the token service. A client of control's admin API; makes no token."""
# ruff: noqa: PLC0415 -- libraries load late, so that `ostiary --help` is instant

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from ostiary import operator
from ostiary.commands import moment, table
from ostiary.problem import Problem

_PATH: Final = "/admin/v1/accounts"
_ABOUT: Final = """\
Service accounts: machines that fetch short-lived tokens from this gateway (OAuth 2.0, client_credentials) instead of
carrying an API key about. `token_service` of the policy must be set (policies/README.md).

An account belongs to one tenant, has the scopes that its tokens may have at most, and proves itself in one way:
  a secret       the default; shown once, kept as a digest
  --jwks FILE    it signs assertions with its own private key (private_key_jwt); nobody else ever holds a secret
  --san-uri ...  it shows a client certificate (tls_client_auth); its tokens count only with that certificate

examples:
  ostiary accounts create --tenant acme --principal nightly --scope chat
  ostiary accounts create --tenant acme --principal ci --jwks ci-public.json --token-life 60s
  ostiary accounts create --tenant acme --principal batch --san-uri spiffe://acme.example/batch
  ostiary accounts rotate-secret svc-k7d2m0q9x4ab --overlap 12h --secret-file new.secret
  ostiary accounts change svc-k7d2m0q9x4ab --scope chat --scope embed
  ostiary accounts disable svc-k7d2m0q9x4ab --reason "left running by accident"

a token, with curl (the secret from a file, not from the command line):
  curl -sS -K- https://gateway.example.com/oauth2/token -d grant_type=client_credentials \\
      <<< "user = \\"svc-k7d2m0q9x4ab:$(cat secret)\\""

`disable` and `delete` end new tokens and those that are out within a second. `ostiary revoke client` does the same to
tokens alone, and `ostiary revoke token` to one of them.
"""
_ABOUT_ROTATE: Final = """\
A new secret beside the old one, which counts until the overlap ends. Deploy the new one meanwhile. Of older secrets
none counts any more. With --overlap 0s the old one ends at once: for one that leaked.
"""
_ABOUT_CHANGE: Final = """\
Changes what is named, and nothing else. A list replaces the list before. Tenant, principal and the way in which the
client proves itself stay: for another one, make another account.
"""
_MAX_FILE_BYTES: Final = 64 * 1024  # what control takes at most
_COLUMNS: Final = ("CLIENT", "TENANT", "PRINCIPAL", "STATE", "METHOD", "SCOPES", "EXPIRES")
_Actions = argparse._SubParsersAction  # noqa: SLF001 -- argparse has no public name


def add(commands: "_Actions[argparse.ArgumentParser]") -> None:
    """Put the command into the parser of `ostiary`."""
    parser = _parser(commands, "accounts", "service accounts, which fetch short-lived tokens", None, _ABOUT)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = _common(_parser(actions, "create", "make one, and show its secret once", _create))
    create.add_argument("--tenant", required=True, help="whose account it is")
    create.add_argument("--principal", required=True, help="under which name it stands in records, for example nightly")
    _add_rights(create)
    _add_proof(create)
    _add_secret_file(create)
    listed = _common(_parser(actions, "list", "show all of them", _list), reason=False)
    listed.add_argument("--tenant", default="", help="only those of this tenant")
    show = _common(_parser(actions, "show", "show one, without its secret", _show), reason=False)
    change = _common(_parser(actions, "change", "other scopes, keys, certificate or times", _change, _ABOUT_CHANGE))
    _add_rights(change)
    _add_proof(change)
    rotate = _common(_parser(actions, "rotate-secret", "a new secret beside the old one", _rotate, _ABOUT_ROTATE))
    rotate.add_argument(
        "--overlap", type=moment.span_s, metavar="SPAN", help="how long the old one goes on (default: 24h)"
    )
    _add_secret_file(rotate)
    parsers = [show, change, rotate]
    for name, summary in (
        ("disable", "no new tokens, and its tokens count no more"),
        ("enable", "take that back"),
        ("delete", "remove it for good; its id never comes again"),
    ):
        parsers.append(_common(_parser(actions, name, summary, _end)))
    for one in parsers:
        one.add_argument("client_id", metavar="CLIENT", help="as `list` shows it")


def _parser(
    actions: "_Actions[argparse.ArgumentParser]",
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], int] | None,
    about: str = "",
) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name,
        help=summary,
        description=about or f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def _common(parser: argparse.ArgumentParser, *, reason: bool = True) -> argparse.ArgumentParser:
    if reason:
        parser.add_argument("--reason", default="", help="a sentence for the record")
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
    operator.add_arguments(parser)
    return parser


def _add_rights(parser: argparse.ArgumentParser) -> None:
    several = "; may be given several times"
    parser.add_argument("--scope", action="append", help=f"that its tokens may have{several}")
    parser.add_argument("--operator", action="store_true", help="needed for the scope ostiary.admin: the admin API")
    parser.add_argument("--audience", action="append", help=f"for which it gets tokens{several} (default: the gateway)")
    parser.add_argument("--token-life", type=moment.span_s, metavar="SPAN", help="30s to 60m (default: the policy's)")
    parser.add_argument("--expires", type=moment.ending, metavar="WHEN", help=f"its own end: {moment.EXPECTED}")


def _add_proof(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jwks", type=Path, metavar="FILE", help="a JWK Set of its public keys")
    parser.add_argument("--algorithm", action="append", help="of its assertions (default: the one that fits the keys)")
    parser.add_argument("--san-uri", metavar="URI", help="that its certificate must name, for example a SPIFFE id")
    parser.add_argument("--san-dns", metavar="NAME", help="DNS name that its certificate must name")
    parser.add_argument("--subject", help='of its certificate, as RFC 4514 writes it: "CN=batch,O=Acme"')
    parser.add_argument(
        "--pin", action="append", metavar="SHA256|FILE", help="public key of its certificate: hex, or a PEM certificate"
    )


def _add_secret_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--secret-file", type=Path, metavar="FILE", help="write the secret there, mode 0600, not here")


# --- actions -----------------------------------------------------------------------------------------------


def _create(arguments: argparse.Namespace) -> int:
    wish = {"tenant": arguments.tenant, "principal": arguments.principal, **_wanted(arguments)}
    wish["method"] = "private_key_jwt" if "jwks" in wish else "tls_client_auth" if "certificate" in wish else _BASIC
    _refuse_existing(arguments.secret_file)
    told = operator.ask(arguments, "POST", _PATH, wish)
    return _tell_secret(arguments, told, f"Made: {told['client_id']}")


def _list(arguments: argparse.Namespace) -> int:
    from urllib.parse import urlencode

    query = f"?{urlencode({'tenant': arguments.tenant})}" if arguments.tenant else ""
    told = operator.ask(arguments, "GET", _PATH + query)
    if arguments.json:
        return _print_json(told)
    rows = [
        (
            one["client_id"],
            one["tenant"],
            one["principal"],
            one["state"],
            one["method"],
            " ".join(one["scopes"]) or "-",
            moment.told(one["expires_at"], absent="never"),
        )
        for one in told["accounts"]
    ]
    shown = table.columns(_COLUMNS, rows, colour=sys.stdout.isatty())
    print(shown if rows else "There are no service accounts.")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    return _tell(arguments, operator.ask(arguments, "GET", _one(arguments)))


def _change(arguments: argparse.Namespace) -> int:
    wish = _wanted(arguments)
    if not wish.keys() - {"reason"}:
        raise Problem("nothing to change was named", hint="ostiary accounts change --help")
    return _tell(arguments, operator.ask(arguments, "PATCH", _one(arguments), wish))


def _rotate(arguments: argparse.Namespace) -> int:
    wish = _reason(arguments) | ({} if arguments.overlap is None else {"overlap_s": arguments.overlap})
    _refuse_existing(arguments.secret_file)
    told = operator.ask(arguments, "POST", f"{_one(arguments)}/rotate", wish)
    ends = moment.told(told["previous_expires_at"], absent="now")
    return _tell_secret(arguments, told, f"{told['client_id']} has a new secret. The one before counts until {ends}.")


def _end(arguments: argparse.Namespace) -> int:
    if arguments.action == "delete":
        told = operator.ask(arguments, "DELETE", _one(arguments), _reason(arguments))
    else:
        told = operator.ask(arguments, "POST", f"{_one(arguments)}/{arguments.action}", _reason(arguments))
    if arguments.json:
        return _print_json(told)
    print(f"{_DONE[arguments.action]}: {told['client_id']}")
    return 0


_BASIC: Final = "client_secret_basic"
_DONE: Final = {"disable": "Disabled", "enable": "Enabled", "delete": "Deleted"}


# --- from arguments to a wish ------------------------------------------------------------------------------


def _wanted(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `create` and `change` have in common: only what was given."""
    named = {"uri": arguments.san_uri, "dns": arguments.san_dns, "subject": arguments.subject}
    certificate: dict[str, Any] = {name: value for name, value in named.items() if value}
    if arguments.pin:
        certificate["spki_sha256"] = [_pin(given) for given in arguments.pin]
    if certificate and arguments.jwks:
        raise Problem("an account proves itself in one way: --jwks or a certificate")
    wish = {
        "scopes": arguments.scope,
        "operator": arguments.operator or None,
        "audiences": arguments.audience,
        "token_s": arguments.token_life,
        "jwks": None if arguments.jwks is None else _jwks(arguments.jwks),
        "algorithms": arguments.algorithm,
        "certificate": certificate or None,
    }
    given = {name: value for name, value in wish.items() if value is not None}
    return given | (arguments.expires or {}) | _reason(arguments)


def _reason(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"reason": arguments.reason} if arguments.reason else {}


def _one(arguments: argparse.Namespace) -> str:
    from urllib.parse import quote

    return f"{_PATH}/{quote(arguments.client_id, safe='')}"


def _jwks(path: Path) -> dict[str, Any]:
    """A JWK Set, or one JWK. A private key is stopped here: it must not even travel."""
    try:
        told = json.loads(_read(path))
    except (ValueError, RecursionError):
        raise Problem(f"{path} is no JSON") from None
    if isinstance(told, dict) and "keys" not in told:
        told = {"keys": [told]}
    listed = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise Problem(f"{path} is no JWK Set", hint='It looks like {"keys": [{"kty": "EC", "crv": "P-256", ...}]}')
    if any(name in one for one in listed for name in ("d", "k")):
        hint = "Leave out d (and p, q, dp, dq, qi): the private key stays with the client."
        raise Problem(f"{path} holds a private key", hint=hint)
    return {"keys": listed}


def _pin(given: str) -> str:
    """SHA-256 of the public key (SubjectPublicKeyInfo), from hex or out of a PEM certificate."""
    if re.fullmatch(r"[0-9A-Fa-f]{64}", given):
        return given.lower()
    import hashlib

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        key = x509.load_pem_x509_certificate(_read(Path(given))).public_key()
    except FileNotFoundError:
        raise Problem(f"--pin: {given!r} is neither 64 hex digits nor a file") from None
    except ValueError:
        raise Problem(f"{given} holds no PEM certificate") from None
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(_MAX_FILE_BYTES + 1)
    if len(raw) > _MAX_FILE_BYTES:
        raise Problem(f"{path} is larger than {_MAX_FILE_BYTES} bytes")
    return raw


# --- what is shown -----------------------------------------------------------------------------------------


def _tell_secret(arguments: argparse.Namespace, told: dict[str, Any], said: str) -> int:
    """The one time that the secret is seen."""
    secret, file = told.get("client_secret"), arguments.secret_file
    if secret is not None and file is not None:
        _write_secret(file, secret)
        del told["client_secret"]
    if arguments.json:
        return _print_json(told)
    print(said)
    if secret is not None:
        where = f"in {file}" if file is not None else secret
        print(f"  secret: {where}   (kept nowhere else)")
    return _tell_facts(told)


def _refuse_existing(path: Path | None) -> None:
    """Before a secret exists that could then not be written."""
    if path is not None and path.exists():
        raise Problem(f"{path} exists already", hint="Name a new file: what is in this one may still be in use.")


def _write_secret(path: Path, secret: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secret}\n")
    except OSError as failure:
        hint = "The secret is lost. Get another one: ostiary accounts rotate-secret CLIENT --overlap 0s"
        raise Problem(f"{path} cannot be written: {failure.strerror}", hint=hint) from None


def _tell(arguments: argparse.Namespace, told: Mapping[str, Any]) -> int:
    if arguments.json:
        return _print_json(told)
    print(told["client_id"])
    return _tell_facts(told)


def _tell_facts(told: Mapping[str, Any]) -> int:
    facts = {
        "tenant": told["tenant"],
        "principal": told["principal"],
        "state": told["state"],
        "method": told["method"],
        "scopes": " ".join(told["scopes"]) or "none",
        "audiences": " ".join(told["audiences"]) or "this gateway",
        "token life": "as the policy says" if told["token_s"] is None else f"{told['token_s']} s",
        "expires": moment.told(told["expires_at"], absent="never"),
        "made": f"{moment.told(told['created_at'], absent='')} by {told['created_by']}",
    }
    for one in told.get("secrets", ()):
        made, ends = (moment.told(one[name], absent="further notice") for name in ("created_at", "expires_at"))
        facts[f"secret of {made}"] = f"counts until {ends}, under pepper {one['pepper']}"
    if "jwks" in told:
        facts["keys"] = ", ".join(str(key.get("kid", key["kty"])) for key in told["jwks"]["keys"])
        facts["algorithms"] = " ".join(told["algorithms"])
    for name, value in told.get("certificate", {}).items():
        facts[f"certificate {name}"] = " ".join(value) if isinstance(value, list) else value
    print(table.fields(facts))
    return 0


def _print_json(told: Mapping[str, Any]) -> int:
    print(json.dumps(told, indent=2))
    return 0
