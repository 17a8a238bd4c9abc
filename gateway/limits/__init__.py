"""Request rates: `gcra` (pure), `ledger` (Valkey and in-memory), Lua beside it."""
