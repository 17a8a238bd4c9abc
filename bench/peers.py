"""LiteLLM proxy and Portkey gateway beside Ostiary: installed from their registries, guards off, as their docs advise.

`make bench-peers` installs them into `.peers/` (a virtual environment and node_modules of their own) and runs them in
the same rounds against the same upstream. What is configured is printed with the result, so that it can be judged.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import rig
from gateway_bench import Target

LITELLM = "litellm[proxy]==1.106.2"
PORTKEY = "@portkey-ai/gateway@1.15.2"
HOME = rig.ROOT / ".peers"


def install() -> None:
    """Put both peers under `.peers/`. Says what it does; an absent npm skips Portkey."""
    HOME.mkdir(exist_ok=True)
    python = HOME / "venv/bin/python"
    if not (HOME / "venv/bin/litellm").exists():
        print(f"installing {LITELLM}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(HOME / "venv")], check=True)
        subprocess.run([str(python), "-m", "pip", "-q", "install", "--only-binary", ":all:", LITELLM], check=True)
    if shutil.which("npm") and not (HOME / "node_modules/@portkey-ai").exists():
        print(f"installing {PORTKEY}", file=sys.stderr)
        subprocess.run(
            ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(HOME), PORTKEY], check=True
        )


def start(stack: contextlib.ExitStack, work: Path, upstream_port: int, workers: int) -> Iterator[tuple[Target, str]]:
    """Start each peer; yields it with one line about its configuration."""
    install()
    yield _litellm(stack, work, upstream_port, workers)
    if shutil.which("node"):
        yield _portkey(stack, work, upstream_port)


def _litellm(stack: contextlib.ExitStack, work: Path, upstream_port: int, workers: int) -> tuple[Target, str]:
    port, key = rig.free_port(), f"sk-{secrets.token_hex(32)}"
    config = {
        "model_list": [
            {
                "model_name": "gpt-4o-mini",
                "litellm_params": {
                    "model": "openai/gpt-4o-mini",
                    "api_base": f"http://127.0.0.1:{upstream_port}/v1",
                    "api_key": "sk-bench",
                },
            }
        ],
        "general_settings": {"master_key": key},
        "litellm_settings": {"set_verbose": False, "request_timeout": 600},
    }
    path = work / "litellm.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    env = {
        "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PATH": f"{HOME}/venv/bin:{os.environ['PATH']}",
    }  # fmt: skip
    command = [str(HOME / "venv/bin/litellm"), "--config", str(path), "--host", "127.0.0.1", "--port", str(port),
               "--num_workers", str(workers)]  # fmt: skip
    child = stack.enter_context(rig.process(command, work / "litellm.log", env=env))
    rig.wait_port(port, 180)
    pids = {"litellm": child.pid} | {f"litellm{n}": pid for n, pid in enumerate(rig.children(child.pid))}
    line = f"{LITELLM}, {workers} worker(s), LITELLM_MODE=PRODUCTION, LITELLM_LOG=ERROR, no database, no guards, plain HTTP"
    return Target("LiteLLM, guards off", port, False, {"authorization": f"Bearer {key}"}, pids), line


def _portkey(stack: contextlib.ExitStack, work: Path, upstream_port: int) -> tuple[Target, str]:
    port = rig.free_port()
    script = HOME / "node_modules/@portkey-ai/gateway/build/start-server.js"
    command = ["node", str(script), "--headless", f"--port={port}"]
    child = stack.enter_context(rig.process(command, work / "portkey.log", env={"NODE_ENV": "production"}))
    rig.wait_port(port)
    headers = {
        "authorization": "Bearer sk-bench",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream_port}/v1",
    }
    line = f"{PORTKEY}, one process (it has no worker setting), NODE_ENV=production, no guards, plain HTTP"
    return Target("Portkey, guards off", port, False, headers, {"node": child.pid}), line
