"""Envoy itself accepts what we render, without a deprecated field."""

import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic.warnings import PydanticDeprecatedSince212

from certs import Authority

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", category=PydanticDeprecatedSince212)
    from control.edge import spec
    from control.edge.render import render
    from control.edge.spec import ClientCertificates, Tls

from ostiary import bundle

ROOT = Path(__file__).resolve().parents[2]
ENVOY = Path(sys.executable).parent / "envoy"


@pytest.mark.parametrize("asked", list(ClientCertificates))
def test_envoy_accepts_the_reference(tmp_path, asked):
    wanted = spec.read(ROOT / "envoy" / "ostiary.yaml")
    pair = Authority(tmp_path / "certs").issue("server")
    # Envoy reads certificates while it validates, so the reference's paths are exchanged for real files.
    files = {"cert": str(pair.cert), "key": str(pair.key)}
    if asked is not ClientCertificates.OFF:
        files["client_ca"] = str(pair.cert)
    text = render(
        replace(wanted, tls=Tls(**files, client_certificates=asked), ca_file=str(pair.cert)),
        bundle.load(Path(wanted.policy_dir)),
    )
    config = tmp_path / "envoy.yaml"
    config.write_text(text)
    checked = subprocess.run(
        [ENVOY, "--mode", "validate", "-c", config, "--log-level", "warning"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "OK" in checked.stdout
    assert "deprecated" not in checked.stderr.lower(), checked.stderr
