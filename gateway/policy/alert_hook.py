"""`alert_hook` of policy.yaml: who is told when a limit fills. Opens no connection, no file."""

from gateway.policy.field import Table
from gateway.policy.issuer import FILE, read_url
from gateway.policy.model import AlertHook
from gateway.policy.problem import Problems


def read_alert_hook(table: Table | None, problems: Problems) -> AlertHook | None:
    """The section; None where there is none."""
    if table is None:
        return None
    read = AlertHook(
        url=read_url(table, "url", problems),
        secret_file=table.text("secret_file", FILE),
        ca_file=table.maybe("ca_file", FILE),
    )
    table.close()
    return read
