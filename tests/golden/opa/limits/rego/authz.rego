# What a policy may say that is no decision: failures of an evaluation, and values that are not what they should be.
package ostiary.authz

decision := {"allow": 1 / input.request.size == 1} if input.caller.principal == "division"

decision := {"allow": to_number(input.caller.tenant) == 1} if input.caller.principal == "a builtin that fails"

decision := {"allow": true} if input.caller.principal == "two answers"

decision := {"allow": false} if input.caller.principal == "two answers"

decision := {"allow": true} if {
	input.caller.principal == "two equal answers"
	input.request.size > 0
}

decision := {"allow": true} if {
	input.caller.principal == "two equal answers"
	input.request.size < 100
}

decision := true if input.caller.principal == "a boolean"

decision := {"allow": "true"} if input.caller.principal == "a string"

decision := {"allow": input.request.size} if input.caller.principal == "what the input says"

decision := {"allow": true, "reasons": {"b", "a"}} if input.caller.principal == "a set of reasons"

decision := {"allow": true, 1: 2} if input.caller.principal == "a number for a name"

decision := {"allow": true, "obligations": {"max_tokens": 0.5 + 0.5}} if input.caller.principal == "one in parts"
