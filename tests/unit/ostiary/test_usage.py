"""`ostiary usage`: sums out of audit files, and when budgets will be used up."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.record import Record, Usage
from gateway.budgets.model import Resource, Shape
from gateway.clock import SystemClock
from gateway.policy.load import load
from ostiary import cli
from ostiary.commands.usage import bars
from ostiary.usage import Sum, forecast, forecasts, read, sums, window_of

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400


def record(number, at_s=NOON, tenant="acme", model="gpt", micros=1_500_000, currency="USD", **usage):
    told = Usage(
        **{
            "input_tokens": 100,
            "output_tokens": 10,
            "source": "provider",
            "cost_micros": micros,
            "currency": currency,
            **usage,
        }
    )
    return Record(
        writer="inspect", request_id=f"r{number}", started_at=at_s - 1, duration_s=1.0, tenant=tenant, principal="alice", key_id="k1",
        model=model, backend="demo", usage=told,
    )  # fmt: skip


@pytest.fixture
def audit(tmp_path):
    directory = tmp_path / "audit"
    directory.mkdir()

    def write(*records, name="worker-0.jsonl"):
        (directory / name).write_bytes(b"".join(one.line() if isinstance(one, Record) else one for one in records))
        return directory

    return write


def found(directory, by=("tenant",)):
    problems = []
    return sums(read(sorted(directory.glob("*.jsonl")), problems.append), by), problems


def test_usage_is_added_up_by_what_is_asked_for(audit):
    audit(record(1), record(2, model="mini", micros=None), name="worker-0.jsonl")
    directory = audit(
        record(3, tenant="globex", source="estimate", cached_tokens=7, reasoning_tokens=5), name="worker-1.jsonl"
    )
    by_tenant, _ = found(directory)
    assert by_tenant == {
        ("acme",): Sum(exchanges=2, tokens_in=200, tokens_out=20, unpriced=1, micros={"USD": 1_500_000}),
        ("globex",): Sum(
            exchanges=1, tokens_in=100, tokens_out=10, cached=7, reasoning=5, estimated=1, micros={"USD": 1_500_000}
        ),
    }
    assert set(found(directory, ("day", "tenant", "model", "key"))[0]) == {
        ("2026-11-22", "acme", "gpt", "k1"), ("2026-11-22", "acme", "mini", "k1"), ("2026-11-22", "globex", "gpt", "k1"),
    }  # fmt: skip


def test_refusals_and_records_of_control_have_no_usage(audit):
    refused = Record(writer="authz", request_id="r", started_at=1.0, duration_s=0.0)
    assert found(audit(refused, b'{"action":"keys.create","request_id":"x"}\n'))[0] == {}


def test_a_line_that_a_failed_fsync_repeated_counts_once(audit):
    assert found(audit(record(1), record(2), record(1), record(2)))[0][("acme",)].exchanges == 2


def test_a_torn_line_is_named_and_the_rest_is_counted(audit):
    totals, problems = found(audit(record(1), b'{"request_id": "r2", "usa\n', b"[]\n", b'{"usage": {}}\n', record(3)))
    assert totals[("acme",)].exchanges == 2
    assert problems == [
        "worker-0.jsonl:2: not a record",
        "worker-0.jsonl:3: not a record",
        "worker-0.jsonl:4: not a record",
    ]


def test_an_older_record_without_details_is_read(audit):
    old = {"request_id": "r", "started_at": 1, "duration_s": 1, "tenant": "acme", "key_id": "", "principal": "", "model": "m",
           "backend": "b", "usage": {"input_tokens": 5, "output_tokens": 6, "source": "provider"}}  # fmt: skip
    assert found(audit(json.dumps(old).encode() + b"\n"))[0][("acme",)] == Sum(
        exchanges=1, tokens_in=5, tokens_out=6, unpriced=1
    )


def test_money_of_two_currencies_is_not_added_up(audit):
    directory = audit(record(1), record(2, currency="EUR", micros=10))
    assert found(directory)[0][("acme",)].micros == {"USD": 1_500_000, "EUR": 10}


# --- forecast --------------------------------------------------------------------------------------------------------


def test_a_steady_pace_reaches_the_limit_when_it_should():
    assert forecast(50, 100, 10, 3600.0, 0.0, 10**6) == (240.0, 18_000.0)
    assert forecast(50, 100, 10, 3600.0, 0.0, 17_999.0) == (240.0, None)
    assert forecast(50, 100, 0, 3600.0, 0.0, 10**6) == (0.0, None)
    assert forecast(100, 100, 0, 3600.0, 7.0, 10**6) == (0.0, 7.0)


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.integers(0, 10**9), st.floats(1, 10**6))
def test_exhaustion_is_neither_past_nor_behind_the_window(used, amount, recent, recent_s):
    _, at_s = forecast(used, amount, recent, recent_s, 1000.0, 90_000.0)
    assert at_s is None or 1000.0 <= at_s < 90_000.0


@pytest.mark.parametrize(
    ("moment", "shape", "first", "last"),
    [
        ("2026-11-22T12:00", Shape.DAY, "2026-11-22", "2026-11-23"),
        ("2026-11-22T12:00", Shape.MONTH, "2026-11-01", "2026-12-01"),
        ("2026-12-31T23:59", Shape.MONTH, "2026-12-01", "2027-01-01"),
        ("2028-02-29T00:00", Shape.MONTH, "2028-02-01", "2028-03-01"),
    ],
)
def test_windows_of_the_calendar_are_utc(moment, shape, first, last):
    def unix(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    assert window_of(shape, unix(moment)) == (unix(first), unix(last))


@pytest.fixture
def policy(tmp_path):
    directory = tmp_path / "policy"
    directory.mkdir()
    for name, text in {
        "policy.yaml": "name: test\n",
        "backends.yaml": "demo: {url: 'http://127.0.0.1:8091'}\n",
        "models.yaml": "gpt: {backend: demo, group: large}\nmini: demo\n",
        "tenants.yaml": """
acme:
  models: '*'
  routes: '*'
  budgets:
    limits:
      day: {tokens: 1000, per: day}
      money: {money: 100, per: month, scope: [key, model_group]}
      minute: {tokens: 5, per: minute}
""",
    }.items():
        (directory / name).write_text(text)
    return directory


def test_limits_of_the_calendar_are_forecast_for_each_of_their_scope(audit, policy):
    today = [record(number, NOON - 3600 * number) for number in range(6)]  # 660 tokens since 07:00
    before = record(7, NOON - 3 * DAY_S)
    other = record(8, NOON - 60, model="mini", micros=9)  # in no group: the second limit does not hold for it
    late = record(9, NOON - 40 * DAY_S)
    exchanges = list(read([audit(*today, before, other, late) / "worker-0.jsonl"], print))
    day, money = forecasts(load(policy, rules=()), exchanges, NOON)
    assert (day.limit, day.used, day.amount, day.resource) == ("day", 770, 1000, Resource.TOKENS)
    assert day.per_day == pytest.approx(1540)  # 770 in twelve hours
    assert day.exhausted_s == pytest.approx(NOON + 230 / 770 * 12 * 3600)
    assert (money.limit, money.subject, money.used) == ("money", "key=k1 model_group=large", 7 * 1_500_000)
    assert money.per_day == pytest.approx(6 * 1_500_000)
    assert money.exhausted_s is None  # the month ends first


# --- the command -----------------------------------------------------------------------------------------------------


def run(capsys, *words):
    code = cli.main(["usage", *map(str, words)])
    return code, *capsys.readouterr()


@pytest.fixture
def recent(audit):
    now_s = SystemClock().now()
    return audit(
        record(1, now_s), record(2, now_s, tenant="globex", micros=None), record(3, now_s - 3 * DAY_S), record(4, now_s - 40 * DAY_S)
    )  # fmt: skip


def test_a_table_with_a_sum_is_printed(capsys, recent):
    code, told, _ = run(capsys, "--audit", recent)
    assert code == 0
    lines = [line.split() for line in told.splitlines()]
    assert lines[0][:4] == ["TENANT", "MODEL", "EXCHANGES", "INPUT"]
    assert lines[1] == ["acme", "gpt", "2", "200", "0", "20", "0", "3.00", "USD", "0", "0"]
    assert lines[2] == ["globex", "gpt", "1", "100", "0", "10", "0", "-", "0", "1"]
    assert lines[3][:2] == ["all", "3"]


def test_periods_and_filters_narrow_it(capsys, recent):
    assert run(capsys, "--audit", recent, "--since", "1d", "--tenant", "acme", "--by", "tenant")[1].splitlines()[
        1
    ].split()[:2] == ["acme", "1"]
    assert run(capsys, "--audit", recent, "--since", "60d", "--by", "tenant")[1].splitlines()[1].split()[:2] == [
        "acme",
        "3",
    ]


def test_csv_adds_up_and_no_cell_is_a_formula(capsys, audit):
    now_s = SystemClock().now()
    directory = audit(record(1, now_s, tenant="=1+1"), record(2, now_s, tenant="=1+1", currency="EUR", micros=5))
    rows = list(csv.DictReader(io.StringIO(run(capsys, "--audit", directory, "--by", "tenant", "--csv")[1])))
    assert [row["tenant"] for row in rows] == ["'=1+1", "'=1+1"]
    assert sum(int(row["exchanges"]) for row in rows) == 2
    assert [(row["cost_micros"], row["currency"]) for row in rows] == [("5", "EUR"), ("1500000", "USD")]


def test_json_has_sums_and_forecast(capsys, recent, policy):
    code, told, _ = run(capsys, "--audit", recent, "--by", "model", "--json", "--policy", policy)
    tree = json.loads(told)
    assert code == 0
    assert tree["groups"][0]["model"] == "gpt"
    assert tree["groups"][0]["exchanges"] == 3
    assert {one["limit"] for one in tree["forecast"]} >= {"day"}


def test_a_plot_and_a_forecast_stand_below_the_table(capsys, recent, policy):
    told = run(capsys, "--audit", recent, "--by", "day", "--plot", "--policy", policy)[1]
    assert "█" in told
    assert "EXHAUSTED" in told


def test_bars_are_as_long_as_their_share():
    lines = bars({("a",): Sum(tokens_in=80), ("bb",): Sum(tokens_in=40), ("c",): Sum(tokens_in=1)}).splitlines()
    assert [line.count("█") for line in lines] == [40, 20, 0]
    assert lines[2].startswith("c   ▌")
    assert "40" in lines[1]
    assert bars({}) == ""


@pytest.mark.parametrize("words", [["--by", "colour"], ["--since", "yesterday"], ["--until", "never"]])
def test_what_cannot_be_understood_is_named(capsys, recent, words):
    code, told, problem = run(capsys, "--audit", recent, *words)
    assert (code, told) == (1, "")
    assert words[1] in problem


def test_a_directory_without_records_is_a_problem(capsys, tmp_path):
    assert run(capsys, "--audit", tmp_path)[0] == 1
