"""ext_proc: what is in the conversation, and where does it go?

- `core`: the sans-I/O exchange: events in, commands out; SSE framing; bounded hold-back
- `guardrails`: Finding, rules to scanner, policy to verdict
- `detectors`: one entity a file: find, never decide
- `providers`: one dialect a file: where the texts of a request, an answer and a stream event are
- `wire`: the only place with protobuf; `service`: the pump; `adapt`: the per-attempt filter
"""
