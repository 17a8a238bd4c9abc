"""Control behind real Envoy and beside real workers: what operators change counts at once, and nobody else may change."""

import base64
import secrets
import ssl
from urllib.parse import quote

import httpx
import openai
import pytest

from asking import CHAT, MODEL, chat
from control.edge.spec import ClientCertificates
from gateway import contract
from ostiary.problem import Problem
from rawhttp import RawClient, request_bytes
from stack import Options, Stack, until

FORM = ("content-type", "application/x-www-form-urlencoded")
GRANT = b"grant_type=client_credentials"
KEYS, TOKEN = "/admin/v1/keys", "/oauth2/token"
METADATA = contract.METADATA_PATH
SPIFFE = "spiffe://test/ci"  # of the stack's own client certificate


@pytest.fixture(scope="module")
def house(short_dir, upstreams):
    options = Options(workers=2, control=True, edge={"tls": {"client_certificates": ClientCertificates.OPTIONAL}})
    with Stack(short_dir(), upstreams, options) as stack:
        yield stack
        assert "Traceback" not in stack.logs()
        assert "task_crashed" not in stack.logs()


@pytest.fixture
def stranger(house):
    """A client without key and without certificate."""
    return RawClient(house.port, house.authority.pem, [])


def basic(account) -> tuple[str, str]:
    pair = f"{account['client_id']}:{account['client_secret']}"
    return "authorization", "Basic " + base64.b64encode(pair.encode()).decode()


def bearer(text: str) -> tuple[str, str]:
    return "authorization", f"Bearer {text}"


def account(house, **wish):
    told = {"tenant": "acme", "principal": f"svc/{secrets.token_hex(4)}", "method": "client_secret_basic"}
    return house.operate("POST", "/admin/v1/accounts", {**told, "scopes": ["chat"], **wish})


def token(client, known) -> str:
    answer = client.ask("POST", TOKEN, GRANT, [FORM, basic(known)])
    assert answer.status == 200, answer.body
    return answer.json["access_token"]


def key(house, **wish):
    return house.operate("POST", KEYS, {"tenant": "acme", "principal": "ci", **wish})


def records(house, request_id: str):
    return [record for record in house.audit() if record["request_id"] == request_id]


# --- what operators change ------------------------------------------------------------------------------------


def let_in_everywhere(house, client, text) -> None:
    """Wait until every worker knows whose credential it is."""
    house.everywhere(
        "the credential", lambda: client.post(CHAT, chat("hello"), [bearer(text)]), lambda answer: answer.status == 200
    )


def test_a_new_key_opens_the_gateway_to_the_sdk_and_a_disabled_one_is_shut(house, stranger, upstream):
    made = key(house, reason="integration test")
    let_in_everywhere(house, stranger, made["key"])
    context = ssl.create_default_context(cafile=str(house.authority.pem))
    base = f"https://localhost:{house.port}/v1"

    def ask():
        return sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": f"hello {marker}"}])

    with httpx.Client(verify=context) as http:
        sdk = openai.OpenAI(base_url=base, api_key=made["key"], http_client=http, max_retries=0, timeout=20)
        marker = upstream.script()
        assert ask().choices[0].message.content
        assert house.operate("POST", f"{KEYS}/{made['id']}/disable")["state"] == "disabled"

        def shut() -> bool:
            try:
                ask()
            except openai.AuthenticationError:
                return True
            return False

        until("the key's end", shut)


def test_a_service_account_gets_a_token_through_envoy_and_is_let_in_with_it(house, stranger, upstream):
    known = account(house, principal="svc/nightly")
    text = token(stranger, known)
    marker = upstream.script()
    answer = until("the account", lambda: admitted(stranger, marker, text))
    record = house.record(answer)
    assert (record["tenant"], record["principal"]) == ("acme", "svc/nightly")
    assert text.rpartition(".")[2] not in repr(upstream.one(marker).headers)
    # Other tests' tokens are on record too, in any order: this one is found by its name.
    assert until(
        "its record", lambda: [one for one in records_of(house, "token.issue") if one["key_id"] == record["key_id"]]
    )


def admitted(client, marker, text):
    answer = client.post(CHAT, chat(marker), [bearer(text)])
    return answer if answer.status == 200 else None


def records_of(house, method):
    return until(f"a record of {method}", lambda: [one for one in house.audit() if one["method"] == method])


def test_each_change_is_on_record_with_its_actor_and_holds_no_secret(house):
    made = key(house, reason="ticket 4711")
    house.operate("DELETE", f"{KEYS}/{made['id']}", {"reason": "not needed"})
    found = until(
        "both records",
        lambda: (kept := [one for one in house.audit() if one["key_id"] == made["id"]])[1:] and kept,
    )
    told = [(one["writer"], one["method"], one["principal"], one["reason"], one["outcome"]) for one in found]
    assert told == [
        ("control", "key.create", "tester", "ticket 4711", "completed"),
        ("control", "key.delete", "tester", "not needed", "completed"),
    ]
    assert found[0]["details"]["proof"].startswith("uid:")
    assert made["key"] not in house.logs() + repr(house.audit())


def test_a_wish_that_is_refused_is_told_with_its_field(house):
    with pytest.raises(Problem, match="tenant"):
        key(house, tenant="nobody")


# --- the admin API from afar ----------------------------------------------------------------------------------


def test_without_a_token_of_an_operator_nothing_can_be_read_or_changed(house, stranger):
    plain = token(stranger, account(house))
    for given in ([], [bearer(house.bundle.keys["acme"])], [bearer("a.b.c")], [("authorization", "Basic YTpi")]):
        for method, path in (("GET", KEYS), ("POST", KEYS), ("GET", "/admin/v1/nothing")):
            answer = stranger.ask(method, path, b"{}" if method == "POST" else None, given)
            assert answer.status == 401
            assert answer.header("www-authenticate").startswith("Bearer")
    refused = stranger.ask("GET", KEYS, None, [bearer(plain)])
    assert (refused.status, refused.code) == (403, "scope_missing")
    kept = until("its record", lambda: records(house, refused.header("x-request-id")))
    assert [(one["writer"], one["outcome"], one["details"]["address"]) for one in kept] == [
        ("control", "refused", "127.0.0.1")
    ]


def test_an_operators_token_may_what_the_local_operator_may_and_cannot_choose_its_name(house, stranger):
    operator = account(house, scopes=["ostiary.admin"], operator=True)
    given = [bearer(token(stranger, operator)), ("x-ostiary-actor", "root"), ("content-type", "application/json")]
    answer = stranger.ask("POST", KEYS, b'{"tenant": "acme", "principal": "far"}', given)
    assert answer.status == 201
    assert answer.header("cache-control") == "no-store"
    assert "content-security-policy" in answer.names
    assert answer.json["created_by"].startswith(f"{operator['client_id']} (jwt:")
    (record,) = until("its record", lambda: records(house, answer.header("x-request-id")))
    assert (record["principal"], record["details"]["address"]) == (operator["client_id"], "127.0.0.1")
    house.operate("POST", f"/admin/v1/accounts/{operator['client_id']}/disable")
    assert stranger.ask("GET", KEYS, None, given).status == 401


# --- what a client cannot make control believe ----------------------------------------------------------------


def certified(house):
    wish = {"method": "tls_client_auth", "certificate": {"uri": SPIFFE}, "scopes": ["chat"]}
    return account(house, **wish)["client_id"]


def test_a_certificate_counts_when_the_handshake_showed_it_and_never_as_a_header(house, stranger):
    body = GRANT + f"&client_id={certified(house)}".encode()
    shown = quote(house.client_pair.cert.read_text(), safe="")
    mine = house.client("")
    assert mine.ask("POST", TOKEN, body, [FORM]).status == 200
    other = house.authority.issue("other", client=True, uri="spiffe://test/other")
    forging = RawClient(house.port, house.authority.pem, [], cert=(other.cert, other.key))
    for client in (stranger, forging):
        for name in (contract.CLIENT_CERTIFICATE_HEADER, contract.CLIENT_CERTIFICATE_HEADER.title()):
            answer = client.ask(
                "POST", TOKEN, body, [FORM, (name, shown), ("x-forwarded-client-cert", f"Cert={shown}")]
            )
            assert (answer.status, answer.json["error"]) == (401, "invalid_client")


def test_the_address_on_record_is_the_connections_and_not_a_headers(house, stranger):
    forged = [(contract.CLIENT_ADDRESS_HEADER, "192.0.2.1"), ("x-forwarded-for", "192.0.2.2")]
    answer = stranger.ask("GET", KEYS, None, forged)
    (record,) = until("its record", lambda: records(house, answer.header("x-request-id")))
    assert record["details"]["address"] == "127.0.0.1"


@pytest.mark.parametrize("path", [TOKEN, KEYS, METADATA])
def test_no_header_leads_from_controls_paths_to_a_provider(house, stranger, upstream, path):
    marker = upstream.script()
    for name in ("oc-main", "od-main"):
        given = [("content-type", "application/json"), (contract.ROUTE_HEADER, name), bearer(house.bundle.keys["acme"])]
        answer = stranger.ask("POST", path, f'{{"marker": "{marker}"}}'.encode(), given)
        assert 400 <= answer.status < 500
    assert not upstream.seen(marker)


@pytest.mark.parametrize("path", ["/healthz", "/admin/v2/keys", "/admin", "/oauth2", f"{METADATA}/x", "/ADMIN/v1/keys"])
def test_nothing_else_of_control_is_reached(house, stranger, path):
    assert stranger.ask("GET", path).code == "credential_missing"  # authz's word, so the guards are on


@pytest.mark.parametrize("path", ["/oauth2/../v1/models", "/admin/v1/../../v1/models", "//admin//v1/..//../v1/models"])
def test_a_detour_over_controls_paths_does_not_pass_the_guards(stranger, path):
    assert stranger.ask("GET", path).code == "credential_missing"


# --- bounds ---------------------------------------------------------------------------------------------------


def test_a_body_over_64_kib_ends_at_envoy(stranger):
    answer = stranger.ask("POST", TOKEN, b"x" * (64 * 1024 + 1), [FORM])
    assert (answer.status, answer.header(contract.ERROR_CODE_HEADER)) == (413, "body_too_large")


def test_who_asks_too_often_waits_and_others_are_served(house, stranger):
    def limited():
        """All in one write: one after the other, a busy machine may ask no faster than the limit fills."""
        with stranger.open() as conn:
            conn.send(request_bytes("GET", METADATA) * 60)
            answers = [conn.answer(method="GET") for _ in range(60)]
        return next((answer for answer in answers if answer.status == 429), None)

    answer = until("the limit", limited)
    assert answer.header("retry-after")
    assert answer.header(contract.ERROR_CODE_HEADER) == "rate_limited"
    assert house.client().ask("GET", "/v1/models").status == 200
    assert stranger.ask("GET", "/oauth2/jwks").status == 200  # each route has a limit of its own


def test_public_keys_and_metadata_may_be_kept_and_name_this_gateway(house, stranger):
    answer = until("room at the door", lambda: (found := stranger.ask("GET", METADATA)).status == 200 and found)
    assert answer.json["issuer"] == house.issuer
    assert answer.header("cache-control") == "public, max-age=300"


@pytest.mark.slow
def test_without_control_the_gateway_serves_and_its_own_paths_say_503(house, stranger):
    known = account(house)
    text = token(stranger, known)
    let_in_everywhere(house, stranger, text)
    house.control.end()
    for method, path in (("POST", TOKEN), ("GET", KEYS)):
        answer = stranger.ask(method, path, None, [bearer(text)])
        assert answer.status == 503
        assert answer.header("retry-after")
        assert "control plane" in answer.json["error"]["message"]
    assert house.client().post(CHAT, chat("hello")).status == 200
    assert stranger.post(CHAT, chat("hello"), [bearer(text)]).status == 200
    house.start_control()
    assert token(stranger, known)
