import orjson

from control.request import Request, answer, error


def test_an_answer_is_json_with_its_own_headers():
    made = answer({"a": 1}, 201, ("location", "/x"))
    assert (made.status, orjson.loads(made.body)) == (201, {"a": 1})
    assert made.headers == (("content-type", "application/json"), ("location", "/x"))


def test_an_error_names_its_field_only_where_there_is_one():
    assert orjson.loads(error(404, "c", "m").body) == {"error": {"code": "c", "message": "m"}}
    assert orjson.loads(error(422, "c", "m", where="rate").body)["error"]["field"] == "rate"


def test_neither_bodies_nor_secrets_are_shown():
    assert "hunter2" not in repr(Request(method="POST", path="/", body=b"hunter2"))
    assert "hunter2" not in repr(answer({"secret": "hunter2"}))


def test_a_missing_header_is_nothing():
    assert Request(method="GET", path="/").header("authorization") == ""
