"""One adviser of a policy: an engine of `ostiary analyse` or somebody's service. Asks nobody."""

from typing import Final

from gateway.policy.endpoint import read_credential
from gateway.policy.field import Shape, Table, shape
from gateway.policy.issuer import FILE, read_url
from gateway.policy.model import ADVISED, Adviser
from gateway.policy.problem import Problems, shown
from gateway.policy.tree import Scalar

NAME: Final[Shape] = shape(r"[a-z][a-z0-9_-]{0,31}", "1 to 32 of a-z, 0-9, _ and -, a letter first")
#: The request waits so long: beyond some seconds a caller would rather have a no.
_DEADLINE_MS: Final = (5, 5000)
_DEFAULT_MS: Final = {"injection": 100, "ner": 250}
_SERVICE_MS: Final = 500
_NO_VAULT: Final = "credentials of advisers lie in files; those of backends may lie in a vault"
_ON_FAILURE: Final = ("refuse", "pass")


def read_adviser(name: Scalar, table: Table, problems: Problems) -> Adviser:
    """One entry of advisers.yaml: `{engine: ner}` or `{url: https://..., credential: {...}}`."""
    engine = table.choice("engine", sorted(ADVISED), default="")
    url, ca_file, credential = "", None, None
    if table.node("url") is None and not engine:
        problems.add(table.mark, (*table.path, "url"), "missing", "an adviser has an `engine` or a `url`")
    elif table.node("url") is not None:
        url = read_url(table, "url", problems)
        if engine:
            problems.add(table.mark, (*table.path, "url"), "an engine of ours has no url", "leave one of both out")
        ca_file = table.maybe("ca_file", FILE)
        credential = read_credential(table.table("credential"), problems, vault=_NO_VAULT, manager=_NO_VAULT)
    read = Adviser(
        name=name.text,
        engine=engine,
        url=url,
        credential=credential,
        ca_file=ca_file,
        deadline_ms=table.integer("deadline_ms", *_DEADLINE_MS, default=_DEFAULT_MS.get(engine, _SERVICE_MS)),
        # Without the transformer, the linear model's word stands: that is no hole. The others have no second.
        on_failure=table.choice("on_failure", _ON_FAILURE, default="pass" if engine == "injection" else "refuse"),
    )
    table.close()
    return read


def refuse_overlaps(read: dict[Scalar, Adviser], problems: Problems) -> None:
    """Two entries with one engine would be asked the same, and give their findings the same names."""
    seen: dict[str, Scalar] = {}
    for name, adviser in read.items():
        first = seen.setdefault(adviser.engine or f"url {name.text}", name)
        if first is not name:
            hint = f"the first one is at {first.mark.file}:{first.mark.line}"
            problems.add(name.mark, (name.text, "engine"), f"same engine as {shown(first.text)}", hint)
