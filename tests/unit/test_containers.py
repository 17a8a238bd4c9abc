"""Container files, judged without a Docker engine: by compose-go, hadolint, and the rules that we promise."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_compose_accepts_the_file():
    done = subprocess.run(
        [BIN / "docker-compose", "-f", "docker-compose.yml", "config", "-q"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_hadolint_finds_nothing():
    done = subprocess.run([BIN / "hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "10001:10001"
    assert service["mem_limit"]
    assert "privileged" not in service
    secret = re.compile(r"_(KEY|SECRET|TOKEN|PASSWORD)$")
    assert not [variable for variable in service.get("environment", ()) if secret.search(variable)]


def test_only_envoy_is_reachable_and_only_from_this_machine():
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "envoy": ["127.0.0.1:8443:8443"]
    }
    assert {SERVICES[name]["network_mode"] for name in ("init", "valkey", "control", "gateway")} == {"none"}


def test_each_container_sees_only_its_own_part_of_the_state():
    seen = {
        name: {
            volume["volume"]["subpath"]: volume.get("read_only", False)
            for volume in service.get("volumes", ())
            if isinstance(volume, dict)
        }
        for name, service in SERVICES.items()
    }
    assert seen["envoy"] == {"edge": True, "certs": True}
    assert seen["gateway"] == {"policy": True, "secrets": True, "provider": True, "audit": False}
    assert seen["demo"] == {"provider": True}
    # What unwraps the signing keys is control's alone.
    assert seen["control"] == {"policy": True, "secrets": True, "control": True, "audit": False}
    assert seen["valkey"] == {"valkey": False}


def test_the_image_holds_every_package_and_runs_as_nobody():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    assert set(packages) <= set(re.findall(r"^COPY (\w+) /opt/ostiary/lib/\1$", DOCKERFILE, re.MULTILINE))
    assert "USER 10001:10001" in DOCKERFILE.partition(" AS base")[2]
    assert "dev.txt" not in DOCKERFILE
    assert DOCKERFILE.count("--require-hashes") == DOCKERFILE.count("pip install")
    assert re.findall(r"^FROM .* AS (\w[\w-]*)$", DOCKERFILE, re.MULTILINE)[-1] == "gateway"


def test_the_build_context_lets_in_what_is_copied_and_nothing_else():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    admitted = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = set(re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE))
    assert admitted == copied


def test_the_lock_of_the_tools_image_agrees_with_the_others():
    """One version of each package, whichever file it is installed from."""
    pins: dict[str, set[str]] = {}
    for name in ("run", "render", "embedded", "dev"):
        for package, version in re.findall(
            r"^([\w.-]+)==([^ ;\\]+)", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE
        ):
            pins.setdefault(package, set()).add(version)
    assert {package: versions for package, versions in pins.items() if len(versions) > 1} == {}
