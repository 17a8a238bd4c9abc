"""Which parts of a bootstrap are ours, and which are governed."""

from control.edge.lint.node import read
from control.edge.lint.survey import Survey
from weakened import dump, text, tree

ANY = "type.googleapis.com/envoy.extensions.filters.http."


def survey(written):
    return Survey(read(written).root)


def test_the_reference_is_understood():
    seen = survey(text())
    (manager,) = seen.managers
    assert manager.authz is not None
    assert manager.inspect is not None
    assert [each.name for each in seen.sidecars] == [
        "ostiary_sidecar",
        "ostiary_sidecar_authz",
        "ostiary_sidecar_adapt",
    ]
    assert {each.name for each in seen.routed} == {"oc-local", "oc-provider", "be-local", "be-provider"}
    assert {each.name for each in seen.backends} == {"be-local", "be-provider"}
    assert len(seen.adapts) == 2
    assert seen.governed == seen.managers
    assert seen.bare == ()


def test_a_chain_without_guards_beside_a_guarded_one_is_bare():
    changed = tree()
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 1}}
    hcm = {"name": "h", "typed_config": {"@type": f"{ANY}x/envoy.http_connection_manager.v3.HttpConnectionManager"}}
    changed["static_resources"]["listeners"].append({"address": address, "default_filter_chain": {"filters": [hcm]}})
    seen = survey(dump(changed))
    assert len(seen.governed) == 1
    assert len(seen.bare) == 1


def test_inspect_is_told_by_name_before_position():
    changed = tree()
    filters = changed["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"][
        "http_filters"
    ]
    filters.insert(0, {"name": "dlp", "typed_config": {"@type": f"{ANY}ext_proc.v3.ExternalProcessor"}})
    (manager,) = survey(dump(changed)).managers
    assert manager.inspect is not None
    assert manager.inspect.name == "ostiary.inspect"


def test_members_of_aggregate_and_composite_clusters_are_followed():
    changed = tree()
    clusters = changed["static_resources"]["clusters"]
    composite = next(each for each in clusters if each["name"] == "oc-local")
    composite["cluster_type"]["typed_config"]["clusters"] = ["group"]
    kind = {"name": "envoy.clusters.aggregate", "typed_config": {"clusters": ["be-local"]}}
    clusters.append({"name": "group", "cluster_type": kind})
    assert "be-local" in {each.name for each in survey(dump(changed)).backends}
