"""Every metric in one table, and the objects that count. Serves no HTTP; labels never hold what a client chose.

Workers share their numbers through memory-mapped files (prometheus_client's multiprocess mode). The mode is chosen when
prometheus_client is imported: the supervisor therefore starts each worker with `PROMETHEUS_MULTIPROC_DIR` in its
environment (`gateway.settings.for_worker`) and does without it in its own. It answers scrapes with `render`, and calls
`forget` for each worker that has ended. Where the variable is missing, a process keeps its numbers to itself.
"""

import re
import struct
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from gateway.audit.record import MIRROR, Record, Usage
from gateway.errors import Kind

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4  # what `render` writes
OTHER: Final = "other"  # a value that policy or code does not know
NONE: Final = "none"  # no value: Prometheus treats an empty label like an absent one
OK: Final = "ok"  # what the door says in place of an error code

#: Label combinations of one metric. Each takes about 200 bytes in every worker and scrape; more is an accident.
SERIES: Final = 5_000
#: Beyond this a float cannot count by ones. A provider that reports more tokens is not believed.
_COUNTABLE: Final = 2**53
_MICRO: Final = 1_000_000

PRIMARY: Final = "primary"  # whose answer the caller gets
OUTCOMES: Final = frozenset({"completed", "refused", "cut", "aborted", "failed"})
_CODES: Final = frozenset(kind.value for kind in Kind)
_SOURCES: Final = frozenset({"provider", "estimate"})
_DETAILS: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One line of the table. The help text names the unit."""

    name: str
    kind: type[Counter] | type[Gauge] | type[Histogram]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    why_buckets: str = ""


AUTHZ: Final = Metric(
    name="ostiary_authz_decisions_total",
    kind=Counter,
    help="Decisions of the door. `code` is ok or the error code.",
    labels=("code", "tenant"),
)
EXCHANGES: Final = Metric(
    name="ostiary_exchanges_total",
    kind=Counter,
    help="Finished exchanges, refused ones included. `code` is the error code, none without one.",
    labels=("outcome", "code", "tenant", "model"),
)
DURATION: Final = Metric(
    name="ostiary_exchange_duration_seconds",
    kind=Histogram,
    help="Seconds from the request's headers to the end of the answer.",
    labels=("model", "streamed"),
    buckets=(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 655.36),
    why_buckets="those that OpenTelemetry's GenAI conventions advise for gen_ai.client.operation.duration, "
    "continued to the longest exchange that policy allows by default (600 s)",
)
TOKENS: Final = Metric(
    name="ostiary_tokens_total",
    kind=Counter,
    help="Tokens. `direction` is input or output; `source` is provider or estimate.",
    labels=("direction", "source", "tenant", "model"),
)
DETAILS: Final = Metric(
    name="ostiary_token_details_total",
    kind=Counter,
    help="Tokens that have prices of their own, as providers report them; ostiary_tokens_total has them too. `kind` is "
    "cached_input, cache_write, audio_input, reasoning or audio_output.",
    labels=("kind", "tenant", "model"),
)
COST: Final = Metric(
    name="ostiary_cost_total",
    kind=Counter,
    help="Cost by the policy's prices, in units of `currency`. Exchanges without a price are not in it.",
    labels=("currency", "tenant", "model"),
)
FOUND: Final = Metric(
    name="ostiary_findings_total",
    kind=Counter,
    help="Places in texts that a rule claimed. `action` was done, `would` is what policy asks for also in shadow mode. "
    "`restore` and `keep` count placeholders of `tokenise` in answers.",
    labels=("rule", "direction", "action", "would"),
)
BYTES: Final = Metric(
    name="ostiary_body_bytes_total",
    kind=Counter,
    help="Bytes of bodies. `direction` is request or answer.",
    labels=("direction",),
)
CACHED: Final = Metric(
    name="ostiary_cached_exchanges_total",
    kind=Counter,
    help="Exchanges that asked their tenant's cache. `result` is hit, similar or miss.",
    labels=("result", "tenant", "model"),
)
BACKEND_EXCHANGES: Final = Metric(
    name="ostiary_backend_exchanges_total",
    kind=Counter,
    help="Exchanges for which a backend was asked. `role` is primary, or mirror for copies whose answers nobody sees; "
    "`status` is 2xx, 4xx, 5xx or none.",
    labels=("backend", "model", "role", "outcome", "status"),
)
BACKEND_DURATION: Final = Metric(
    name="ostiary_backend_duration_seconds",
    kind=Histogram,
    help="Seconds of these exchanges: of the primary as in ostiary_exchange_duration_seconds, of the mirror from the "
    "copy's leaving to the end of its answer.",
    labels=("backend", "model", "role"),
    buckets=DURATION.buckets,
    why_buckets="those of ostiary_exchange_duration_seconds, to be compared with them",
)
BACKEND_TOKENS: Final = Metric(
    name="ostiary_backend_tokens_total",
    kind=Counter,
    help="Tokens of these exchanges. `direction` is input or output. Mirrors that do not tell their usage have none.",
    labels=("direction", "backend", "model", "role"),
)
BACKEND_FOUND: Final = Metric(
    name="ostiary_backend_findings_total",
    kind=Counter,
    help="Places in a backend's answers that a rule claimed. `action` was done.",
    labels=("action", "backend", "model"),
)
NOT_COPIED: Final = Metric(
    name="ostiary_copies_not_sent_total",
    kind=Counter,
    help="Copies that a mirror was to get and did not. `reason` is busy, rate, budget, credential, untranslatable or "
    "unrecorded.",
    labels=("backend", "model", "reason"),
)
LOCAL_REPLIES: Final = Metric(
    name="ostiary_local_replies_total",
    kind=Counter,
    help="Answers that Envoy gave itself. `code` is the first word of its response code details.",
    labels=("code",),
)
AUDIT_DROPPED: Final = Metric(
    name="ostiary_audit_dropped_total",
    kind=Counter,
    help="Audit records that the trail did not take. Alert on any.",
)
INFLIGHT: Final = Metric(
    name="ostiary_exchanges_inflight",
    kind=Gauge,
    help="Exchanges that are under way.",
)
BUDGET: Final = Metric(
    name="ostiary_budget_used_ratio",
    kind=Gauge,
    help="How much of a limit is used, 1 being all: of whoever has used most of it, as far as the worker saw lately. "
    "The highest of all workers.",
    labels=("tenant", "limit"),
)
SHARED: Final = Metric(
    name="ostiary_shared_budget_used_ratio",
    kind=Gauge,
    help="How much of a limit that tenants share is used, 1 being all, as far as a worker saw lately. The highest of "
    "all workers.",
    labels=("limit",),
)
PART: Final = Metric(
    name="ostiary_shared_budget_part_ratio",
    kind=Gauge,
    help="What a tenant uses of a limit that it shares, 1 being all that it is assured of: above, it borrows. The "
    "highest of all workers.",
    labels=("tenant", "limit"),
)
LATENCY: Final = Metric(
    name="ostiary_backend_latency_seconds",
    kind=Gauge,
    help="Seconds that a backend takes, as pools of `select: lowest_latency` compare it. `until` is first_byte "
    "(streams) or whole_answer (scaled to 500 tokens). One that fails looks slower. The latest of all workers.",
    labels=("model", "backend", "until"),
)
RESTARTS: Final = Metric(
    name="ostiary_worker_restarts_total",
    kind=Counter,
    help="Workers that the supervisor started again after they had ended unasked.",
    labels=("worker",),
)
ALIVE: Final = Metric(
    name="ostiary_workers_alive",
    kind=Gauge,
    help="Workers that run.",
)
CERTIFICATE_END: Final = Metric(
    name="ostiary_listener_certificate_end_timestamp_seconds",
    kind=Gauge,
    help="When the listener's certificate ends that a vault issued, in unix seconds; 0 while there is none.",
)
CERTIFICATE_FAILURES: Final = Metric(
    name="ostiary_listener_certificate_failures",
    kind=Gauge,
    help="Tries in a row to get a certificate, or the CAs of clients, that failed.",
)

WORKER: Final = (
    *(AUTHZ, EXCHANGES, DURATION, TOKENS, DETAILS, COST, FOUND, BYTES),
    *(BACKEND_EXCHANGES, BACKEND_DURATION, BACKEND_TOKENS, BACKEND_FOUND, NOT_COPIED),
    *(CACHED, LOCAL_REPLIES, AUDIT_DROPPED, INFLIGHT, BUDGET, SHARED, PART, LATENCY),
)
SUPERVISOR: Final = (RESTARTS, ALIVE)
CONTROL: Final = (CERTIFICATE_END, CERTIFICATE_FAILURES)


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def _gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    # livesum: what a dead worker had under way is over (`bury`).
    return Gauge(metric.name, metric.help, metric.labels, registry=registry, multiprocess_mode="livesum")


def _histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)


_M = TypeVar("_M", Counter, Gauge, Histogram)


class _Children(Generic[_M]):
    """The children of one metric by label values: made on first use, bounded in number."""

    __slots__ = ("_known", "_metric")

    def __init__(self, metric: _M) -> None:
        self._metric: _M = metric
        self._known: dict[tuple[str, ...], _M] = {}

    def __getitem__(self, labels: tuple[str, ...]) -> _M:
        child = self._known.get(labels)
        if child is None:
            if len(self._known) >= SERIES:
                labels = (OTHER,) * len(labels)
            child = self._known[labels] = self._metric.labels(*labels)
        return child


@dataclass(frozen=True, slots=True)
class _Ticks:
    """What one kind of exchange moves, bound once: the hot path is a look-up and calls."""

    exchanges: Callable[[], None]
    duration: Callable[[float], None]
    input_tokens: Callable[[float], None]
    output_tokens: Callable[[float], None]


class Meters:
    """The metrics of one worker. `tenants` and `models` are those of the policy; any other name counts as "other"."""

    def __init__(
        self,
        *,
        tenants: Collection[str],
        models: Collection[str],
        registry: CollectorRegistry | None = None,
    ) -> None:
        self.registry = registry or CollectorRegistry()
        self._authz = _Children(_counter(AUTHZ, self.registry))
        self._exchanges = _Children(_counter(EXCHANGES, self.registry))
        self._durations = _Children(_histogram(DURATION, self.registry))
        self._tokens = _Children(_counter(TOKENS, self.registry))
        self._cached = _Children(_counter(CACHED, self.registry))
        self._token_details = _Children(_counter(DETAILS, self.registry))
        self._cost = _Children(_counter(COST, self.registry))
        self._found = _Children(_counter(FOUND, self.registry))
        self._backend_exchanges = _Children(_counter(BACKEND_EXCHANGES, self.registry))
        self._backend_durations = _Children(_histogram(BACKEND_DURATION, self.registry))
        self._backend_tokens = _Children(_counter(BACKEND_TOKENS, self.registry))
        self._backend_found = _Children(_counter(BACKEND_FOUND, self.registry))
        self._not_copied = _Children(_counter(NOT_COPIED, self.registry))
        self._local_replies = _Children(_counter(LOCAL_REPLIES, self.registry))
        self._audit_dropped = _counter(AUDIT_DROPPED, self.registry)
        self._inflight = _gauge(INFLIGHT, self.registry)
        # livemax: each worker saw some of the exchanges, and whoever saw more use saw later.
        self._budgets, self._shared, self._parts = (
            _Children(Gauge(one.name, one.help, one.labels, registry=self.registry, multiprocess_mode="livemax"))
            for one in (BUDGET, SHARED, PART)
        )
        # Workers share their estimates: the last word holds for all.
        last: Final = "livemostrecent"
        self._latencies = _Children(
            Gauge(LATENCY.name, LATENCY.help, LATENCY.labels, registry=self.registry, multiprocess_mode=last)
        )
        bodies = _counter(BYTES, self.registry)
        self._request_bytes = bodies.labels("request")
        self._answer_bytes = bodies.labels("answer")
        self._ticks: dict[tuple[object, ...], _Ticks] = {}
        self.know(tenants, models)

    def know(self, tenants: Collection[str], models: Collection[str]) -> None:
        """Names of a policy that was just activated; those of earlier ones lose their own series."""
        self._tenants = frozenset(tenants)
        self._models = frozenset(models)
        self._ticks.clear()

    def authz(self, code: str, tenant: str) -> None:
        """One decision of the door: `code` is "ok" or the error code, `tenant` empty where nobody was identified."""
        known = code if code in _CODES or code == OK else OTHER
        self._authz[(known, _name(tenant, self._tenants))].inc()

    def exchange(self, record: Record) -> None:
        """One finished exchange."""
        usage = record.usage
        source = None if usage is None else usage.source
        key = (record.tenant, record.model, record.outcome, record.code, record.streamed, source)
        ticks = self._ticks.get(key)
        if ticks is None:
            ticks = self._bind(record, key)
        ticks.exchanges()
        ticks.duration(record.duration_s)
        if usage is not None:
            ticks.input_tokens(_countable(usage.input_tokens))
            ticks.output_tokens(_countable(usage.output_tokens))
            self._detail(record, usage)
        cached = record.details.get("cache")
        if cached is not None:
            self._cached[(cached, _name(record.tenant, self._tenants), _name(record.model, self._models))].inc()
        self._request_bytes.inc(_countable(record.request_bytes))
        self._answer_bytes.inc(_countable(record.answer_bytes))
        for found in record.found:
            self._found[(found.rule, found.direction, found.action, found.would)].inc(_countable(found.count))
        # Who refused a request before it left has asked no backend.
        if record.backend and (usage is not None or record.outcome != "refused"):
            self._backend(record, PRIMARY, None if usage is None else (usage.input_tokens, usage.output_tokens))
            for found in record.found:
                if found.direction == "response":
                    model = _name(record.model, self._models)
                    self._backend_found[(found.action, record.backend, model)].inc(_countable(found.count))

    def copy(self, record: Record, tokens: tuple[int, int] | None) -> None:
        """One copy that was sent to a mirror; `tokens` of prompt and answer, where it told them."""
        self._backend(record, MIRROR, tokens)

    def not_copied(self, backend: str, model: str, reason: str) -> None:
        """One copy that was not sent."""
        self._not_copied[(backend, _name(model, self._models), reason)].inc()

    def _backend(self, record: Record, role: str, tokens: tuple[int, int] | None) -> None:
        """What backends are compared by. Their names are those of policies: no client chooses one."""
        backend, model = record.backend, _name(record.model, self._models)
        status = f"{record.status // 100}xx" if 200 <= record.status < 600 else NONE
        outcome = record.outcome if record.outcome in OUTCOMES else OTHER
        self._backend_exchanges[(backend, model, role, outcome, status)].inc()
        self._backend_durations[(backend, model, role)].observe(record.duration_s)
        for direction, number in zip(("input", "output"), tokens or (), strict=False):
            self._backend_tokens[(direction, backend, model, role)].inc(_countable(number))

    def _detail(self, record: Record, usage: Usage) -> None:
        """What few exchanges have: kinds of tokens, a price."""
        for kind, number in (
            ("cached_input", usage.cached_tokens),
            ("cache_write", usage.cache_write_tokens),
            ("audio_input", usage.audio_input_tokens),
            ("reasoning", usage.reasoning_tokens),
            ("audio_output", usage.audio_output_tokens),
        ):
            if number:
                labels = (kind, _name(record.tenant, self._tenants), _name(record.model, self._models))
                self._token_details[labels].inc(_countable(number))
        if usage.cost_micros:
            labels = (usage.currency, _name(record.tenant, self._tenants), _name(record.model, self._models))
            self._cost[labels].inc(_countable(usage.cost_micros) / _MICRO)

    def _bind(self, record: Record, key: tuple[object, ...]) -> _Ticks:
        tenant, model = _name(record.tenant, self._tenants), _name(record.model, self._models)
        outcome = record.outcome if record.outcome in OUTCOMES else OTHER
        code = _name(record.code, _CODES)
        source = (record.usage or Usage()).source
        source = source if source in _SOURCES else OTHER
        ticks = _Ticks(
            self._exchanges[(outcome, code, tenant, model)].inc,
            self._durations[(model, "true" if record.streamed else "false")].observe,
            self._tokens[("input", source, tenant, model)].inc if record.usage else _nothing,
            self._tokens[("output", source, tenant, model)].inc if record.usage else _nothing,
        )
        # Only what policy and code know is kept: a client that invents models must not fill the table.
        if OTHER not in {tenant, model, outcome, code, source} and len(self._ticks) < SERIES:
            self._ticks[key] = ticks
        return ticks

    def local_reply(self, details: str) -> None:
        """An answer that Envoy gave itself; `details` is its `response.code_details`."""
        # Only the first word: behind it Envoy puts what it knows of the transport's failure.
        match = _DETAILS.match(details)
        self._local_replies[(match.group() if match else OTHER,)].inc()

    def audit_dropped(self) -> None:
        """The trail did not take a record."""
        self._audit_dropped.inc()

    def budget(self, tenant: str, limit: str, part: float) -> None:
        """How full a limit of policy is; `limit` is its name there."""
        self._budgets[(_name(tenant, self._tenants), limit)].set(part)

    def shared_budget(self, tenant: str, limit: str, part: float) -> None:
        """How full a shared limit is: the whole, or what is assured to a tenant."""
        if tenant:
            self._parts[(_name(tenant, self._tenants), limit)].set(part)
        else:
            self._shared[(limit,)].set(part)

    def latency(self, model: str, backend: str, streamed: bool, seconds: float) -> None:
        """What is expected of a backend of a pool; both names are those of policies."""
        until = "first_byte" if streamed else "whole_answer"
        self._latencies[(_name(model, self._models), backend, until)].set(seconds)

    def inflight(self, change: int) -> None:
        """An exchange began (+1) or ended (-1)."""
        self._inflight.inc(change)


class Supervision:
    """The metrics of the supervisor: kept in its own memory, told beside those of the workers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._restarts = _Children(_counter(RESTARTS, self.registry))
        self._alive = _gauge(ALIVE, self.registry)

    def worker_restarts(self, index: int) -> None:
        """The worker of `index` was started again after it had ended unasked."""
        self._restarts[(str(index),)].inc()

    def workers_alive(self, workers: int) -> None:
        """So many run now."""
        self._alive.set(workers)


class Certificates:
    """The metrics of `control` where a vault issues the listener's certificate."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._ends = _gauge(CERTIFICATE_END, self.registry)
        self._failures = _gauge(CERTIFICATE_FAILURES, self.registry)

    def page(self, ends_s: float, failures: int) -> bytes:
        """What a scraper is told."""
        self._ends.set(ends_s)
        self._failures.set(failures)
        return generate_latest(self.registry)


def _name(value: str, known: frozenset[str]) -> str:
    if not value:
        return NONE
    return value if value in known else OTHER


def _countable(number: int) -> int:
    return number if 0 <= number < _COUNTABLE else 0


def _nothing(_number: float) -> None:
    """No usage, nothing to count."""


# --- the supervisor's side --------------------------------------------------------------------------------------

_files: Final = threading.Lock()  # a scrape must not see a file between being added to the dead and being removed


def render(metrics_dir: Path, *own: CollectorRegistry) -> bytes:
    """All workers' numbers as one page, then those of this process. Reads files: call it in a thread."""
    shared = CollectorRegistry()
    with _files:
        MultiProcessCollector(shared, path=str(metrics_dir))  # type: ignore[no-untyped-call]
        return b"".join(generate_latest(registry) for registry in (shared, *own))


def forget(metrics_dir: Path, pid: int) -> None:
    """Let go of a worker that has ended: its gauges end with it, its counts move to those of all the dead.

    Without this each restart would leave files that every later scrape has to read.
    """
    with _files:
        mark_process_dead(pid, str(metrics_dir))  # type: ignore[no-untyped-call]
        for kind in ("counter", "histogram"):
            ended = metrics_dir / f"{kind}_{pid}.db"
            if not ended.exists():
                continue
            try:
                _add(ended, metrics_dir / f"{kind}_gone.db")
            except (RuntimeError, ValueError, struct.error):
                # Torn while the worker died. Kept, it would spoil every scrape.
                _log.warning("worker_metrics_lost", pid=pid, kind=kind)
            ended.unlink()


def _add(ended: Path, gone: Path) -> None:
    total = MmapedDict(str(gone))  # type: ignore[no-untyped-call]
    try:
        for key, value, *_ in MmapedDict.read_all_values_from_file(str(ended)):  # type: ignore[no-untyped-call]
            total.write_value(key, total.read_value(key)[0] + value, 0.0)  # type: ignore[no-untyped-call]
    finally:
        total.close()  # type: ignore[no-untyped-call]


# --- docs/metrics.md --------------------------------------------------------------------------------------------


def table_markdown() -> str:
    """The page docs/metrics.md, written from the table above."""
    return "\n".join(
        [
            "# Metrics",
            "",
            "Written from the table in `gateway/telemetry/metrics.py`; do not edit. To write it again:",
            "",
            "```",
            _REWRITE,
            "```",
            "",
            "`GET /metrics` of the supervisor (`OSTIARY_ADMIN_HOST`:`OSTIARY_ADMIN_PORT`) sums all workers.",
            f"Tenants and models are those of the policy; any other name counts as `{OTHER}`, no name as `{NONE}`.",
            f"A metric keeps at most {SERIES} combinations of labels in each worker; further ones count as `{OTHER}`.",
            "",
            "## Workers",
            "",
            *_rows(WORKER),
            "",
            "## Supervisor",
            "",
            *_rows(SUPERVISOR),
            "",
            "## Control",
            "",
            "`GET /metrics` of `ostiary control` (`OSTIARY_ADMIN_HOST`:`OSTIARY_CONTROL_ADMIN_PORT`).",
            "",
            *_rows(CONTROL),
            "",
            "## Buckets",
            "",
            *(
                f"- `{metric.name}`: {', '.join(f'{bound:g}' for bound in metric.buckets)}. Why: {metric.why_buckets}."
                for metric in WORKER
                if metric.buckets
            ),
            "",
        ]
    )


_REWRITE: Final = (
    "python -c 'from gateway.telemetry.metrics import table_markdown; "
    'print(table_markdown(), end="")\' > docs/metrics.md'
)


def _rows(metrics: Iterable[Metric]) -> Iterable[str]:
    yield "| Name | Kind | Labels | Meaning |"
    yield "|---|---|---|---|"
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
        yield f"| `{metric.name}` | {metric.kind.__name__.lower()} | {labels} | {metric.help} |"
