"""The access log and what it must never print."""

from edge_rendered import manager, rendered
from gateway import contract


def test_access_log_names_no_header_that_holds_a_credential_and_no_query():
    (log,) = manager(rendered())["access_log"]
    formats = " ".join(log["typed_config"]["log_format"]["json_format"].values()).lower()
    assert not any(name in formats for name in contract.CREDENTIAL_HEADERS)
    assert "req(:path)" not in formats
    assert "original-path" not in formats
