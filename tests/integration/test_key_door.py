"""API keys of the registry at the real door: control makes and changes them, Envoy and two workers know it at once."""

import pytest

from asking import CHAT, MODEL, chat
from ostiary.problem import Problem
from rawhttp import RawClient, Response
from stack import Options, Stack, until

KEYS = "/admin/v1/keys"
WORKERS = 2


@pytest.fixture(scope="module")
def house(short_dir, upstreams):
    with Stack(short_dir(), upstreams, Options(workers=WORKERS, control=True)) as stack:
        yield stack
        assert "Traceback" not in stack.logs()
        assert "task_crashed" not in stack.logs()


def make(house, **wish):
    return house.operate("POST", KEYS, {"tenant": "acme", "principal": "ci", **wish})


def change(house, key_id: str, what: str, **wish):
    return house.operate("POST", f"{KEYS}/{key_id}/{what}", wish)


def client(house, made) -> RawClient:
    return RawClient(house.port, house.authority.pem, [("authorization", f"Bearer {made['key']}")])


def answers(asking: RawClient, *, model: str = MODEL) -> set[tuple[int, str]]:
    """What is told to more requests than there are workers, each on a connection of its own."""
    return {told(asking.post(CHAT, chat("hello", model=model))) for _ in range(3 * WORKERS)}


def told(answer: Response) -> tuple[int, str]:
    """Status and code."""
    return answer.status, answer.code if answer.status >= 400 else ""


def settled(house, asking: RawClient, expected: tuple[int, str]) -> None:
    """Wait until every worker answers so."""
    house.everywhere(str(expected), lambda: asking.post(CHAT, chat("hello")), lambda answer: told(answer) == expected)


def test_a_key_counts_is_disabled_enabled_and_deleted_everywhere(house):
    made = make(house)
    asking = client(house, made)
    settled(house, asking, (200, ""))
    change(house, made["id"], "disable", reason="laptop lost")
    settled(house, asking, (401, "credential_invalid"))
    change(house, made["id"], "enable")
    settled(house, asking, (200, ""))
    house.operate("DELETE", f"{KEYS}/{made['id']}", {})
    settled(house, asking, (401, "credential_invalid"))


def test_a_rotated_key_counts_until_its_overlap_ends(house):
    old = make(house)
    settled(house, client(house, old), (200, ""))
    new = change(house, old["id"], "rotate")
    settled(house, client(house, new), (200, ""))
    assert answers(client(house, old)) == {(200, "")}
    change(house, old["id"], "expire", expires_in_s=0)
    settled(house, client(house, old), (401, "credential_expired"))
    assert answers(client(house, new)) == {(200, "")}


def test_a_key_opens_its_models_and_its_networks_only(house):
    made = make(house, models=[MODEL], cidrs=["127.0.0.0/8"])
    asking = client(house, made)
    settled(house, asking, (200, ""))
    assert answers(asking, model="gpt-other") == {(403, "model_forbidden")}
    assert [model["id"] for model in asking.ask("GET", "/v1/models", b"", []).json["data"]] == [MODEL]
    elsewhere = client(house, make(house, cidrs=["192.0.2.0/24"]))
    settled(house, elsewhere, (403, "address_forbidden"))


def test_a_key_has_its_own_rate(house):
    asking = client(house, make(house, rate={"requests": 2, "window_s": 3600}))
    until("the key", lambda: asking.ask("GET", "/v1/models", b"", []).status == 200)
    until("its end", lambda: asking.ask("GET", "/v1/models", b"", []).status == 429)


def test_the_policys_keys_are_listed_and_left_alone(house):
    ids = {key["id"] for key in house.operate("GET", f"{KEYS}?tenant=acme")["keys"] if key["source"] == "policy"}
    assert house.bundle.ids["acme"] in ids
    with pytest.raises(Problem, match="stands in the policy"):
        change(house, house.bundle.ids["acme"], "disable")
