"""Keys that `ostiary keys new` makes are keys that authz accepts."""

import yaml

from authz import apikey
from gateway.policy.model import Key
from ostiary import keys

PEPPERS = apikey.Peppers.of({"v1": b"a" * 32, "v2": b"b" * 32})


def test_the_record_admits_the_key():
    made = keys.make("acme", "ci", ["chat", "embed"], PEPPERS)
    ((key_id, entry),) = yaml.safe_load(made.record).items()
    record = Key(id=key_id, **{**entry, "scopes": tuple(entry["scopes"])})
    assert apikey.check(made.text, {key_id: record}, PEPPERS) == record
    assert record.pepper == "v2"


def test_the_secret_is_in_no_repr_and_no_record():
    made = keys.make("acme", "ci", [], PEPPERS)
    secret = made.text.rpartition("_")[2]
    assert secret not in repr(made)
    assert secret not in made.record
