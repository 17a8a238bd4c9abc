package ostiary.authz_test

import data.ostiary.authz

tenants := {"acme": {
	"networks": ["10.0.0.0/8"],
	"groups": {"research": ["small", "large"]},
	"max_tokens": 100,
	"guards": ["pii.email"],
}}

researcher := {
	"caller": {"tenant": "acme", "groups": ["research"], "scopes": [], "method": "jwt"},
	"request": {"method": "POST", "path": "/v1/chat/completions"},
	"source": {"address": "10.1.2.3"},
}

patched(path, value) := json.patch(researcher, [{"op": "replace", "path": path, "value": value}])

test_a_researcher_may_use_the_models_of_the_group if {
	found := authz.decision with input as researcher with data.tenants as tenants
	found.allow
	found.obligations == {"models": {"small", "large"}, "max_tokens": 100, "guards": ["pii.email"]}
}

test_another_network_is_refused if {
	found := authz.decision with input as patched("/source/address", "192.0.2.1") with data.tenants as tenants
	not found.allow
	found.reasons == ["this network is not one of your tenant's"]
}

test_somebody_without_groups_is_refused if {
	found := authz.decision with input as patched("/caller/groups", []) with data.tenants as tenants
	found.reasons == ["none of your groups may use a model"]
}

test_an_unknown_tenant_is_refused if {
	found := authz.decision with input as patched("/caller/tenant", "initech") with data.tenants as tenants
	found.reasons == ["your tenant has no rules yet"]
}

test_a_certificate_alone_does_not_chat if {
	found := authz.decision with input as patched("/caller/method", "mtls") with data.tenants as tenants
	found.reasons == ["a certificate alone may only embed"]
}

test_a_scope_lifts_the_cap if {
	found := authz.decision with input as patched("/caller/scopes", ["tokens:unlimited"]) with data.tenants as tenants
	not found.obligations.max_tokens
}
