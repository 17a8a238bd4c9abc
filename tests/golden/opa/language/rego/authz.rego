# What policies are made of, each in one rule that the input picks: where engines differ, they differ here.
package ostiary.authz

decision := {"allow": value == true, "reasons": [sprintf("%v", [value])]} if value := answers[input.caller.principal]

answers["glob braces"] := glob.match("/v1/models{,/*}", ["/"], input.request.path)

answers["glob stars"] := glob.match("/v1/**", ["/"], input.request.path)

answers["regex"] := regex.match(`^/v1/(chat/completions|embeddings)$`, input.request.path)

answers["regex groups"] := regex.find_all_string_submatch_n(`(?P<word>[a-z]+)`, input.request.path, -1)

answers["cidr"] := net.cidr_contains("10.0.0.0/8", input.source.address)

answers["cidr of v6"] := net.cidr_contains("2001:db8::/32", input.source.address)

answers["semver"] := semver.compare(input.caller.client, "1.40.0") >= 0

answers["clock"] := time.clock([input.time * 1000000000, "America/New_York"])

answers["weekday"] := time.weekday(input.time * 1000000000)

answers["quoted"] := sprintf("%q %05.2f %v %x", [input.request.path, 1.5, {"b": 1}, 255])

answers["set order"] := {scope | some scope in input.caller.scopes}

answers["object order"] := {group: count(group) | some group in input.caller.groups}

answers["sorting"] := sort([10, "10", true, null, [1], {"a": 1}, {1}, 9.5])

answers["large numbers"] := 9007199254740993 + 1

answers["fractions"] := (0.1 + 0.2) * 10

answers["division"] := input.request.size / 4

answers["patch"] := json.patch({"a": {"b": 1}}, [{"op": "replace", "path": "/a/b", "value": 2}])

answers["union"] := object.union({"a": {"b": 1}}, {"a": {"c": 2}})

answers["template"] := $"{input.caller.tenant} on {input.request.path}"

answers["interpolated nothing"] := $"{input.caller.nobody}"

answers["unicode"] := upper(concat("/", [input.caller.tenant, "straße", "ﬁ"]))

answers["count of characters"] := count(input.caller.tenant)

answers["units"] := units.parse_bytes("1.5KiB")

answers["every"] if every scope in input.caller.scopes {
	startswith(scope, "llm:")
}

answers["some in"] if {
	some scope in input.caller.scopes
	scope == "llm:chat"
}

answers["not"] if not "admin" in input.caller.groups

answers["undefined comparison"] if input.request.size > 5

answers["null comparison"] if null < 0

answers["walk"] := count([path | walk(input.caller, [path, _])])

answers["reachable"] := graph.reachable({"a": ["b"], "b": ["c"], "c": []}, ["a"])

answers["jwt"] := io.jwt.decode("eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln")[1]

answers["hash"] := crypto.sha256(input.caller.tenant)

answers["base64"] := base64url.decode("w7w")

answers["yaml"] := yaml.unmarshal("a: [1, yes]")
