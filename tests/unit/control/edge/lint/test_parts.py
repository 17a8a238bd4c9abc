"""Wrappers, chains and filters of a bootstrap."""

from control.edge.lint.node import read
from control.edge.lint.parts import chains, extension, managers, short_name
from weakened import dump, tree

ANY = "type.googleapis.com/envoy.extensions.filters.http."


def test_short_names_come_from_types_and_from_names():
    assert short_name("envoy.extensions.filters.http.lua.v3.Lua") == "lua"
    assert short_name("envoy.filters.http.lua") == "lua"
    assert short_name("envoy.config.filter.http.ext_authz.v2.ExtAuthz") == "ext_authz"
    assert short_name("") == ""


def test_a_hundred_wrappers_are_not_followed():
    config = {"@type": f"{ANY}lua.v3.Lua"}
    for _ in range(30):
        config = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": config}
    found = extension(read(dump({"name": "deep", "typed_config": config})).root)
    assert found.kind == "route"


def test_a_typed_struct_is_opened():
    value = {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": f"{ANY}lua.v3.Lua", "value": {"x": 1}}
    found = extension(read(dump({"name": "t", "typed_config": value})).root)
    assert found.kind == "lua"
    assert found.config.get("x").text == "1"


def test_the_default_filter_chain_counts_too():
    listener = tree()["static_resources"]["listeners"][0]
    listener["default_filter_chain"] = listener["filter_chains"][0]
    node = read(dump(listener)).root
    assert len(chains(node)) == 2
    assert len(list(managers([node]))) == 2


def test_filters_before_and_after_a_guard_are_told_apart():
    (manager,) = managers([read(dump(tree()["static_resources"]["listeners"][0])).root])
    names = [each.name for each in manager.filters]
    assert [each.name for each in manager.before(manager.authz)] == names[: names.index("envoy.filters.http.ext_authz")]
    assert [each.name for each in manager.after(manager.inspect)] == names[names.index("ostiary.inspect") + 1 :]
    assert manager.before(None) == manager.filters
    assert manager.after(None) == ()
