"""Nothing is written that would weaken the gateway, and what is written is whole. With real Envoy: test_dynamic.py."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from control.edge import dynamic
from edge_rendered import NAMED, PLAIN, SPEC, policy
from gateway.clock import SystemClock
from ostiary import cli, edgefiles
from ostiary.problem import Problem


@pytest.fixture
def place(tmp_path):
    return tmp_path / "dynamic"


def publish(place, parts=None, *backends):
    return edgefiles.publish(
        parts or dynamic.parts(SPEC, policy(*(backends or (PLAIN, NAMED))), str(place)),
        bootstrap=place.parent / "envoy.yaml",
        directory=place,
        admin=place.parent / "no-envoy.sock",
        version="p-test",
        clock=SystemClock(),
    )


def held(place):
    return {file.name: file.read_text() for file in sorted(place.parent.rglob("*")) if file.is_file()}


def test_without_an_envoy_three_files_are_written(place):
    done = publish(place)
    assert (done.live, done.restart) == (False, False)
    assert held(place).keys() == {"envoy.yaml", dynamic.CLUSTERS, dynamic.ROUTES}


def test_a_change_of_backends_leaves_the_bootstrap_alone(place):
    publish(place)
    bootstrap = place.parent / "envoy.yaml"
    inode = bootstrap.stat().st_ino
    publish(place, None, PLAIN)
    assert bootstrap.stat().st_ino == inode
    names = [each["name"] for each in yaml.safe_load((place / dynamic.CLUSTERS).read_text())["resources"]]
    assert names == ["oc-plain", "be-plain"]


def test_what_the_linter_refuses_is_not_written(place):
    publish(place)
    before = held(place)
    parts = dynamic.parts(SPEC, policy(NAMED), str(place))
    data = yaml.safe_load(parts.clusters.text)
    next(each for each in data["resources"] if each["name"] == "be-named").pop("transport_socket")
    weak = replace(parts, clusters=replace(parts.clusters, text=yaml.safe_dump(data)))
    with pytest.raises(Problem, match=r"nothing was written:\n.*backend\.plaintext"):
        publish(place, weak)
    assert held(place) == before


def test_a_directory_in_which_anybody_writes_is_refused(place):
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(Problem, match="anybody may write"):
        publish(place)
    assert held(place) == {}


def test_the_command_writes_the_parts_and_the_linter_reads_them_together(tmp_path, capsys):
    spec = Path(__file__).resolve().parents[3] / "envoy" / "ostiary.yaml"
    bootstrap, place = tmp_path / "envoy.yaml", tmp_path / "dynamic"
    asked = ["envoy", "render", "--spec", str(spec), "--dynamic", str(place)]
    assert cli.main(asked) == 1
    assert "needs -o" in capsys.readouterr().err
    assert cli.main([*asked, "-o", str(bootstrap)]) == 0
    assert "no Envoy runs with it yet" in capsys.readouterr().out
    assert cli.main(["envoy", "lint", str(bootstrap)]) == 0
    assert "no problems found" in capsys.readouterr().out
    (place / dynamic.CLUSTERS).unlink()
    cli.main(["envoy", "lint", str(bootstrap)])
    assert "bootstrap.dynamic" in capsys.readouterr().out
