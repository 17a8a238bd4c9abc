"""The sans-I/O core. Imports no asyncio, grpc, redis, protobuf, time or logging (import-linter holds this).

`events` in, `commands` out; `states` is the transition table; `exchange` the machine; `sse` frames event streams;
`holdback` releases text once no rule can still match into it; `body` parses request JSON within bounds.
"""
