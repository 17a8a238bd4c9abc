"""One harness, one run: bare Envoy, the no-op floor, Ostiary with every guard on; JSON and SSE. `make bench`.

Claims: see bench/README.md. All three targets stand behind the same TLS listener settings and the same upstream, are
loaded in turn by the same generator, round by round, so that a drifting machine drifts for all of them.
With `--peers` LiteLLM and Portkey join the same rounds (`make bench-peers`).
"""

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rig

_PROMPT = (
    "What is the capital of France? Explain in two sentences and mention the river. Keep the tone friendly; the reader "
    "is a traveller who has an afternoon, 40 euros and a camera, and likes to walk. "
)


@dataclass
class Target:
    """Something that answers /v1/chat/completions."""

    name: str
    port: int
    tls: bool
    headers: dict[str, str]
    pids: dict[str, int] = field(default_factory=dict)  # role -> pid, for CPU accounts
    path: str = "/v1/chat/completions"


def body(kib: int, *, stream: bool) -> str:
    """A chat request of about `kib` KiB of prose with one e-mail address at its end, which is redacted."""
    text = _PROMPT * max(1, (kib * 1024 - 220) // len(_PROMPT)) + "Write to bob@example.com when you are done."
    return json.dumps(
        {
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": text},
            ],
            "max_tokens": 128,
            **({"stream": True} if stream else {}),
        },
        separators=(",", ":"),
    )


@contextlib.contextmanager
def ostiary(state: Path, upstream_port: int, workers: int) -> Iterator[dict[str, Any]]:
    """The product as a user starts it, in front of our upstream."""
    credential = state.parent / "provider-key"
    credential.write_text("bench-provider-key-0123456789")
    credential.chmod(0o600)
    command = [
        sys.executable, "-m", "ostiary.cli", "up", "--json", "--port", "0", "--workers", str(workers), "--state",
        str(state), "--backend", f"http://127.0.0.1:{upstream_port}", "--credential-file", str(credential),
    ]  # fmt: skip
    with rig.process(command, state.parent / "up.log", stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith(b"{"):
                told = json.loads(line)
                key = re.search(r"osk_\w+", Path(told["keys_file"]).read_text())
                assert key is not None
                _lift_rates(state, child.pid)
                yield told | {
                    "key": key[0],
                    "envoy_config": str(state / "edge/envoy.yaml"),
                    "cert": str(state / "certs/server.pem"),
                    "key_file": str(state / "certs/server.key"),
                }
                return
        raise RuntimeError((state.parent / "up.log").read_text()[-2000:])


def _lift_rates(state: Path, pid: int) -> None:
    """The demo tenants' request rates would turn the load away; take them out and have the workers read again."""
    for path in (state / "policy").glob("**/tenants*.yaml"):
        path.write_text(re.sub(r"(?m)^\s+rate:.*\n", "", path.read_text()))
    for child, line in rig.children(pid).items():
        if "ostiary.cli serve" in line:
            os.kill(child, signal.SIGHUP)
    time.sleep(2)


@contextlib.contextmanager
def floor(
    work: Path, told: dict[str, Any], upstream_port: int, workers: int, *, adapt: bool = True
) -> Iterator[Target]:
    """The product's own Envoy configuration, with workers that do nothing; `adapt` False takes the direct route."""
    name = "floor (no-op handlers)" if adapt else "floor without adapt"
    sockets = work / ("floor" if adapt else "direct")
    sockets.mkdir(mode=0o750)
    port = rig.free_port()
    config = Path(told["envoy_config"]).read_text()
    run_dir = re.search(r"path: (.*)/worker-0\.sock", config)[1]  # type: ignore[index]
    config = config.replace(f"{run_dir}/worker-", f"{sockets}/worker-")
    config = re.sub(r"path: \S*admin\S*\.sock", f"path: {sockets}/admin.sock", config)
    config = config.replace(f"port_value: {told['port']}\n", f"port_value: {port}\n")
    route = f"{'oc' if adapt else 'od'}-demo"  # the backend that `up` is told; the policy has others beside it
    path = sockets / "envoy.yaml"
    path.write_text(config)
    with contextlib.ExitStack() as stack:
        pids = {}
        for index in range(workers):
            command = [sys.executable, str(rig.HERE / "floor.py"), f"{sockets}/worker-{index}.sock", route,
                       f"127.0.0.1:{upstream_port}"]  # fmt: skip
            child = stack.enter_context(rig.process(command, work / "floor.log", env={"PYTHONPATH": str(rig.ROOT)}))
            pids[f"worker{index}"] = child.pid
        pids["envoy"] = stack.enter_context(_envoy(path, work)).pid
        rig.wait_port(port)
        time.sleep(2)  # until Envoy's health checks have seen the sockets
        yield Target(name, port, True, {"authorization": "Bearer x"}, pids)


@contextlib.contextmanager
def bare(work: Path, told: dict[str, Any], upstream_port: int) -> Iterator[Target]:
    """Envoy with TLS and a route, and nothing else."""
    port = rig.free_port()
    cert, key = told["cert"], told["key_file"]
    config = {
        "static_resources": {
            "listeners": [{
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                "filter_chains": [{
                    "transport_socket": {"name": "tls", "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                        "common_tls_context": {
                            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3"},
                            "tls_certificates": [{"certificate_chain": {"filename": cert}, "private_key": {"filename": key}}],
                        }}},
                    "filters": [{"name": "http", "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
                                 ".HttpConnectionManager",
                        "stat_prefix": "bare",
                        "route_config": {"virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [
                            {"match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0s"}}]}]},
                        "http_filters": [{"name": "router", "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
                    }}],
                }],
            }],
            "clusters": [{"name": "up", "type": "STATIC", "load_assignment": {"cluster_name": "up", "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": {"socket_address": {
                    "address": "127.0.0.1", "port_value": upstream_port}}}}]}]}}],
        },
    }  # fmt: skip
    path = work / "bare.json"
    path.write_text(json.dumps(config))
    with _envoy(path, work) as child:
        rig.wait_port(port)
        yield Target("Envoy alone", port, True, {}, {"envoy": child.pid})


def _envoy(config: Path, work: Path) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    command = [
        str(rig.ENVOY),
        "-c",
        str(config),
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "-l",
        "warning",
    ]
    return rig.process(command, work / "envoy.log")


def measure(target: Target, scenario: dict[str, Any], ca: str, seconds: float) -> dict[str, Any]:
    """One load of one target, with the CPU that each of its processes spent on a request."""
    job = {
        "host": "127.0.0.1", "port": target.port, "tls": target.tls, "ca": ca, "path": target.path,
        "headers": target.headers, "seconds": seconds, **scenario,
    }  # fmt: skip
    before = {role: rig.cpu_s(pid) for role, pid in target.pids.items()}
    result = rig.load(job)
    spent = {role: rig.cpu_s(pid) - before[role] for role, pid in target.pids.items()}
    count = max(1, result["requests"])
    result["cpu_us_per_request"] = {role: round(value / count * 1e6) for role, value in spent.items()}
    total = sum(spent.values())
    result["per_cpu_second"] = round(count / total, 1) if total else 0.0
    return result


def scenarios() -> dict[str, dict[str, Any]]:
    """Name -> load settings."""
    return {
        "JSON 1 KB, c=10": {"body": body(1, stream=False), "connections": 10},
        "JSON 32 KB, c=10": {"body": body(32, stream=False), "connections": 10},
        "SSE 64 deltas, c=4": {"body": body(1, stream=True), "connections": 4, "stamped": True},
        "SSE 64 deltas, c=10": {"body": body(1, stream=True), "connections": 10, "stamped": True},
        "SSE 64 deltas, c=64": {"body": body(1, stream=True), "connections": 64, "stamped": True},
    }


def middle(rounds: list[dict[str, Any]], key: str) -> float:
    """The median over rounds."""
    return statistics.median(float(r[key]) for r in rounds)


def report(results: dict[str, dict[str, list[dict[str, Any]]]], head: dict[str, Any]) -> str:
    """A table for people."""
    lines = [
        f"machine: {head['machine']}",
        f"commit: {head['commit']}, rounds: {head['rounds']} x {head['seconds']} s",
        "",
    ]
    for name, targets in results.items():
        lines += [f"### {name}", "",
                  "| target | req/s | p50 ms | p95 ms | p99 ms | first text p50 ms | chunk delay p50/p99 ms | CPU µs/request | req/CPU-s | errors |",
                  "|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
        for target, rounds in targets.items():
            roles = rounds[0]["cpu_us_per_request"]
            cpu = ", ".join(
                f"{role} {statistics.median(r['cpu_us_per_request'][role] for r in rounds):.0f}" for role in roles
            )
            lines.append(
                f"| {target} | {middle(rounds, 'per_s'):.0f} | {middle(rounds, 'latency_p50_ms'):.2f} "
                f"| {middle(rounds, 'latency_p95_ms'):.2f} | {middle(rounds, 'latency_p99_ms'):.2f} "
                f"| {middle(rounds, 'first_p50_ms'):.2f} | {middle(rounds, 'chunk_delay_p50_ms'):.2f} / "
                f"{middle(rounds, 'chunk_delay_p99_ms'):.2f} | {cpu} | {middle(rounds, 'per_cpu_second'):.0f} "
                f"| {sum(r['errors'] for r in rounds)} |"
            )
        lines.append("")
    lines += [f"- {text}" for text in head["notes"]]
    return "\n".join(lines)


def main() -> int:
    """Run everything, print the table, write JSON beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--peers", action="store_true", help="also LiteLLM and Portkey (see bench/peers.py)")
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ostb") as name, contextlib.ExitStack() as stack:
        work = Path(name)
        upstream_port = rig.free_port()
        command = [sys.executable, str(rig.HERE / "upstream.py"), str(upstream_port), "2"]
        stack.enter_context(rig.process(command, work / "upstream.log"))
        rig.wait_port(upstream_port)
        told = stack.enter_context(ostiary(work / "s", upstream_port, options.workers))
        pids: dict[str, int] = {}
        for pid, line in rig.children(told["pid"]).items():
            if " worker " in line:
                pids[f"worker{sum(role != 'envoy' for role in pids)}"] = pid
            if "/envoy " in line:
                pids["envoy"] = pid
        governed = Target(
            "Ostiary, all guards on", told["port"], True, {"authorization": f"Bearer {told['key']}"}, pids
        )
        targets = [
            stack.enter_context(bare(work, told, upstream_port)),
            stack.enter_context(floor(work, told, upstream_port, options.workers)),
            stack.enter_context(floor(work, told, upstream_port, options.workers, adapt=False)),
            governed,
        ]
        notes = []
        if options.peers:
            import peers  # noqa: PLC0415 - needs packages that only bench-peers installs

            for peer, configuration in peers.start(stack, work, upstream_port, options.workers):
                targets.append(peer)
                notes.append(f"{peer.name}: {configuration}")
        wanted = {k: v for k, v in scenarios().items() if options.only in k}
        results: dict[str, dict[str, list[dict[str, Any]]]] = {k: {t.name: [] for t in targets} for k in wanted}
        for target in targets:
            measure(target, scenarios()["JSON 1 KB, c=10"], told["ca"], 1)  # warm up
        for number in range(options.rounds):
            for key, scenario in wanted.items():
                for target in targets:
                    result = measure(target, scenario, told["ca"], options.seconds)
                    results[key][target.name].append(result)
                    print(
                        f"round {number + 1} {key:22} {target.name:26} {result['per_s']:9.1f} req/s",
                        file=sys.stderr,
                    )
        notes += [f"{role} PSS {rig.pss_mib(pid):.0f} MiB" for role, pid in pids.items()]
        head = {
            "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "commit": subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=rig.ROOT,
                                     check=False).stdout.strip(),
            "rounds": options.rounds, "seconds": options.seconds, "notes": notes,
        }  # fmt: skip
    out = rig.HERE / "results"
    out.mkdir(exist_ok=True)
    (out / "gateway.json").write_text(json.dumps({"head": head, "results": results}, indent=1))
    text = report(results, head)
    (out / "gateway.md").write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
