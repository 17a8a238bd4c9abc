import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from gateway.audit.record import Found, Record, Usage
from gateway.errors import Kind
from gateway.telemetry import metrics
from gateway.telemetry.metrics import Certificates, Meters, Supervision

ROOT = Path(metrics.__file__).parents[2]

DONE = Record(
    writer="inspect",
    request_id="r",
    started_at=1.0,
    duration_s=0.3,
    tenant="acme",
    model="gpt",
    outcome="completed",
    streamed=True,
    request_bytes=100,
    answer_bytes=900,
    found=(Found(rule="pii.email", direction="request", count=2, action="redact", would="redact"),),
    usage=Usage(input_tokens=10, output_tokens=20, source="provider"),
)


@pytest.fixture
def meters():
    return Meters(tenants={"acme", "umbrella"}, models={"gpt", "llama"})


def samples(page: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def value(source, name: str, /, **labels: str) -> float | None:
    page = source if isinstance(source, bytes) else generate_latest(source.registry)
    return samples(page).get((name, tuple(sorted(labels.items()))))


def series(source, name: str) -> int:
    return sum(key[0] == name for key in samples(generate_latest(source.registry)))


def test_an_exchange_moves_every_metric_it_concerns(meters):
    meters.exchange(DONE)
    meters.exchange(DONE)
    labels = {"tenant": "acme", "model": "gpt"}
    assert value(meters, "ostiary_exchanges_total", outcome="completed", code="none", **labels) == 2
    assert value(meters, "ostiary_exchange_duration_seconds_count", model="gpt", streamed="true") == 2
    assert value(meters, "ostiary_exchange_duration_seconds_sum", model="gpt", streamed="true") == pytest.approx(0.6)
    assert value(meters, "ostiary_tokens_total", direction="input", source="provider", **labels) == 20
    assert value(meters, "ostiary_tokens_total", direction="output", source="provider", **labels) == 40
    assert value(meters, "ostiary_body_bytes_total", direction="request") == 200
    assert value(meters, "ostiary_body_bytes_total", direction="answer") == 1800
    found = {"rule": "pii.email", "direction": "request", "action": "redact", "would": "redact"}
    assert value(meters, "ostiary_findings_total", **found) == 4


def test_durations_fall_into_buckets_and_the_longest_exchange_fits(meters):
    meters.exchange(replace(DONE, duration_s=0.3))
    meters.exchange(replace(DONE, duration_s=600.0))
    name = "ostiary_exchange_duration_seconds_bucket"
    assert value(meters, name, model="gpt", streamed="true", le="0.16") == 0
    assert value(meters, name, model="gpt", streamed="true", le="0.32") == 1
    assert value(meters, name, model="gpt", streamed="true", le="655.36") == 2


def test_a_refusal_without_usage_counts_no_tokens(meters):
    meters.exchange(replace(DONE, outcome="refused", code="request_blocked", usage=None, streamed=False))
    assert (
        value(meters, "ostiary_exchanges_total", outcome="refused", code="request_blocked", tenant="acme", model="gpt")
        == 1
    )
    assert series(meters, "ostiary_tokens_total") == 0


def test_hits_and_misses_of_the_cache_are_counted(meters):
    for result in ("hit", "miss", "hit"):
        meters.exchange(replace(DONE, details={"cache": result}))
    names = {"tenant": "acme", "model": "gpt"}
    assert value(meters, "ostiary_cached_exchanges_total", result="hit", **names) == 2
    assert value(meters, "ostiary_cached_exchanges_total", result="miss", **names) == 1


SHOWN = replace(DONE, backend="canary", status=200, found=(
    Found(rule="pii.email", direction="request", count=2, action="redact", would="redact"),
    Found(rule="pii.email", direction="response", count=3, action="redact", would="redact"),
))  # fmt: skip


def test_backends_are_compared_by_what_they_answered(meters):
    meters.exchange(SHOWN)
    meters.exchange(replace(SHOWN, status=503, outcome="failed", usage=None, found=()))
    names = {"backend": "canary", "model": "gpt", "role": "primary"}
    total = "ostiary_backend_exchanges_total"
    assert value(meters, total, **names, outcome="completed", status="2xx") == 1
    assert value(meters, total, **names, outcome="failed", status="5xx") == 1
    assert value(meters, "ostiary_backend_duration_seconds_count", **names) == 2
    assert value(meters, "ostiary_backend_tokens_total", **names, direction="output") == 20
    found = {"action": "redact", "backend": "canary", "model": "gpt"}
    assert value(meters, "ostiary_backend_findings_total", **found) == 3  # what it said, not what it was told


def test_who_was_refused_before_leaving_has_asked_no_backend(meters):
    meters.exchange(replace(SHOWN, outcome="refused", code="budget_exceeded", status=429, usage=None))
    meters.exchange(replace(DONE, backend=""))  # out of the cache
    assert series(meters, "ostiary_backend_exchanges_total") == 0
    meters.exchange(replace(SHOWN, outcome="refused", code="answer_blocked", status=400))
    assert series(meters, "ostiary_backend_exchanges_total") == 1


def test_copies_are_told_apart_from_answers_and_move_nothing_of_a_tenants(meters):
    meters.copy(replace(SHOWN, writer="mirror", usage=None), (7, 5))
    meters.copy(replace(SHOWN, writer="mirror", usage=None, status=0, outcome="failed"), None)
    meters.not_copied("canary", "gpt", "busy")
    names = {"backend": "canary", "model": "gpt", "role": "mirror"}
    total = "ostiary_backend_exchanges_total"
    assert value(meters, total, **names, outcome="completed", status="2xx") == 1
    assert value(meters, total, **names, outcome="failed", status="none") == 1
    assert value(meters, "ostiary_backend_tokens_total", **names, direction="input") == 7
    assert value(meters, "ostiary_copies_not_sent_total", backend="canary", model="gpt", reason="busy") == 1
    assert series(meters, "ostiary_exchanges_total") == series(meters, "ostiary_tokens_total") == 0


def test_names_that_policy_does_not_know_share_one_series(meters):
    for number in range(50):
        meters.exchange(
            replace(
                DONE,
                tenant=f"t{number}",
                model=f"m{number}",
                outcome=f"o{number}",
                code=f"c{number}",
                usage=Usage(source=f"s{number}"),
            ),
        )
        meters.authz(f"c{number}", f"t{number}")
    names = {"tenant": "other", "model": "other"}
    assert value(meters, "ostiary_exchanges_total", outcome="other", code="other", **names) == 50
    assert value(meters, "ostiary_authz_decisions_total", code="other", tenant="other") == 50
    assert series(meters, "ostiary_exchanges_total") == 1
    assert series(meters, "ostiary_tokens_total") == 2
    assert meters._ticks == {}


def test_an_absent_name_is_told_apart_from_an_unknown_one(meters):
    meters.exchange(replace(DONE, tenant="", model=""))
    meters.authz("credential_missing", "")
    assert value(meters, "ostiary_exchanges_total", outcome="completed", code="none", tenant="none", model="none") == 1
    assert value(meters, "ostiary_authz_decisions_total", code="credential_missing", tenant="none") == 1


@pytest.mark.parametrize("code", ["ok", *(kind.value for kind in Kind)])
def test_every_error_code_has_its_own_series(meters, code):
    meters.authz(code, "acme")
    assert value(meters, "ostiary_authz_decisions_total", code=code, tenant="acme") == 1


def test_a_new_policy_brings_new_names_and_retires_old_ones(meters):
    meters.exchange(DONE)
    meters.know({"hooli"}, {"gpt"})
    meters.exchange(DONE)
    meters.exchange(replace(DONE, tenant="hooli"))
    labels = {"outcome": "completed", "code": "none", "model": "gpt"}
    assert value(meters, "ostiary_exchanges_total", tenant="acme", **labels) == 1
    assert value(meters, "ostiary_exchanges_total", tenant="other", **labels) == 1
    assert value(meters, "ostiary_exchanges_total", tenant="hooli", **labels) == 1


def test_the_number_of_series_is_bounded_even_when_code_errs(meters, monkeypatch):
    monkeypatch.setattr(metrics, "SERIES", 10)
    for number in range(50):
        found = Found(rule=f"r{number}", direction="request", count=1, action="flag", would="flag")
        meters.exchange(replace(DONE, found=(found,)))
    assert series(meters, "ostiary_findings_total") == 11
    other = dict.fromkeys(("rule", "direction", "action", "would"), "other")
    assert value(meters, "ostiary_findings_total", **other) == 40


@pytest.mark.parametrize("number", [-1, -(10**30), 10**400, 2**53])
def test_a_provider_that_reports_nonsense_cannot_break_the_count(meters, number):
    meters.exchange(replace(DONE, usage=Usage(input_tokens=number, output_tokens=5), request_bytes=number))
    labels = {"tenant": "acme", "model": "gpt", "source": "estimate"}
    assert value(meters, "ostiary_tokens_total", direction="input", **labels) == 0
    assert value(meters, "ostiary_tokens_total", direction="output", **labels) == 5
    assert value(meters, "ostiary_body_bytes_total", direction="request") == 0


@pytest.mark.parametrize(
    ("details", "code"),
    [
        ("route_not_found", "route_not_found"),
        ("upstream_reset_before_response_started{connection_timeout|x}", "upstream_reset_before_response_started"),
        ("", "other"),
        ("{x}", "other"),
        ("Ünicode", "other"),
        ("a" * 500, "a" * 64),
    ],
)
def test_local_replies_count_by_the_first_word_of_their_details(meters, details, code):
    meters.local_reply(details)
    assert value(meters, "ostiary_local_replies_total", code=code) == 1


@given(st.lists(st.text(), max_size=50))
def test_whatever_envoy_says_is_a_legal_label(details):
    meters = Meters(tenants=(), models=())
    for text in details:
        meters.local_reply(text)
    total = sum(
        count
        for (name, _), count in samples(generate_latest(meters.registry)).items()
        if name == "ostiary_local_replies_total"
    )
    assert total == len(details)


def test_dropped_records_and_exchanges_under_way(meters):
    meters.audit_dropped()
    meters.inflight(+1)
    meters.inflight(+1)
    meters.inflight(-1)
    assert value(meters, "ostiary_audit_dropped_total") == 1
    assert value(meters, "ostiary_exchanges_inflight") == 1


def test_the_supervisor_counts_restarts_and_workers():
    supervision = Supervision()
    supervision.worker_restarts(1)
    supervision.workers_alive(2)
    assert value(supervision, "ostiary_worker_restarts_total", worker="1") == 1
    assert value(supervision, "ostiary_workers_alive") == 2


def test_control_tells_when_its_certificate_ends():
    page = Certificates().page(1_790_000_000.0, 3)
    assert value(page, "ostiary_listener_certificate_end_timestamp_seconds") == 1_790_000_000
    assert value(page, "ostiary_listener_certificate_failures") == 3


def work(metrics_dir: Path, code: str) -> int:
    """Run `code` in a process that shares its numbers; the pid that it had."""
    program = textwrap.dedent(
        """
        import os
        from gateway.audit.record import Record, Usage
        from gateway.telemetry.metrics import Meters
        meters = Meters(tenants={"acme"}, models={"gpt"})
        def done():
            meters.exchange(Record(writer="inspect", request_id="r", started_at=1.0, duration_s=0.3, tenant="acme",
                                   model="gpt", outcome="completed", usage=Usage(input_tokens=7)))
        """,
    )
    ended = subprocess.run(
        [sys.executable, "-c", f"{program}\n{code}\nprint(os.getpid())"],
        env={"PATH": os.environ["PATH"], "PROMETHEUS_MULTIPROC_DIR": str(metrics_dir), "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=60,
        text=True,
    )
    return int(ended.stdout)


COUNTED = {"outcome": "completed", "code": "none", "tenant": "acme", "model": "gpt"}


def test_one_page_sums_all_workers_and_adds_the_supervisor(tmp_path):
    work(tmp_path, "done(); done(); meters.inflight(+2)")
    work(tmp_path, "done(); meters.inflight(+1)")
    supervision = Supervision()
    supervision.workers_alive(2)
    page = metrics.render(tmp_path, supervision.registry)
    assert value(page, "ostiary_exchanges_total", **COUNTED) == 3
    assert value(page, "ostiary_exchange_duration_seconds_count", model="gpt", streamed="false") == 3
    assert value(page, "ostiary_exchanges_inflight") == 3
    assert value(page, "ostiary_workers_alive") == 2


def test_a_forgotten_worker_leaves_its_counts_and_neither_gauges_nor_files(tmp_path):
    first = work(tmp_path, "done(); meters.inflight(+2)")
    second = work(tmp_path, "done(); meters.inflight(+1)")
    before = metrics.render(tmp_path)
    metrics.forget(tmp_path, first)
    page = metrics.render(tmp_path)
    assert value(page, "ostiary_exchanges_inflight") == 1
    metrics.forget(tmp_path, second)
    metrics.forget(tmp_path, second)
    page = metrics.render(tmp_path)
    for name, labels in (
        ("ostiary_exchanges_total", COUNTED),
        ("ostiary_exchange_duration_seconds_sum", {"model": "gpt", "streamed": "false"}),
        ("ostiary_exchange_duration_seconds_bucket", {"model": "gpt", "streamed": "false", "le": "0.32"}),
    ):
        assert value(page, name, **labels) == value(before, name, **labels) != 0
    assert value(page, "ostiary_exchanges_inflight") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_gone.db", "histogram_gone.db"]


def test_a_torn_file_of_a_dead_worker_does_not_spoil_the_page(tmp_path):
    work(tmp_path, "done()")
    torn = b"\xff\x00\x00\x00" + b"\x00" * 4 + b"\xff\xff\x00\x00" + b"x" * 100
    (tmp_path / "counter_999999.db").write_bytes(torn)
    (tmp_path / "histogram_999999.db").write_bytes(b"")
    with capture_logs() as logs:
        metrics.forget(tmp_path, 999999)
    assert [line["event"] for line in logs] == ["worker_metrics_lost"] * 2
    assert value(metrics.render(tmp_path), "ostiary_exchanges_total", **COUNTED) == 1


def test_a_page_of_no_workers_is_empty_and_a_missing_directory_is_an_error(tmp_path):
    assert metrics.render(tmp_path) == b""
    with pytest.raises(ValueError, match="not a directory"):
        metrics.render(tmp_path / "none")


def test_the_table_is_in_order():
    every = (*metrics.WORKER, *metrics.SUPERVISOR)
    assert len({metric.name for metric in every}) == len(every)
    for metric in every:
        assert metric.name.startswith("ostiary_")
        assert metric.name.endswith("_total") == (metric.kind.__name__ == "Counter"), metric.name
        assert metric.help.endswith("."), metric.name
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert bool(metric.buckets) == bool(metric.why_buckets) == (metric.kind.__name__ == "Histogram")


def test_the_objects_and_the_table_name_the_same_metrics(meters):
    families = {
        family.name: family
        for registry in (meters.registry, Supervision().registry, Certificates().registry)
        for family in registry.collect()
    }
    names = {metric.name.removesuffix("_total") for metric in (*metrics.WORKER, *metrics.SUPERVISOR, *metrics.CONTROL)}
    assert set(families) == names


def test_the_documented_table_is_current():
    page = ROOT / "docs" / "metrics.md"
    assert page.read_text() == metrics.table_markdown(), "write it again with the command on the page"


def test_kinds_of_tokens_and_cost_are_counted_by_tenant_and_model():
    meters = Meters(tenants=("acme",), models=("gpt",))
    usage = Usage(
        input_tokens=100, output_tokens=50, cached_tokens=40, cache_write_tokens=3, audio_input_tokens=2,
        reasoning_tokens=30, audio_output_tokens=1, cost_micros=1_250_000, currency="USD",
    )  # fmt: skip
    record = Record(
        writer="inspect", request_id="r", started_at=0.0, duration_s=0.1, tenant="acme", model="gpt", outcome="completed",
        usage=usage,
    )  # fmt: skip
    meters.exchange(record)
    meters.exchange(replace(record, tenant="nobody", model="made-up"))
    page = generate_latest(meters.registry).decode()
    for kind, number in {
        "cached_input": 40,
        "cache_write": 3,
        "audio_input": 2,
        "reasoning": 30,
        "audio_output": 1,
    }.items():
        assert f'ostiary_token_details_total{{kind="{kind}",model="gpt",tenant="acme"}} {number}.0' in page
    assert 'ostiary_cost_total{currency="USD",model="gpt",tenant="acme"} 1.25' in page
    assert 'ostiary_cost_total{currency="USD",model="other",tenant="other"} 1.25' in page


def test_an_exchange_without_a_price_costs_nothing_that_is_told():
    meters = Meters(tenants=("acme",), models=("gpt",))
    meters.exchange(
        Record(writer="inspect", request_id="r", started_at=0.0, duration_s=0.1, usage=Usage(input_tokens=1))
    )
    assert "ostiary_cost_total{" not in generate_latest(meters.registry).decode()


def test_what_tenants_share_has_a_series_for_the_whole_and_one_for_each_tenant_that_is_known(meters):
    meters.shared_budget("", "gpu", 0.5)
    meters.shared_budget("acme", "gpu", 1.25)
    for stranger in ("left", "gone"):
        meters.shared_budget(stranger, "gpu", 0.1)
    assert value(meters, "ostiary_shared_budget_used_ratio", limit="gpu") == 0.5
    assert value(meters, "ostiary_shared_budget_part_ratio", limit="gpu", tenant="acme") == 1.25
    assert series(meters, "ostiary_shared_budget_part_ratio") == 2
