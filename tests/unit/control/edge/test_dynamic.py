"""The three files say what one would, and the bootstrap changes only where Envoy must be started anew."""

from dataclasses import replace

import pytest
import yaml

from control.edge import dynamic
from edge_rendered import LITERAL, NAMED, PLAIN, SPEC, manager, policy, render
from gateway.policy.copies import Mirror
from gateway.policy.model import Model, Pool

HERE = "/etc/envoy/dynamic"


def pooled(mirror=None):
    pool = Pool(backends=("plain", "named"), mirror=mirror)
    return replace(policy(PLAIN, NAMED, LITERAL), models={"m": Model(name="m", backend="plain", pool=pool)})


def parted(rules=None, edge=SPEC):
    return dynamic.parts(edge, rules or pooled(), HERE)


def whole(parts):
    """What Envoy makes of the three."""
    data = yaml.safe_load(parts.bootstrap)
    clusters, (table,) = (yaml.safe_load(each.text)["resources"] for each in (parts.clusters, parts.routes))
    for each in (*clusters, table):
        del each["@type"]
    chain = manager(data)
    assert chain.pop("rds")["route_config_name"] == table["name"]
    chain["route_config"] = table
    data["static_resources"]["clusters"] += clusters
    del data["dynamic_resources"]
    return data


def comparable(data):
    data["static_resources"]["clusters"].sort(key=lambda each: each["name"])
    manager(data)["route_config"].pop("validate_clusters", None)
    return data


@pytest.mark.parametrize("mirror", [None, Mirror(backend="named", percent=5)])
def test_the_parts_are_the_whole(mirror):
    rules = pooled(mirror)
    assert comparable(whole(parted(rules))) == comparable(yaml.safe_load(render(SPEC, rules)))


def test_sockets_of_ours_and_mirrors_stay_in_the_bootstrap():
    data = yaml.safe_load(parted(pooled(Mirror(backend="named", percent=5))).bootstrap)
    names = [each["name"] for each in data["static_resources"]["clusters"]]
    assert len(names) == 4
    assert not [name for name in names if name.startswith(("be-", "oc-", "og-"))]


def test_backends_and_pools_leave_the_bootstrap_as_it_is():
    assert parted(policy(PLAIN)).bootstrap == parted(pooled()).bootstrap


def test_a_version_follows_from_what_is_said_and_from_nothing_else():
    one, same, other = parted(), parted(replace(pooled(), version="p-other")), parted(policy(PLAIN))
    assert one.clusters.version == same.clusters.version != other.clusters.version
    assert yaml.safe_load(one.routes.text)["version_info"] == one.routes.version


def test_both_files_are_read_anew_when_anything_is_moved_into_the_directory():
    data = yaml.safe_load(parted().bootstrap)
    sources = (data["dynamic_resources"]["cds_config"], manager(data)["rds"]["config_source"])
    assert [each["path_config_source"] for each in sources] == [
        {"path": f"{HERE}/{name}", "watched_directory": {"path": HERE}} for name in (dynamic.CLUSTERS, dynamic.ROUTES)
    ]


def test_while_the_table_changes_the_clusters_of_both_tables_are_there():
    old, new = parted(policy(PLAIN, LITERAL)).clusters, parted(policy(PLAIN, NAMED)).clusters
    both = dynamic.united(old.text, new, "p-new")
    names = [each["name"] for each in yaml.safe_load(both.text)["resources"]]
    assert names[:4] == [each["name"] for each in yaml.safe_load(new.text)["resources"]]
    assert sorted(names[4:]) == ["be-literal", "oc-literal"]
    assert both.version not in (old.version, new.version)


def test_without_a_cluster_that_leaves_there_is_no_step_between():
    new = parted().clusters
    assert dynamic.united(parted(policy(PLAIN)).clusters.text, new, "p-new") is new


@pytest.mark.parametrize("old", ["", "{", "[]", "resources: 1", "resources: [1]", "resources: [{}]"])
def test_a_file_that_is_none_of_ours_is_not_united(old):
    with pytest.raises(ValueError, match="no clusters"):
        dynamic.united(old, parted().clusters, "p")
