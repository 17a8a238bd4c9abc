"""The shared kernel: the words that every service speaks. No grpc, no protobuf, no service code.

- `contract`: every header and metadata name that crosses a process boundary
- `errors`: one enum of refusals, one table to HTTP, gRPC and the callers' dialects
- `settings`: frozen settings and the only reader of the environment
- `clock`, `aio`, `identity`: time as an argument, tasks that cannot vanish, who is calling
- `policy`: what is allowed, as one immutable content-hashed object
- `limits`: request rates (pure arithmetic, Valkey and in-memory stores)
- `audit`: one record for each exchange
- `secrets`: peppers and provider credentials by reference
- `telemetry`: structured logs that cannot leak, one table of metrics
"""
