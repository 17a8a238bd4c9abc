"""What `ostiary up` shows: where everything is, what to paste, and the one governed request of `--check`."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.contract import OPERATOR_SOCKET
from ostiary import probe
from ostiary.state import State

_CARD: Final = "4111 1111 1111 1111"  # the test number of every card scheme's sandbox
_QUESTION: Final = f"My card is {_CARD} and my mail is ada@example.com"


#: The models of a pool: the first backend is not there, the second speaks Anthropic's dialect.
_FAILOVER: Final = """\
Failover and translation: the pool's first backend is away, the next speaks Anthropic's dialect. See x-ostiary-backend:

  curl -i --cacert {ca} {url}/chat/completions \\
    -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\
    -d '{{"model": "demo-failover", "messages": [{{"role": "user", "content": "Who answers?"}}]}}'

"""


@dataclass(frozen=True, slots=True)
class Plan:
    """A gateway that runs, as its user needs to know it."""

    state: State
    port: int
    admin_port: int
    workers: int
    pids: tuple[int, int]  # of the workers' supervisor and of control: both read the policy
    keys: dict[str, str] = field(repr=False)
    demo: bool = True

    @property
    def url(self) -> str:
        """The base URL for SDKs."""
        return f"https://localhost:{self.port}/v1"

    @property
    def operator_socket(self) -> Path:
        """Where commands reach control."""
        return self.state.run / OPERATOR_SOCKET

    def facts(self) -> dict[str, Any]:
        """For programs. Keys are named by file: this line ends up in logs."""
        return {
            "url": self.url,
            "port": self.port,
            "admin": f"http://127.0.0.1:{self.admin_port}",
            "ca": str(self.state.ca),
            "keys_file": str(self.state.keys),
            "audit": str(self.state.audit),
            "logs": str(self.state.logs),
            "policy": str(self.state.policy),
            "run": str(self.state.run),
            "operator_socket": str(self.operator_socket),
            "workers": self.workers,
            "pid": os.getpid(),
            "serve_pid": self.pids[0],
            "control_pid": self.pids[1],
        }


def banner(plan: Plan) -> str:
    """The page that a newcomer pastes from."""
    key, ca, model = plan.keys["acme"], plan.state.ca, "demo-echo" if plan.demo else "gpt-4o-mini"
    failover = _FAILOVER.format(ca=ca, url=plan.url, key=key) if plan.demo else ""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": _QUESTION}]})
    return f"""
Ostiary is open on {plan.url}
  key (tenant acme, redacts)    {key}
  key (tenant globex, blocks)   {plan.keys["globex"]}

Paste this; the model will have seen placeholders instead of the card and the address:

  curl --cacert {ca} {plan.url}/chat/completions \\
    -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\
    -d '{body}'

or with the official SDK (pip install openai):

  SSL_CERT_FILE={ca} OPENAI_BASE_URL={plan.url} OPENAI_API_KEY={key} python -c '
  import openai
  for event in openai.OpenAI().chat.completions.create(model="{model}", stream=True,
          messages=[{{"role": "user", "content": "{_QUESTION}"}}]):
      print(event.choices[0].delta.content or "", end="", flush=True)
  print()'

{failover}  keys      ostiary keys list --socket {plan.operator_socket}
  audit     {plan.state.audit}/*.jsonl
  logs      {plan.state.logs}
  policy    {plan.state.policy}   (after an edit: kill -HUP {os.getpid()})
  metrics   http://127.0.0.1:{plan.admin_port}/metrics

Ctrl-C stops everything."""


def check(plan: Plan, say: Callable[[str], None]) -> int:
    """One governed request through the front door, judged. Returns the exit code."""
    model = "demo-echo" if plan.demo else "gpt-4o-mini"
    body = {"model": model, "messages": [{"role": "user", "content": _QUESTION}]}
    answer = probe.ask(plan.port, plan.state.ca, plan.keys["acme"], "/v1/chat/completions", body)
    say(f"sent      {_QUESTION}")
    if answer.status != 200:
        say(f"answered  {answer.status}: {answer.body.decode('utf-8', 'replace')[:500]}")
        return 1
    told = answer.json()
    text = told["choices"][0]["message"]["content"] or ""
    say(f"answered  {text}")
    say(f"counted   {told.get('usage')}")
    refused = probe.ask(plan.port, plan.state.ca, "osk_wrong", "/v1/chat/completions", body)
    say(f"without a valid key: {refused.status}")
    governed = _CARD not in text and refused.status == 401
    say("the gateway governs" if governed else "THE GATEWAY DOES NOT GOVERN")
    return 0 if governed else 1
