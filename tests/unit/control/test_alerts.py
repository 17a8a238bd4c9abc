"""Telling the webhook: signed, once, tried again with growing waits, given up some day, and always on record."""

import json
from datetime import datetime
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from clocks import ManualClock
from control.alerts import GIVE_UP_S, Alerts, alert
from gateway import hook
from gateway.budgets.board import Notice
from gateway.budgets.price import PriceBook
from gateway.fetch import FetchError, StatusError
from gateway.policy.model import AlertHook

SECRET = "a secret of a webhook, long enough"
HOOK = AlertHook(url="https://alerts.example/api/v2/alerts", secret_file="hook.secret")
START = ManualClock().now()
NOTICE = Notice(
    id="alert_1",
    key="ostiary:{acme}:budget:day:tokens:day:acme",
    tenant="acme",
    limit="day",
    resource="tokens",
    subject={},
    percent=80,
    used=4100,
    amount=5000,
    hard=True,
    at_s=START,
    ends_s=START + 7200,
)


class FakeBoard:
    """Notices with the time at which they are due."""

    def __init__(self, clock, *notices):
        self.clock, self.due = clock, {one.id: (one, 0.0) for one in notices}
        self.waits = []

    async def take(self, lease_ms, most):
        now = self.clock.monotonic()
        found = [one for one, at in self.due.values() if at <= now][:most]
        for one in found:
            self.due[one.id] = (one, now + lease_ms / 1000)
        return found

    async def later(self, notice, wait_ms):
        self.waits.append(wait_ms / 1000)
        self.due[notice.id] = (notice, self.clock.monotonic() + wait_ms / 1000)

    async def done(self, notice):
        del self.due[notice.id]


class Sending:
    def __init__(self, tmp_path, *notices, configured=HOOK):
        (tmp_path / "hook.secret").write_text(SECRET)
        (tmp_path / "hook.secret").chmod(0o600)
        self.clock = ManualClock()
        self.board = FakeBoard(self.clock, *(notices or (NOTICE,)))
        self.policy = SimpleNamespace(alert_hook=configured, credential_dir=str(tmp_path), prices=PriceBook())
        self.answers, self.posted, self.records, self.dialled, self.closed = [], [], [], [], 0
        self.taken = True
        self.alerts = Alerts(
            board=self.board,
            policy=lambda: self.policy,
            dial=self._dial,
            offer=self._offer,
            clock=self.clock,
            chance=lambda: 0.0,
        )

    def _dial(self, url, ca_file):
        self.dialled.append((url, ca_file))
        return self

    def _offer(self, record):
        self.records.append(record)
        return self.taken

    async def post(self, headers, content, max_bytes, deadline_s):
        self.posted.append((dict(headers), content))
        answer = self.answers.pop(0) if self.answers else b""
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self):
        self.closed += 1


async def test_what_is_sent_is_signed_and_put_on_record(tmp_path):
    sending = Sending(tmp_path)
    await sending.alerts.send_due()
    ((headers, body),) = sending.posted
    assert hook.verify(SECRET.encode(), headers, body, START) == "alert_1"
    assert [one["labels"]["alertname"] for one in json.loads(body)] == ["OstiaryBudget"]
    (record,) = sending.records
    assert (record.writer, record.method, record.tenant, record.outcome) == (
        "control",
        "budget.alert",
        "acme",
        "completed",
    )
    assert record.details["delivery"] == "sent"
    assert SECRET not in repr(record)
    await sending.alerts.send_due()
    assert len(sending.posted) == 1


@pytest.mark.parametrize("status", [201, 202, 204])
async def test_every_2xx_is_a_yes(tmp_path, status):
    sending = Sending(tmp_path)
    sending.answers = [StatusError(status)]
    await sending.alerts.send_due()
    assert sending.records[0].outcome == "completed"


async def test_without_a_hook_it_is_on_record_alone(tmp_path):
    sending = Sending(tmp_path, configured=None)
    await sending.alerts.send_due()
    assert (sending.posted, sending.board.due) == ([], {})
    assert sending.records[0].details["delivery"] == "recorded"


async def test_a_hook_that_fails_is_asked_less_and_less_and_in_the_end_not_any_more(tmp_path):
    sending = Sending(tmp_path)
    sending.answers = [StatusError(500)] * 1000
    for _ in range(int(GIVE_UP_S) + 400):
        await sending.alerts.send_due()
        sending.clock.advance(1)
    assert sending.board.waits[:4] == [2, 2, 4, 8]
    assert max(sending.board.waits) == 300
    assert len(sending.posted) < 25
    (record,) = sending.records
    assert (record.outcome, record.reason, record.details["delivery"]) == ("failed", "answered 500", "given up")
    assert sending.board.due == {}


async def test_a_hook_that_is_away_is_asked_for_one_notice_alone(tmp_path):
    sending = Sending(tmp_path, *(replace(NOTICE, id=f"alert_{number}") for number in range(4)))
    sending.answers = [FetchError("failed: ConnectError")]
    await sending.alerts.send_due()
    assert (len(sending.posted), len(sending.board.waits)) == (1, 4)
    sending.clock.advance(3)
    await sending.alerts.send_due()
    assert (len(sending.posted), len(sending.records)) == (5, 4)


async def test_what_is_not_on_record_is_not_over(tmp_path):
    sending = Sending(tmp_path)
    sending.taken = False
    await sending.alerts.send_due()
    assert list(sending.board.due) == ["alert_1"]


async def test_a_secret_that_cannot_be_used_sends_nothing(tmp_path):
    sending = Sending(tmp_path)
    (tmp_path / "hook.secret").write_text("short")
    await sending.alerts.send_due()
    assert (sending.posted, len(sending.board.waits)) == ([], 1)


async def test_another_hook_after_a_reload_is_dialled_anew(tmp_path):
    sending = Sending(tmp_path, *(replace(NOTICE, id=f"alert_{number}") for number in range(2)))
    await sending.alerts.send_due()
    assert sending.dialled == [(HOOK.url, None)]
    sending.policy.alert_hook = AlertHook(url="https://other.example", secret_file="hook.secret", ca_file="ca.pem")
    sending.board.due["x"] = (replace(NOTICE, id="x"), 0.0)
    await sending.alerts.send_due()
    assert sending.dialled[1:] == [("https://other.example", str(tmp_path / "ca.pem"))]
    assert sending.closed == 1


def test_an_alert_says_who_how_much_and_until_when():
    told = alert(replace(NOTICE, subject={"key": "k1"}, resource="micro_usd", used=1_500_000, amount=2_000_000), "EUR")
    assert told["labels"] == {
        "alertname": "OstiaryBudget",
        "tenant": "acme",
        "limit": "day",
        "threshold": "80",
        "severity": "warning",
        "key": "k1",
    }
    assert told["annotations"]["summary"] == "acme: limit 'day' of key k1 is at 75 %"
    assert told["annotations"]["description"] == "1.50 of 2.00 EUR are used."
    begins, ends = (datetime.fromisoformat(told[name]).timestamp() for name in ("startsAt", "endsAt"))
    assert (begins, ends) == (START, START + 7200)


@pytest.mark.parametrize(("percent", "hard", "severity"), [(100, True, "critical"), (100, False, "warning")])
def test_only_a_full_hard_limit_is_critical(percent, hard, severity):
    assert alert(replace(NOTICE, percent=percent, hard=hard), "USD")["labels"]["severity"] == severity


def test_what_tenants_share_is_told_to_no_tenant():
    told = alert(replace(NOTICE, tenant="", limit="gpu", key="ostiary:{:shared:gpu}:tokens:sliding60"), "USD")
    assert told["labels"] == {
        "alertname": "OstiaryBudget", "shared": "true", "limit": "gpu", "threshold": "80", "severity": "warning"
    }  # fmt: skip
    assert told["annotations"]["summary"] == "all who share: limit 'gpu' is at 82 %"
