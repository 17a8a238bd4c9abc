# METADATA
# title: Who may use which model, from where, and under which conditions
package ostiary.authz

# Asked by the gateway. An object with `allow`, and with `reasons` and `obligations` where there are any.
decision := {
	"allow": count(reasons) == 0,
	"reasons": sort(reasons),
	"obligations": obligations,
}

tenant := data.tenants[input.caller.tenant]

reasons contains "your tenant has no rules yet" if not tenant

reasons contains "this network is not one of your tenant's" if {
	count(tenant.networks) > 0
	not from_own_network
}

reasons contains "none of your groups may use a model" if {
	tenant
	count(models) == 0
}

# Machines call without a person behind them: they embed, and do not chat.
reasons contains "a certificate alone may only embed" if {
	input.caller.method == "mtls"
	input.request.path != "/v1/embeddings"
}

from_own_network if {
	some network in tenant.networks
	net.cidr_contains(network, input.source.address)
}

models contains model if {
	some group in input.caller.groups
	some model in tenant.groups[group]
}

models contains model if some model in tenant.default_models

obligations["models"] := models

obligations["max_tokens"] := tenant.max_tokens if not "tokens:unlimited" in input.caller.scopes

obligations["guards"] := tenant.guards
