"""`ostiary budgets`: what control tells, as people and spreadsheets read it."""

import csv
import io
import json

import pytest

from ostiary import operator
from ostiary.cli import main
from ostiary.commands.budgets import bar

DAY = {
    "limit": "day",
    "subject": {},
    "counts": "tokens",
    "currency": None,
    "window": "day",
    "window_s": None,
    "kind": "hard",
    "amount": 5000,
    "used": 3000,
    "held": 500,
    "remaining": 1500,
    "reset_s": 7260.5,
}
EACH = DAY | {
    "limit": "each",
    "subject": {"principal": "=cmd()\x1b[2J"},
    "counts": "money",
    "currency": "USD",
    "kind": "soft",
    "amount": 20_000_000,
    "used": 21_500_000,
    "held": 0,
    "remaining": 0,
}


@pytest.fixture
def told(monkeypatch):
    asked = []
    answer = {"tenant": "acme", "limits": [DAY, EACH]}

    def ask(arguments, method, path, body=None):
        asked.append((method, path, body))
        return answer

    monkeypatch.setattr(operator, "ask", ask)
    answer["asked"] = asked
    return answer


def test_a_table_with_bars(told, capsys):
    assert main(["budgets", "acme"]) == 0
    assert told["asked"] == [("GET", "/admin/v1/budgets/acme", None)]
    head, day, each = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["LIMIT", "OF", "COUNTS", "USED"]
    assert "3,000" in day
    assert "█" * 12 + "▒" * 2 + "·" * 6 in day
    assert ("60 %" in day, "2 h" in day) == (True, True)
    assert ("21.50 USD" in each, "20.00 USD" in each, "107 %" in each, "(soft)" in each) == (True,) * 4
    assert "\x1b" not in each


def test_csv_is_safe_for_spreadsheets(told, capsys):
    assert main(["budgets", "acme", "--csv", "--limit", "a&b"]) == 0
    assert told["asked"][0][1] == "/admin/v1/budgets/acme?limit=a%26b"
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["limit"], row["used"], row["amount"]) for row in rows] == [
        ("day", "3000", "5000"),
        ("each", "21500000", "20000000"),
    ]
    assert rows[1]["subject"].startswith("principal=")


def test_json_is_what_control_told(told, capsys):
    del told["asked"]
    assert main(["budgets", "acme", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told


def test_a_tenant_without_limits_is_told_so(told, capsys):
    told["limits"] = []
    assert main(["budgets", "acme"]) == 0
    assert "No limit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("used", "held", "drawn"),
    [(0, 0, "·" * 20), (50, 25, "█" * 10 + "▒" * 5 + "·" * 5), (90, 50, "█" * 18 + "▒▒"), (300, 9, "█" * 20)],
)
def test_a_bar_is_never_longer_than_it_is(used, held, drawn):
    assert bar(used, held, 100) == drawn


GPU = DAY | {
    "limit": "gpu",
    "window": "sliding",
    "assured": 1250,
    "members": [
        {"tenant": "acme", "weight": 1, "assured": 1250, "used": 2500, "held": 0},
        {"tenant": "beta", "weight": 3, "assured": 3750, "used": 500, "held": 500},
    ],
}


def test_below_what_is_shared_stands_the_tenants_part_of_it(told, capsys):
    told["limits"] = [GPU]
    assert main(["budgets", "acme"]) == 0
    _, whole, part = capsys.readouterr().out.splitlines()
    assert "shared by=2 tenants" in whole
    assert "3,000" in whole
    assert "assured to=acme" in part
    assert "200 %" in part


def test_every_member_is_shown_for_one_limit(told, capsys):
    told["limits"] = [GPU]
    assert main(["budgets", "acme", "--limit", "gpu"]) == 0
    assert [line.split("=")[1].split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["2", "acme", "beta"]
