"""Files that Envoy watches are judged where a static bootstrap would have what they say, and problems name them."""

import pytest
import yaml

from control.edge import dynamic
from control.edge.lint.engine import lint
from edge_rendered import LITERAL, NAMED, PLAIN, SPEC, policy

HERE = "/etc/envoy/dynamic"
PARTS = dynamic.parts(SPEC, policy(PLAIN, NAMED, LITERAL), HERE)


def linted(**changed):
    texts = {dynamic.CLUSTERS: PARTS.clusters.text, dynamic.ROUTES: PARTS.routes.text} | changed

    def opened(path):
        name = path.removeprefix(f"{HERE}/")
        if name not in texts:
            raise FileNotFoundError(path)
        return texts[name]

    return lint(PARTS.bootstrap, opened=opened)


def test_the_linter_sees_the_whole():
    assert linted() == []


def test_what_the_linter_cannot_read_is_told():
    assert {each.rule for each in lint(PARTS.bootstrap)} >= {"bootstrap.dynamic"}


def test_a_weak_cluster_is_found_in_its_file():
    data = yaml.safe_load(PARTS.clusters.text)
    next(each for each in data["resources"] if each["name"] == "be-named").pop("transport_socket")
    found = linted(**{dynamic.CLUSTERS: yaml.safe_dump(data)})
    assert {(each.rule, each.source) for each in found} == {("backend.plaintext", f"{HERE}/{dynamic.CLUSTERS}")}


def test_a_route_that_serves_what_inspect_did_not_choose_is_found_in_its_file():
    data = yaml.safe_load(PARTS.routes.text)
    data["resources"][0]["virtual_hosts"][0]["routes"][0]["match"].pop("headers")
    found = linted(**{dynamic.ROUTES: yaml.safe_dump(data)})
    assert found
    assert {each.source for each in found} == {f"{HERE}/{dynamic.ROUTES}"}


@pytest.mark.parametrize("name", [dynamic.CLUSTERS, dynamic.ROUTES])
def test_a_file_that_is_no_yaml_is_an_error_of_that_file(name):
    (problem,) = linted(**{name: "resources: ["})
    assert (problem.rule, problem.source) == ("input.not-yaml", f"{HERE}/{name}")


def test_a_key_that_stands_twice_in_a_file_is_told_of_that_file():
    text = PARTS.clusters.text
    found = linted(**{dynamic.CLUSTERS: f"{text}version_info: again\n"})
    assert [(each.rule, each.source) for each in found] == [("input.duplicate-key", f"{HERE}/{dynamic.CLUSTERS}")]


def test_resources_may_be_wrapped_and_others_are_not_taken_for_clusters():
    data = yaml.safe_load(PARTS.clusters.text)
    wrapper = "type.googleapis.com/envoy.service.discovery.v3.Resource"
    data["resources"] = [{"@type": wrapper, "name": each["name"], "resource": each} for each in data["resources"]]
    data["resources"].append({"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": "stray"})
    assert linted(**{dynamic.CLUSTERS: yaml.safe_dump(data)}) == []


def test_a_table_of_another_name_answers_nothing():
    data = yaml.safe_load(PARTS.routes.text)
    data["resources"][0]["name"] = "another"
    assert "bootstrap.dynamic" in {each.rule for each in linted(**{dynamic.ROUTES: yaml.safe_dump(data)})}
