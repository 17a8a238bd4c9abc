"""AWS Secrets Manager in a policy: the section of policy.yaml, and where in it a credential lies. Asks nobody."""

from typing import Final

from gateway.policy.field import Table, shape
from gateway.policy.issuer import read_url
from gateway.policy.model import ManagedSecret, SecretsManager
from gateway.policy.place import FIELD, FILE
from gateway.policy.problem import Problems
from gateway.policy.signing import REGION

#: AWS takes money for each reading of each worker; an hour late is what nobody wants who rotates.
_REFRESH_S: Final = (1, 3600)
_STALE_S: Final = (1, 7 * 86_400)  # as of a vault
#: API reference, CreateSecret: letters, digits and /_+=.@- ; an ARN names partition, region and account before it.
_SECRET: Final = shape(
    r"(?:arn:aws(?:-[a-z]{1,10}){0,3}:secretsmanager:[a-z0-9-]{1,32}:[0-9]{12}:secret:)?[A-Za-z0-9/_+=.@-]{1,512}",
    "the name or the ARN of a secret",
)
_CHINA: Final = "cn-"  # a partition of its own, under a domain of its own


def read_secrets_manager(table: Table | None, problems: Problems) -> SecretsManager | None:
    """The section of policy.yaml."""
    if table is None:
        return None
    region = table.text("region", REGION)
    key = table.table("key")
    if key is None and table.node("key") is None:
        problems.add(table.mark, (*table.path, "key"), "missing", "key: {file: ...} holds <key id>:<secret>")
    file = "" if key is None else key.text("file", FILE)
    if key is not None:
        key.close()
    url = read_url(table, "url", problems, optional=True).removesuffix("/")
    if "/" in url.partition("://")[2] or "?" in url:
        problems.add(table.mark, (*table.path, "url"), "has a path or a query", "give scheme, host and port")
    ca_file = table.text("ca_file", FILE, default="")
    if ca_file and url.startswith("http://"):
        problems.add(table.mark, (*table.path, "ca_file"), "certificates mean nothing without https")
    domain = "amazonaws.com.cn" if region.startswith(_CHINA) else "amazonaws.com"
    read = SecretsManager(
        region=region,
        file=file,
        url=url or f"https://secretsmanager.{region}.{domain}",
        ca_file=ca_file,
        refresh_s=table.integer("refresh_s", *_REFRESH_S, default=300),
        stale_s=table.integer("stale_s", *_STALE_S, default=3600),
    )
    if read.stale_s < read.refresh_s:
        problems.add(
            table.mark, (*table.path, "stale_s"), "shorter than refresh_s: each secret would end between readings"
        )
    table.close()
    return read


def read_managed(table: Table) -> ManagedSecret:
    """The `secrets_manager` block of a credential."""
    place = ManagedSecret(path=table.text("secret", _SECRET), field=table.text("field", FIELD, default=""))
    table.close()
    return place
